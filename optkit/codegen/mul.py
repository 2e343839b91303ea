"""MUL: the product of two tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels, _pairs
from optkit.codegen._arithmetic import activation_range, check_sum, multiplier
from optkit.codegen._writing import Constants, Kernel, Step, comment
from optkit.tflite_schema import names_of

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "Product of two tensors, one of them perhaps smaller or a constant."
SOURCE = "tensorflow/lite/kernels/internal/reference/integer_ops/mul.h"
KIND = "MUL"
VERSIONS = (1, 7)
IGNORED: tuple[int, ...] = ()

_TYPE = Kernel(
    "product_t",
    """\
typedef struct {
    int32_t value;
    int8_t shift, zero_a, zero_b, zero, low, high;
} product_t;
""",
)
_COMPUTE = "out[i] = clamp(scale(left * right, p->value, p->shift) + p->zero, p->low, p->high);"


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    _kernels.check_int8(node, graph, 2)
    a, b, made = graph.input(node, 0), graph.input(node, 1), graph.output(node)
    # In float32, see the kernel's Prepare.
    factor = multiplier(float(np.float32(a.scale * b.scale) / made.scale))
    check_sum((255 * 255 << max(0, factor.shift)) + 128, node)
    low, high = activation_range(node.options.fusedActivationFunction, names_of("ActivationFunctionType"), made, node)
    record = constants.record(
        "product_t",
        {
            "value": factor.value,
            "shift": factor.shift,
            "zero_a": a.zero_point,
            "zero_b": b.zero_point,
            "zero": made.zero_point,
            "low": low,
            "high": high,
        },
        comment(made.name),
        12,
    )
    return _pairs.lower(
        node,
        graph,
        constants,
        name="mul",
        what="Two tensors, a * b.",
        compute=_COMPUTE,
        declared=_TYPE,
        record=record,
    )
