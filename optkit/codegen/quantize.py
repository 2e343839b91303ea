"""QUANTIZE: real values to int8, or int8 to other scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _elementwise
from optkit.codegen._writing import Constants, Kernel, Rows, Step
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "Real values to int8 or uint8, and between scales and zero points of these."
SOURCE = "tensorflow/lite/kernels/internal/reference/quantize.h and requantize.h"
KIND = "QUANTIZE"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()

_RANGES = {"int8": (-128, 127), "uint8": (0, 255)}
_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t"}
# 1000 is beyond every int8 and uint8 with any zero point, and a float holds all halves below it.
_TEXT = """\
/* Real values divided by a scale, halves away from zero. */
KERNEL void {name}(float step, int zero, const float *x, {made} *out, int count)
{{
    int i;
    for (i = 0; i < count; i++) {{
        const float value = x[i] / step;
        const float held = value > -1000.0F ? (value < 1000.0F ? value : 1000.0F) : -1000.0F;
        int whole = (int)held;
        const float rest = held - (float)whole;
        whole += (rest >= 0.5F) - (rest <= -0.5F) + zero;
        out[i] = ({made})(whole < {low} ? {low} : whole > {high} ? {high} : whole);
    }}
}}
"""


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    given, made = graph.input(node), graph.output(node)
    if made.dtype not in _RANGES or given.dtype not in {*_RANGES, "float32"}:
        raise InputError(f"{node.place} makes {made.dtype} of {given.dtype}; covered are float32, int8 and uint8")
    if given.dtype != "float32":
        factor = given.scales[0] / made.scales[0]
        return _elementwise.rescale(node, graph, constants, (factor, factor), _RANGES[made.dtype])
    _elementwise.check_same_size(node, graph)
    low, high = _RANGES[made.dtype]
    name = f"quantize_{made.dtype}"
    kernel = Kernel(name, _TEXT.format(name=name, made=_C_TYPES[made.dtype], low=low, high=high))
    call = f"{name}({real(made.scale)}, {made.zero_point}, {{in0}}, {{out}}, {{count}});"
    return Step(node, (given.index,), call, (kernel,), Rows())


def real(value: np.float32) -> str:
    """A float32 as C, to the last bit."""
    text = np.format_float_scientific(value, unique=True, trim="0")
    return f"{text}F"
