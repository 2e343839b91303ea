"""GELU: x times the share of a normal distribution below x, from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _elementwise, _libm

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Gaussian error linear unit, exact or by tanh, from a table of 256 bytes."
SOURCE = "tensorflow/lite/kernels/internal/reference/gelu.h"
KIND = "GELU"
VERSIONS = (1, 2)
IGNORED: tuple[int, ...] = ()

_HALF, _ONE, _CUBIC = np.float32(0.5), np.float32(1), np.float32(0.044715)
# sqrt(2 / pi), and 1 / sqrt(2) with its sign turned.
_SLOPE, _INNER = np.float32(0.7978845608028654), np.float32(-0.7071067811865476)


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    near = bool(node.options is not None and node.options.approximate)
    return _elementwise.tabled(node, graph, constants, _by_tanh if near else _exact)


def _exact(x: np.float32) -> np.float32:
    return _HALF * x * _libm.erfc(x * _INNER)


def _by_tanh(x: np.float32) -> np.float32:
    return _HALF * x * (_ONE + _libm.tanh(_SLOPE * (x + _CUBIC * x * x * x)))
