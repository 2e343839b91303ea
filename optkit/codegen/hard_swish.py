"""HARD_SWISH: x times min(max(x + 3, 0), 6) / 6, from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _elementwise, _kernels
from optkit.codegen._arithmetic import HIGHEST, LOWEST, clamp, multiplier
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "Hard swish, from a table of 256 bytes."
SOURCE = "tensorflow/lite/kernels/internal/reference/hard_swish.h"
KIND = "HARD_SWISH"
VERSIONS = (1, 1)
IGNORED: tuple[int, ...] = ()

_INT16 = 2**15
# Bits that are added to int8 values for the arithmetic in int16.
_FINER_BITS = 7


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    _kernels.check_int8(node, graph)
    given, made = graph.input(node), graph.output(node)
    # In float32, see HardSwishPrepare.
    finer = np.float32(1 / 2**_FINER_BITS) * given.scale
    output, output_shift = _narrow(float(finer / made.scale))
    slope, slope_shift = _narrow(float(finer / np.float32(3 / 32768)))
    if output_shift > 0:
        raise InputError(f"{node.place} has an output scale that is too small for its input; export the model again")
    values = np.zeros(256, np.int8)
    for value in range(LOWEST, HIGHEST + 1):
        wide = (value - given.zero_point) * 2**_FINER_BITS
        gate = _saturated(wide * 2 ** (slope_shift - 1)) if slope_shift > 0 else wide
        gate = _rounded_product(gate, slope)
        if slope_shift > 0:
            gate = _saturated(gate * 2)
        elif slope_shift < 0:
            gate = _halved(gate, -slope_shift)
        gate = (gate + _INT16) >> 1
        product = gate * _rounded_product(wide, output)
        # Towards zero.
        high = abs(product) // _INT16 * (1 if product >= 0 else -1)
        values[value & 255] = clamp(_halved(high, -output_shift) + made.zero_point)
    return _elementwise.looked_up(node, graph, constants, values)


def _narrow(factor: float) -> tuple[int, int]:
    """``DownScaleInt32ToInt16Multiplier``: a factor as 16 bits and a shift."""
    value, shift = multiplier(factor)
    if value >= 2**31 - 1 - _INT16:
        return _INT16 - 1, shift
    return (value + _INT16) >> 16, shift


def _saturated(value: int) -> int:
    return max(-_INT16, min(_INT16 - 1, value))


def _rounded_product(a: int, b: int) -> int:
    """``SaturatingRoundingDoublingHighMul`` of int16."""
    return (a * b + _INT16 // 2) >> 15


def _halved(value: int, times: int) -> int:
    """``RoundingDivideByPOT``."""
    mask = (1 << times) - 1
    return (value >> times) + int((value & mask) > (mask >> 1) + (value < 0))
