"""Axes that an operator works along."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node


def side_by_side(node: Node, graph: Graph) -> tuple[int, int, int]:
    """How a tensor is seen where axes that lie side by side become one value: values before, along, and behind them.

    Raises:
        InputError: The axes are computed or do not lie side by side, or the output is of another size.
    """
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
    if made.count != outer * inner:
        raise InputError(f"{node.place} makes {list(made.shape)} of {list(given.shape)}; export the model again")
    return outer, given.count // (outer * inner), inner
