"""Operators that give the same values under another shape: no code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _elementwise
from optkit.codegen._writing import Constants, Step

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "The same values under another shape; no code."


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    del constants
    _elementwise.check_same_size(node, graph)
    return Step(node, (graph.input(node).index,), alias=True)
