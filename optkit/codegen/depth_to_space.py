"""DEPTH_TO_SPACE: channels as blocks of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _moves

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Channels as blocks of pixels."
SOURCE = "tensorflow/lite/kernels/internal/reference/depth_to_space.h"
KIND = "DEPTH_TO_SPACE"
VERSIONS = (1, 2)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    given, made, block = graph.input(node), graph.output(node), _moves.block_of(node, graph)
    _, height, width, channels = given.shape
    kept = made.shape[3]
    size = [height, block, width, block, kept]
    return _moves.lower(node, graph, constants, size=size, by=[width * channels, block * kept, channels, kept, 1])
