"""DEPTHWISE_CONV_2D: each channel is summed on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels, _windows
from optkit.codegen._arithmetic import activation_range
from optkit.codegen._writing import Constants, Kernel, Step, comment
from optkit.errors import InputError
from optkit.tflite_schema import names_of

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "Depthwise convolution, dilated and with a depth multiplier too, int8 or int4 weights."
SOURCE = "tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h"
KIND = "DEPTHWISE_CONV_2D"
VERSIONS = (1, 7)
IGNORED: tuple[int, ...] = ()

_TYPE = Kernel(
    "depthwise_t",
    """\
typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *value;
    const int8_t *shift;
    uint16_t h, w, c, out_w, times;
    uint8_t kh, kw, sh, sw, dh, dw, top, left;
    int8_t given, zero, low, high;
    uint8_t own;
} depthwise_t;
""",
)
_BYTES = 40
_TEXT = """\
/* Row y of a depthwise convolution; row `first` of the input is at x. */
KERNEL void {name}(const depthwise_t *p, const int8_t *x, int first, int y, int8_t *out)
{{
    const int channels = p->c * p->times;
    int column;
    for (column = 0; column < p->out_w; column++) {{
        int c;
        for (c = 0; c < channels; c++) {{
            const int at = p->own ? c : 0;
            int32_t sum = p->bias[c];
            int i;
            for (i = 0; i < p->kh; i++) {{
                const int row = y * p->sh - p->top + i * p->dh;
                int j;
                for (j = 0; j < p->kw; j++) {{
                    const int place = column * p->sw - p->left + j * p->dw;
                    if (row >= 0 && row < p->h && place >= 0 && place < p->w) {{
                        const int tap = (i * p->kw + j) * channels + c;
                        sum += (x[((row - first) * p->w + place) * p->c + c / p->times] - p->given)
                            * {weight};
                    }}
                }}
            }}
            *out++ = clamp(scale(sum, p->value[at], p->shift[at]) + p->zero, p->low, p->high);
        }}
    }}
}}
"""
_WEIGHTS = {
    "int8": ("depthwise", "p->weights[tap]"),
    "int4": ("depthwise4", "((((p->weights[tap >> 1] >> ((tap & 1) * 4)) & 15) ^ 8) - 8)"),
}


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    filters = _kernels.filters_of(node, graph)
    given, made = graph.input(node), graph.output(node)
    if len(filters.shape) != 4 or filters.shape[0] != 1:
        raise InputError(
            f"{node.place} has weights of shape {list(filters.shape)}, expected [1, height, width, channels]"
        )
    _, height, width, outputs = filters.shape
    found = _windows.window(node, graph, height, width)
    if outputs % found.channels or made.shape[3] != outputs:
        raise InputError(f"{node.place} has {outputs} filters for {found.channels} channels")
    _windows.check_small(node, found, outputs)
    multipliers = _kernels.convolution_multipliers(node, graph, filters, outputs)
    bias = _kernels.bias_of(node, graph, 2, outputs)
    weights = (filters.values if filters.values is not None else np.zeros(0)).reshape(-1, outputs)
    worst = np.abs(bias) + 255 * np.abs(weights.astype(np.int64)).sum(axis=0)
    _kernels.check_sums(worst.tolist(), multipliers, node)
    label = comment(made.name)
    own = len(set(multipliers)) > 1
    used = multipliers if own else multipliers[:1]
    low, high = activation_range(node.options.fusedActivationFunction, names_of("ActivationFunctionType"), made, node)
    name, weight = _WEIGHTS[filters.dtype]
    kernel = Kernel(name, _TEXT.format(name=name, weight=weight), (_TYPE, _kernels.SCALE, _kernels.CLAMP))
    stored = _kernels.packed(weights.reshape(1, -1), filters.dtype)
    record = constants.record(
        "depthwise_t",
        {
            "weights": constants.array(stored, f"{label}: weights", weights=True),
            "bias": constants.array(bias.astype(np.int32), f"{label}: biases"),
            "value": constants.array(np.array([one.value for one in used], np.int32), f"{label}: multipliers"),
            "shift": constants.array(np.array([one.shift for one in used], np.int8), f"{label}: shifts"),
            **_windows.fields(found),
            "times": outputs // found.channels,
            "given": given.zero_point,
            "zero": made.zero_point,
            "low": low,
            "high": high,
            "own": int(own),
        },
        label,
        _BYTES,
    )
    return Step(
        node,
        (given.index,),
        f"{name}({record}, {{in0}}, {{first}}, {{y}}, {{out}});",
        (kernel,),
        found.depends,
        weights=stored.size,
        macs=made.count * height * width,
    )
