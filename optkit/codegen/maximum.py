"""MAXIMUM: the greater of two values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _extremes

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "The greater of two values, one of them perhaps of a smaller tensor or a constant."
SOURCE = "tensorflow/lite/kernels/internal/reference/maximum_minimum.h"
KIND = "MAXIMUM"
VERSIONS = (1, 4)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    return _extremes.lower(node, graph, constants, KIND.lower(), ">")
