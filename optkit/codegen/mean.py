"""MEAN: means over axes that lie side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _axes, _kernels
from optkit.codegen._arithmetic import check_sum, multiplier
from optkit.codegen._writing import Constants, Kernel, Step

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
    given, made = graph.input(node), graph.output(node)
    outer, count, inner = _axes.side_by_side(node, graph)
    value, shift = multiplier(given.scales[0] / made.scales[0])
    # As the reference takes the count into the multiplier, without rounding.
    spare = min(count.bit_length() - 1, 32, 31 + shift)
    value, shift = (value << spare) // count, shift - spare
    check_sum((255 * count << max(0, shift)) + 128, node)
    call = (
        f"mean({{in0}}, {{out}}, {outer}, {count}, {inner}, {value}, {shift}, {given.zero_point}, {made.zero_point});"
    )
    return Step(node, (given.index,), call, (_KERNEL,))
