"""FULLY_CONNECTED: a dense layer, whose sums the reference kernel rounds once, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels, _lanes
from optkit.codegen._rounding import once
from optkit.codegen._writing import Constants, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node, Tensor

SUMMARY = "Dense layer, int8 or int4 weights."
SOURCE = "tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h"
KIND = "FULLY_CONNECTED"
VERSIONS = (1, 12)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    filters = _kernels.filters_of(node, graph)
    given, made = graph.input(node), graph.output(node)
    if len(filters.shape) != 2 or node.options.weightsFormat:
        raise InputError(f"{node.place} has weights of shape {list(filters.shape)} in a format that is not covered")
    outputs, depth = filters.shape
    batch = given.count // depth
    if batch * depth != given.count or made.count != batch * outputs or max(outputs, depth) > 65535:
        raise InputError(
            f"{node.place} makes {list(made.shape)} of {list(given.shape)} with weights {list(filters.shape)}; export "
            "the model again"
        )
    bias = _kernels.bias_of(node, graph, 2, outputs)
    weights = (filters.values if filters.values is not None else np.zeros(0)).reshape(outputs, depth)
    factors = _factors(node, graph, filters)
    folded = bias - given.zero_point * weights.astype(np.int64).sum(axis=1)
    multipliers, wide = once(factors, _kernels.worst_sums(weights, folded), made.zero_point, node)
    vectors = constants.lanes > 1 and not wide
    stored = "int8" if vectors else filters.dtype
    if vectors:
        weights = _lanes.filled(weights, constants.lanes)
    record = _kernels.dense_fields(
        node, graph, constants, weights=weights, multipliers=multipliers, stored=stored, bias=bias, wide=wide
    )
    kernel, label = _kernels.dense_kernel(filters, wide=wide), comment(made.name)
    name = constants.record("dense_wide_t" if wide else "dense_t", record, label, 24)
    if vectors:
        kernel = _lanes.DENSE
    behind = ""
    if vectors:
        behind = f", {depth}, wide, sum, {constants.array(_lanes.totals(weights), f'{label}: totals')}"
    calls = [
        f"{kernel.name}({name}, {{in0}}{_at(row * depth)}, {{out}}{_at(row * outputs)}{behind});"
        for row in range(batch)
    ]
    text = " ".join(calls)
    if vectors:
        text = f"{{ lane_t wide[{weights.shape[1]}]; int32_t sum[{outputs}]; {text} }}"
    return Step(
        node,
        (given.index,),
        text,
        (kernel,),
        weights=_kernels.packed(weights, stored).size,
        macs=batch * outputs * depth,
    )


def _at(offset: int) -> str:
    return f" + {offset}" if offset else ""


def _factors(node: Node, graph: Graph, filters: Tensor) -> list[float]:
    """From a sum to the output, for each output channel, in float64 as the kernel works them out."""
    given, made = graph.input(node), graph.output(node)
    if len(filters.scales) > 1 and filters.axis != 0:
        raise InputError(f"{node.place} has scales along axis {filters.axis}, expected 0; export the model again")
    if len(filters.scales) not in {1, filters.shape[0]}:
        raise InputError(f"{node.place} has {len(filters.scales)} scales for {filters.shape[0]} output channels")
    found = [given.scales[0] * scale / made.scales[0] for scale in filters.scales]
    return found * filters.shape[0] if len(found) == 1 else found
