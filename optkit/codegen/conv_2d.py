"""CONV_2D: the values under a window are gathered, then meet each row of weights as in a dense layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels, _lanes, _windows
from optkit.codegen._writing import Constants, Kernel, Rows, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "Convolution, grouped and dilated ones too, int8 or int4 weights."
SOURCE = "tensorflow/lite/kernels/internal/reference/integer_ops/conv.h"
KIND = "CONV_2D"
VERSIONS = (1, 8)
IGNORED: tuple[int, ...] = ()

_TYPE = Kernel(
    "conv_t",
    """\
typedef struct {
    dense_t dense;
    uint16_t h, w, c, out_w, out_c;
    uint8_t kh, kw, sh, sw, dh, dw, top, left;
    int8_t fill;
} conv_t;
""",
    (_kernels.DENSE_TYPE,),
)
_BYTES = 44

# Padding counts as the zero point: its product with a weight is what the bias has been given off.
_GATHERED = """\
/* Row y of a convolution; row `first` of the input is at x. */
KERNEL void {name}(const conv_t *p, const int8_t *x, int first, int y, int8_t *out, int8_t *patch)
{{
    const int length = p->w * p->c, run = p->kw * p->c;
    int column;
    for (column = 0; column < p->out_w; column++) {{
        const int start = (column * p->sw - p->left) * p->c;
        int8_t *to = patch;
        int i;
        for (i = 0; i < p->kh; i++) {{
            const int row = y * p->sh - p->top + i;
            const int inside = row >= 0 && row < p->h;
            int j;
            for (j = start; j < start + run; j++) {{
                *to++ = inside && j >= 0 && j < length ? x[(row - first) * length + j] : p->fill;
            }}
        }}
        {dense}(&p->dense, patch, out);
        out += p->out_c;
    }}
}}
"""
_GENERAL = """\
/* As conv, dilated or in groups of channels. */
KERNEL void {name}(const conv_t *p, const int8_t *x, int first, int y, int8_t *out, int8_t *patch, int from, int count)
{{
    int column;
    for (column = 0; column < p->out_w; column++) {{
        int8_t *to = patch;
        int i;
        for (i = 0; i < p->kh; i++) {{
            const int row = y * p->sh - p->top + i * p->dh;
            int j;
            for (j = 0; j < p->kw; j++) {{
                const int at = column * p->sw - p->left + j * p->dw;
                const int inside = row >= 0 && row < p->h && at >= 0 && at < p->w;
                int c;
                for (c = from; c < from + count; c++) {{
                    *to++ = inside ? x[((row - first) * p->w + at) * p->c + c] : p->fill;
                }}
            }}
        }}
        {dense}(&p->dense, patch, out);
        out += p->out_c;
    }}
}}
"""
_POINTWISE = """\
/* A convolution of 1 by 1 that moves by 1. */
KERNEL void {name}(const dense_t *p, const int8_t *x, int8_t *out, int columns)
{{
    int column;
    for (column = 0; column < columns; column++) {{
        {dense}(p, x, out);
        x += p->k;
        out += p->n;
    }}
}}
"""


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    filters = _kernels.filters_of(node, graph)
    given, made = graph.input(node), graph.output(node)
    if len(filters.shape) != 4:
        raise InputError(f"{node.place} has weights of shape {list(filters.shape)}, expected 4 axes")
    outputs, height, width, depth = filters.shape
    found = _windows.window(node, graph, height, width)
    groups = found.channels // depth
    if groups * depth != found.channels or outputs % groups or made.shape[3] != outputs:
        raise InputError(f"{node.place} has {outputs} filters of depth {depth} for {found.channels} channels")
    _windows.check_small(node, found, height * width * depth)
    multipliers = _kernels.convolution_multipliers(node, graph, filters, outputs)
    bias = _kernels.bias_of(node, graph, 2, outputs)
    values = filters.values if filters.values is not None else np.zeros(0)
    weights = values.reshape(outputs, -1)
    dilated = found.rows.gap > 1 or found.columns.gap > 1
    vectors = constants.lanes > 1 and groups == 1 and not dilated and _lanes.fits(multipliers)
    # Wide registers take no nibbles apart: where speed is wanted and memory is plenty, weights of 4 bits become bytes.
    stored = "int8" if vectors else filters.dtype
    if vectors:
        weights = _lanes.filled(weights, constants.lanes)
    each = outputs // groups
    records = [
        _kernels.dense_fields(
            node,
            graph,
            constants,
            weights=weights[at : at + each],
            multipliers=multipliers[at : at + each],
            stored=stored,
            bias=bias[at : at + each],
        )
        for at in range(0, outputs, each)
    ]
    label, dense = comment(made.name), _kernels.dense_kernel(filters)
    patch, macs = height * width * depth, made.count * height * width * depth
    weight_bytes = weights.size if stored == "int8" else (weights.size + 1) // 2
    if vectors:
        fields = {"dense": records[0], **_windows.fields(found), "out_c": outputs, "fill": given.zero_point}
        name = constants.record("conv_t", fields, label, _BYTES)
        total = constants.array(_lanes.totals(weights), f"{label}: totals")
        call = (
            f"{{ lane_t patches[{found.columns.outputs * weights.shape[1]}]; "
            f"int32_t sum[{found.columns.outputs * outputs}]; "
            f"conv_lanes({name}, {{in0}}, {{first}}, {{y}}, {{out}}, patches, sum, {total}); }}"
        )
        kernels = (_TYPE, _lanes.CONV)
        return Step(node, (given.index,), call, kernels, found.depends, weights=weight_bytes, macs=macs)
    plain = (found.rows.stride, found.columns.stride) == (1, 1) and not found.rows.padded and not found.columns.padded
    if groups == 1 and (height, width) == (1, 1) and plain:
        kernel = _kernel("pointwise", _POINTWISE, dense, (dense,))
        name = constants.record("dense_t", records[0], label, 24)
        call = f"{kernel.name}({name}, {{in0}}, {{out}}, {found.columns.outputs});"
        call = call.replace("{in0}", f"{{in0}} + ({{y}} - {{first}}) * {found.columns.length * depth}")
        return Step(node, (given.index,), call, (kernel,), Rows(), weights=weight_bytes, macs=macs)
    calls = []
    for group, record in enumerate(records):
        record_fields = {"dense": record, **_windows.fields(found), "out_c": outputs, "fill": given.zero_point}
        name = constants.record("conv_t", record_fields, label, _BYTES)
        if groups == 1 and not dilated:
            calls.append(f"{{kernel}}({name}, {{in0}}, {{first}}, {{y}}, {{out}}, {{scratch}});")
        else:
            calls.append(
                f"{{kernel}}({name}, {{in0}}, {{first}}, {{y}}, {{out}} + {group * each}, {{scratch}}, "
                f"{group * depth}, {depth});"
            )
    if groups == 1 and not dilated:
        kernel = _kernel("conv", _GATHERED, dense, (_TYPE, dense))
    else:
        kernel = _kernel("conv_general", _GENERAL, dense, (_TYPE, dense))
    call = " ".join(calls).replace("{kernel}", kernel.name)
    return Step(node, (given.index,), call, (kernel,), found.depends, scratch=patch, weights=weight_bytes, macs=macs)


def _kernel(name: str, text: str, dense: Kernel, needs: tuple[Kernel, ...]) -> Kernel:
    """A kernel for weights of one type; that for int4 has a 4 at its end."""
    full = name + dense.name.removeprefix("dense")
    return Kernel(full, text.format(name=full, dense=dense.name), needs)
