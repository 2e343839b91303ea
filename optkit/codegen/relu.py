"""RELU: negative values become zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _elementwise

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Zero for negative values, rescaled."
SOURCE = "tensorflow/lite/kernels/activations.cc"
KIND = "RELU"
VERSIONS = (1, 2)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    return _elementwise.bounded(node, graph, constants, (0, None))
