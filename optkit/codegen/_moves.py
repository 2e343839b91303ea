"""Operators that only move values: each value of the output is one of the input, at steps that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels
from optkit.codegen._writing import Constants, Kernel, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.codegen._graph import Graph, Node

_AXES = 5
_KERNEL = Kernel(
    "pick",
    """\
/* Values in the order of the output's axes: size[axis] of them, by[axis] apart in the input. */
KERNEL void pick(const int8_t *x, int8_t *out, const int32_t *size, const int32_t *by)
{
    int32_t a, b, c, d, e;
    for (a = 0; a < size[0]; a++) {
        for (b = 0; b < size[1]; b++) {
            for (c = 0; c < size[2]; c++) {
                for (d = 0; d < size[3]; d++) {
                    const int8_t *at = x + (a * by[0] + b * by[1] + c * by[2] + d * by[3]);
                    for (e = 0; e < size[4]; e++) {
                        *out++ = at[e * by[4]];
                    }
                }
            }
        }
    }
}
""",
)


def check_same_scale(node: Node, graph: Graph) -> None:
    """Stop where values would have to be rescaled.

    Raises:
        InputError: They would, or are no int8.
    """
    _kernels.check_int8(node, graph)
    given, made = graph.input(node), graph.output(node)
    if (given.scales, given.zero_points) != (made.scales, made.zero_points):
        raise InputError(f"{node.place} has other scales before than behind it; export the model again")


def stored(node: Node, graph: Graph, slot: int) -> list[int]:
    """The numbers of an input that must be stored.

    Raises:
        InputError: They are computed.
    """
    found = graph.input(node, slot).values
    if found is None:
        raise InputError(f"{node.place} takes numbers that are computed; code is generated for stored ones")
    return [int(one) for one in found.reshape(-1)]


def lower(
    node: Node, graph: Graph, constants: Constants, *, size: Sequence[int], by: Sequence[int], start: int = 0
) -> Step:
    """The operator as C.

    Args:
        node: The operator.
        graph: Its graph.
        constants: Where arrays go.
        size: Values along each axis of the output.
        by: How far apart in the input values are that are neighbours along an axis.
        start: Where in the input the first value is.

    Raises:
        InputError: There are too many axes, or they do not make the output.
    """
    check_same_scale(node, graph)
    given, made = graph.input(node), graph.output(node)
    used = [(count, step) for count, step in zip(size, by, strict=True) if count != 1]
    if len(used) > _AXES or int(np.prod(size, dtype=np.int64)) != made.count:
        raise InputError(f"{node.place} makes {list(made.shape)} of {list(given.shape)}; covered are {_AXES} axes")
    low = start + sum(min(0, (count - 1) * step) for count, step in used)
    high = start + sum(max(0, (count - 1) * step) for count, step in used)
    if low < 0 or high >= given.count:
        raise InputError(f"{node.place} takes values beyond its input {list(given.shape)}; export the model again")
    rows = [(1, 0)] * (_AXES - len(used)) + used
    names = [constants.array(np.array(one, np.int32), f"{comment(made.name)}: axes") for one in zip(*rows, strict=True)]
    first = f"{{in0}} + {start}" if start else "{in0}"
    return Step(node, (given.index,), f"pick({first}, {{out}}, {', '.join(names)});", (_KERNEL,))


def steps(shape: Sequence[int]) -> list[int]:
    """How far apart neighbours along each axis are."""
    return [int(np.prod(shape[at + 1 :], dtype=np.int64)) for at in range(len(shape))]


def check_picture(node: Node, graph: Graph, *, same_channels: bool = False) -> None:
    """Stop where an operator works on anything else than one picture [1, height, width, channels].

    Raises:
        InputError: It does, or does not keep the channels where it has to.
    """
    given, made = graph.input(node).shape, graph.output(node).shape
    if len(given) != 4 or len(made) != 4 or given[0] != 1 or (same_channels and given[3] != made[3]):
        raise InputError(f"{node.place} makes {list(made)} of {list(given)}; covered is one picture")


def block_of(node: Node, graph: Graph) -> int:
    """Side of the blocks that an operator makes channels of, or the reverse.

    Raises:
        InputError: It has none, or does not work on one picture.
    """
    check_picture(node, graph)
    side = int(node.options.blockSize)
    if side < 1:
        raise InputError(f"{node.place} has blocks of {side}, expected at least 1; export the model again")
    return side
