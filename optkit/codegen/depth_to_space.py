"""DEPTH_TO_SPACE: channels as blocks of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _moves
from optkit.errors import InputError

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
    given, made, block = graph.input(node), graph.output(node), int(node.options.blockSize)
    if len(given.shape) != 4 or len(made.shape) != 4 or given.shape[0] != 1 or block < 1:
        raise InputError(f"{node.place} works on {list(given.shape)}, covered is [1, height, width, channels]")
    _, height, width, channels = given.shape
    kept = made.shape[3]
    size = [height, block, width, block, kept]
    return _moves.lower(node, graph, constants, size=size, by=[width * channels, block * kept, channels, kept, 1])
