"""DEQUANTIZE: int8 to real values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _elementwise, quantize
from optkit.codegen._writing import Constants, Kernel, Rows, Step
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "int8 or uint8 to real values."
SOURCE = "tensorflow/lite/kernels/internal/reference/dequantize.h"
KIND = "DEQUANTIZE"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()

_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t"}
# The reference multiplies in float64 and rounds once; a product of 24 and 9 bits has one rounding in float32 too.
_TEXT = """\
KERNEL void {name}(float step, int zero, const {given} *x, float *out, int count)
{{
    int i;
    for (i = 0; i < count; i++) {{
        out[i] = step * (float)(x[i] - zero);
    }}
}}
"""


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    del constants
    given, made = graph.input(node), graph.output(node)
    if given.dtype not in _C_TYPES or made.dtype != "float32":
        raise InputError(f"{node.place} makes {made.dtype} of {given.dtype}; covered are int8 and uint8 to float32")
    _elementwise.check_same_size(node, graph)
    name = f"dequantize_{given.dtype}"
    kernel = Kernel(name, _TEXT.format(name=name, given=_C_TYPES[given.dtype]))
    call = f"{name}({quantize.real(given.scale)}, {given.zero_point}, {{in0}}, {{out}}, {{count}});"
    return Step(node, (given.index,), call, (kernel,), Rows())
