"""TANH: the hyperbolic tangent, from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _elementwise, _libm

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Hyperbolic tangent, from a table of 256 bytes."
SOURCE = "tensorflow/lite/kernels/activations.cc"
KIND = "TANH"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    return _elementwise.tabled(node, graph, constants, _libm.tanh)
