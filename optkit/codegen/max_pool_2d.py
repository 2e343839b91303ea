"""MAX_POOL_2D: the highest value under a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _pooling

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Highest value under a window."
SOURCE = "tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h"
KIND = "MAX_POOL_2D"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()

_KERNEL = _pooling.kernel("max_pool", "-128", "found = value > found ? value : found;")
_WIDE = _pooling.highest_lanes("max_pool")


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    used = _WIDE if constants.lanes > 1 else _KERNEL
    return _pooling.lower(node, graph, constants, used)
