"""RELU_0_TO_1: values are held between 0 and 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _elementwise

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Values held between 0 and 1, rescaled."
SOURCE = "tensorflow/lite/kernels/activations.cc"
KIND = "RELU_0_TO_1"
VERSIONS = (1, 1)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    return _elementwise.bounded(node, graph, constants, (0, 1))
