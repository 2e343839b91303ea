"""REDUCE_MAX: highest values over axes that lie side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _axes, _moves
from optkit.codegen._writing import Kernel, Step

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants

SUMMARY = "Highest values over neighbouring axes, as in global pooling."
SOURCE = "tensorflow/lite/kernels/reduce.cc"
KIND = "REDUCE_MAX"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()

_KERNEL = Kernel(
    "highest",
    """\
/* The highest of `count` values that are `inner` apart. */
KERNEL void highest(const int8_t *x, int8_t *out, int outer, int count, int inner)
{
    int i;
    for (i = 0; i < outer; i++) {
        int j;
        for (j = 0; j < inner; j++) {
            int8_t found = -128;
            int k;
            for (k = 0; k < count; k++) {
                const int8_t value = x[(i * count + k) * inner + j];
                found = value > found ? value : found;
            }
            *out++ = found;
        }
    }
}
""",
)


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    del constants
    _moves.check_same_scale(node, graph)
    outer, count, inner = _axes.side_by_side(node, graph)
    call = f"highest({{in0}}, {{out}}, {outer}, {count}, {inner});"
    return Step(node, (graph.input(node).index,), call, (_KERNEL,))
