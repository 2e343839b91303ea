"""AVERAGE_POOL_2D: the mean of the values under a window, as far as it lies on the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _pooling

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Mean of the values under a window, padding not counted."
SOURCE = "tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h"
KIND = "AVERAGE_POOL_2D"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()

# Halves go away from zero.
_KERNEL = _pooling.kernel(
    "average_pool",
    "0",
    "found += value;",
    """\
            {
                const int32_t count = (int32_t)(i_to - i_from) * (j_to - j_from);
                found = (found > 0 ? found + count / 2 : found - count / 2) / count;
            }
""",
)


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    return _pooling.lower(node, graph, constants, _KERNEL)
