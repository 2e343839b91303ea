"""PRELU: negative values times a factor of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels, _pairs
from optkit.codegen._arithmetic import check_sum, multiplier
from optkit.codegen._writing import Constants, Kernel, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "Negative values times stored factors, one for each value or for many."
SOURCE = "tensorflow/lite/kernels/internal/reference/prelu.h"
KIND = "PRELU"
VERSIONS = (1, 1)
IGNORED: tuple[int, ...] = ()

_TYPE = Kernel(
    "prelu_t",
    """\
typedef struct {
    int32_t value, value_below;
    int8_t shift, shift_below, zero_a, zero_b, zero;
} prelu_t;
""",
)
_COMPUTE = (
    "const int32_t found = left >= 0 ? scale(left, p->value, p->shift) : "
    "scale(left * right, p->value_below, p->shift_below);\n        "
    "out[i] = clamp(found + p->zero, -128, 127);"
)


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    _kernels.check_int8(node, graph, 2)
    given, factors, made = graph.input(node, 0), graph.input(node, 1), graph.output(node)
    if given.shape != made.shape or factors.values is None:
        raise InputError(f"{node.place} has factors that are computed, or another shape behind; export it again")
    # Both in float32, see PreluPrepare.
    above = multiplier(float(given.scale / made.scale))
    below = multiplier(float(np.float32(given.scale * factors.scale) / made.scale))
    check_sum((255 << max(0, above.shift)) + 128, node)
    check_sum((255 * 255 << max(0, below.shift)) + 128, node)
    record = constants.record(
        "prelu_t",
        {
            "value": above.value,
            "value_below": below.value,
            "shift": above.shift,
            "shift_below": below.shift,
            "zero_a": given.zero_point,
            "zero_b": factors.zero_point,
            "zero": made.zero_point,
        },
        comment(made.name),
        16,
    )
    return _pairs.lower(
        node,
        graph,
        constants,
        name="prelu",
        what="Values a, those below zero times b.",
        compute=_COMPUTE,
        declared=_TYPE,
        record=record,
    )
