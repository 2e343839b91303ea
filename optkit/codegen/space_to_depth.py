"""SPACE_TO_DEPTH: blocks of pixels one behind the other, as channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _moves

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Blocks of pixels as channels."
SOURCE = "tensorflow/lite/kernels/internal/reference/space_to_depth.h"
KIND = "SPACE_TO_DEPTH"
VERSIONS = (1, 2)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    given, made, block = graph.input(node), graph.output(node), _moves.block_of(node, graph)
    _, width, channels = given.shape[1:]
    size = [made.shape[1], made.shape[2], block, block, channels]
    row = width * channels
    return _moves.lower(node, graph, constants, size=size, by=[block * row, block * channels, row, channels, 1])
