"""LOGISTIC: the sigmoid, from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _elementwise, _libm
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Sigmoid, from a table of 256 bytes."
SOURCE = "tensorflow/lite/kernels/activations.cc"
KIND = "LOGISTIC"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    if graph.output(node).scale != np.float32(1 / 256):
        raise InputError(f"{node.place} has the output scale {graph.output(node).scale}, expected 1/256")
    one = np.float32(1)
    return _elementwise.tabled(node, graph, constants, lambda x: one / (one + _libm.exp(-x)))
