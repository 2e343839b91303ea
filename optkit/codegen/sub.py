"""SUB: the difference of two tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _sums

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Difference of two tensors, one of them perhaps smaller or a constant."
SOURCE = "tensorflow/lite/kernels/internal/reference/integer_ops/add.h and reference/sub.h"
KIND = "SUB"
VERSIONS = (1, 5)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    return _sums.lower(node, graph, constants, "sub", "-")
