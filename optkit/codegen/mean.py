"""MEAN: means over axes that lie side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit.codegen import _kernels
from optkit.codegen._arithmetic import check_sum, multiplier
from optkit.codegen._writing import Constants, Kernel, Step
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "Means over neighbouring axes, as in global pooling."
SOURCE = "tensorflow/lite/kernels/internal/reference/reduce.h (QuantizedMeanOrSum)"
KIND = "MEAN"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()

_KERNEL = Kernel(
    "mean",
    """\
/* Means of `count` values that are `inner` apart. */
KERNEL void mean(const int8_t *x, int8_t *out, int outer, int count, int inner,
    int32_t value, int shift, int32_t given, int32_t zero)
{
    int i;
    for (i = 0; i < outer; i++) {
        int j;
        for (j = 0; j < inner; j++) {
            int32_t sum = -given * count;
            int k;
            for (k = 0; k < count; k++) {
                sum += x[(i * count + k) * inner + j];
            }
            *out++ = clamp(scale(sum, value, shift) + zero, -128, 127);
        }
    }
}
""",
    (_kernels.SCALE, _kernels.CLAMP),
)


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    del constants
    _kernels.check_int8(node, graph)
    given, made, listed = graph.input(node), graph.output(node), graph.input(node, 1)
    if listed.values is None:
        raise InputError(f"{node.place} takes axes that are computed; export the model again")
    rank = len(given.shape)
    axes = sorted({int(axis) % rank for axis in listed.values.reshape(-1) if -rank <= axis < rank})
    # Axes of one value change nothing.
    real = [axis for axis in axes if given.shape[axis] > 1] or axes[:1]
    between = range(real[0], real[-1] + 1) if real else range(0)
    if not real or any(given.shape[axis] > 1 and axis not in axes for axis in between):
        raise InputError(f"{node.place} works on the axes {axes}; covered are axes side by side")
    outer, inner = math.prod(given.shape[: real[0]]), math.prod(given.shape[real[-1] + 1 :])
    count = given.count // (outer * inner)
    if made.count != outer * inner:
        raise InputError(f"{node.place} makes {list(made.shape)} of {list(given.shape)}; export the model again")
    value, shift = multiplier(given.scales[0] / made.scales[0])
    # As the reference takes the count into the multiplier, without rounding.
    spare = min(count.bit_length() - 1, 32, 31 + shift)
    value, shift = (value << spare) // count, shift - spare
    check_sum((255 * count << max(0, shift)) + 128, node)
    call = (
        f"mean({{in0}}, {{out}}, {outer}, {count}, {inner}, {value}, {shift}, {given.zero_point}, {made.zero_point});"
    )
    return Step(node, (given.index,), call, (_KERNEL,))
