"""CONCATENATION: tensors one behind the other along an axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit.codegen._writing import Constants, Kernel, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "Tensors one behind the other along an axis, of one scale."
SOURCE = "tensorflow/lite/kernels/internal/reference/concatenation.h"
KIND = "CONCATENATION"
VERSIONS = (1, 4)
IGNORED: tuple[int, ...] = ()

_KERNEL = Kernel(
    "place",
    """\
/* Pieces of x to their places in a tensor whose pieces are `step` apart. */
KERNEL void place(const int8_t *x, int8_t *out, int pieces, int size, int step)
{
    int i;
    for (i = 0; i < pieces; i++) {
        int j;
        for (j = 0; j < size; j++) {
            out[j] = *x++;
        }
        out += step;
    }
}
""",
)


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    made = graph.output(node)
    axis = node.options.axis + (len(made.shape) if node.options.axis < 0 else 0)
    if node.options.fusedActivationFunction or not 0 <= axis < len(made.shape):
        raise InputError(f"{node.place} has an activation in it or the axis {node.options.axis}; export it again")
    pieces, step = math.prod(made.shape[:axis]), math.prod(made.shape[axis:])
    given: list[int] = []
    calls, offset = [], 0
    for slot in range(len(node.inputs)):
        tensor = graph.input(node, slot)
        if (tensor.dtype, tensor.scales, tensor.zero_points) != ("int8", made.scales, made.zero_points):
            raise InputError(f"{node.place} takes tensors of other scales than its output's; export the model again")
        size = math.prod(tensor.shape[axis:])
        if len(tensor.shape) != len(made.shape) or math.prod(tensor.shape[:axis]) != pieces:
            raise InputError(f"{node.place} cannot make {list(made.shape)} of {list(tensor.shape)}; export it again")
        if tensor.values is not None:
            shown = constants.array(tensor.values, comment(tensor.name))
        else:
            shown = f"{{in{len(given)}}}"
            given.append(tensor.index)
        calls.append(f"place({shown}, {{out}} + {offset}, {pieces}, {size}, {step});")
        offset += size
    if offset != step:
        raise InputError(f"{node.place} takes {offset} values for each {step} that it makes; export the model again")
    return Step(node, tuple(given), "\n    ".join(calls), (_KERNEL,))
