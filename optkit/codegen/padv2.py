"""PADV2: a border of one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _border
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "A border of one value."
SOURCE = "tensorflow/lite/kernels/pad.cc"
KIND = "PADV2"
VERSIONS = (1, 4)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    value, made = graph.input(node, 2), graph.output(node)
    if value.values is None or value.count != 1 or (value.scales, value.zero_points) != (made.scales, made.zero_points):
        raise InputError(f"{node.place} takes a border that is computed or of another scale; export the model again")
    return _border.lower(node, graph, constants, int(value.values.reshape(-1)[0]))
