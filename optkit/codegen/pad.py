"""PAD: a border of zeros, which are zero points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _border

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "A border of zeros."
SOURCE = "tensorflow/lite/kernels/pad.cc"
KIND = "PAD"
VERSIONS = (1, 4)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    return _border.lower(node, graph, constants, graph.output(node).zero_point)
