"""TRANSPOSE: axes in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _moves
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Axes in another order."
SOURCE = "tensorflow/lite/kernels/internal/reference/transpose.h"
KIND = "TRANSPOSE"
VERSIONS = (1, 6)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    given = graph.input(node)
    order = [one % len(given.shape) for one in _moves.stored(node, graph, 1)]
    if sorted(order) != [*range(len(given.shape))]:
        raise InputError(f"{node.place} has the order {order} for {len(given.shape)} axes; export the model again")
    by = _moves.steps(given.shape)
    return _moves.lower(
        node, graph, constants, size=[given.shape[axis] for axis in order], by=[by[axis] for axis in order]
    )
