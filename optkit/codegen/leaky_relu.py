"""LEAKY_RELU: negative values times a factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _elementwise, _kernels
from optkit.codegen._arithmetic import HIGHEST, LOWEST
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Negative values times a factor, rescaled."
SOURCE = "tensorflow/lite/kernels/internal/reference/leaky_relu.h"
KIND = "LEAKY_RELU"
VERSIONS = (1, 2)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    _kernels.check_int8(node, graph)
    given, made = graph.input(node), graph.output(node)
    alpha = np.float32(node.options.alpha)
    if not alpha >= 0:
        raise InputError(f"{node.place} has the factor {alpha}; covered are factors from 0")
    # Both are worked out in float32, see LeakyReluPrepare.
    factors = (float(np.float32(given.scale / made.scale)), float(np.float32(given.scale * alpha) / made.scale))
    return _elementwise.rescale(node, graph, constants, factors, (LOWEST, HIGHEST))
