"""SLICE: a part of a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _moves
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "A part of a tensor."
SOURCE = "tensorflow/lite/kernels/internal/reference/slice.h"
KIND = "SLICE"
VERSIONS = (1, 5)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    given, made = graph.input(node), graph.output(node)
    begin = _moves.stored(node, graph, 1)
    if len(begin) != len(given.shape) or len(made.shape) != len(given.shape) or min(begin) < 0:
        raise InputError(f"{node.place} begins at {begin} of {list(given.shape)}; export the model again")
    if any(at + count > length for at, count, length in zip(begin, made.shape, given.shape, strict=True)):
        raise InputError(f"{node.place} takes values beyond its input {list(given.shape)}; export the model again")
    by = _moves.steps(given.shape)
    start = sum(at * step for at, step in zip(begin, by, strict=True))
    return _moves.lower(node, graph, constants, size=made.shape, by=by, start=start)
