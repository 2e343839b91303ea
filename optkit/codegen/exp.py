"""EXP: the exponential function, from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _elementwise, _libm

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Exponential function, from a table of 256 bytes."
SOURCE = "tensorflow/lite/kernels/exp.cc"
KIND = "EXP"
VERSIONS = (1, 2)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    return _elementwise.tabled(node, graph, constants, _libm.exp)
