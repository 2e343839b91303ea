"""The numbers that TensorFlow Lite's kernels work out once, before they run, to the last bit.

Source: tensorflow/lite/kernels/internal/quantization_util.cc and the ``Prepare`` functions in
tensorflow/lite/kernels/*.cc. Where those multiply or divide in float32, so does this, since the result decides the
last bit of a multiplier.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.codegen._graph import Node, Tensor

LOWEST, HIGHEST = -128, 127
_INT32 = 2**31
_FAR = 2.0**20


class Multiplier(NamedTuple):
    """A factor as ``value × 2^(shift - 31)``, ``value`` from 2^30 to 2^31 - 1."""

    value: int
    shift: int


def multiplier(factor: float) -> Multiplier:
    """``QuantizeMultiplier``: a factor as a 32-bit multiplier and a shift."""
    if factor == 0:
        return Multiplier(0, 0)
    fraction, shift = math.frexp(factor)
    value = math.floor(fraction * _INT32 + 0.5)
    if value == _INT32:
        value //= 2
        shift += 1
    # Such a factor leaves nothing of 32 bits.
    return Multiplier(0, 0) if shift < -31 else Multiplier(value, shift)


def rounded(value: float) -> int:
    """``TfLiteRound``: to the nearest, halves away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def clamp(value: int) -> int:
    """To the range of int8."""
    return max(LOWEST, min(HIGHEST, value))


# Fused activations: lower and upper limit of the real values.
_LIMITS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0, None),
    "RELU_N1_TO_1": (-1, 1),
    "RELU6": (0, 6),
}


def activation_range(code: int, names: dict[int, str], output: Tensor, node: Node) -> tuple[int, int]:
    """``CalculateActivationRangeQuantized``: lowest and highest int8 value that an operator may write.

    Raises:
        InputError: The activation cannot be part of an int8 operator.
    """
    name = names.get(code, str(code))
    if name not in _LIMITS:
        raise InputError(f"{node.place} has the activation {name} in it; covered are {', '.join(_LIMITS)}")
    return limits(_LIMITS[name], output)


def limits(real: tuple[float | None, float | None], output: Tensor) -> tuple[int, int]:
    """Two real limits as values of a tensor, inside int8; the division is one of float32."""

    def quantized(value: float) -> int:
        return output.zero_point + rounded(float(np.float32(value) / output.scale))

    low = LOWEST if real[0] is None else max(LOWEST, quantized(real[0]))
    high = HIGHEST if real[1] is None else min(HIGHEST, quantized(real[1]))
    return low, high


def table(function: Callable[[np.float32], np.float32], given: Tensor, made: Tensor) -> np.ndarray:
    """``LUTPopulate``: what a function of one value becomes, int8 [256], indexed by the value as uint8."""
    inverse = np.float32(1) / made.scale
    found = np.zeros(256, np.int8)
    for value in range(LOWEST, HIGHEST + 1):
        real = given.scale * np.float32(value - given.zero_point)
        # Far outside of int8 all is one, and infinity has no whole number.
        scaled = max(-_FAR, min(_FAR, float(function(real)) * float(inverse)))
        found[value & 255] = clamp(rounded(float(np.float32(scaled))) + made.zero_point)
    return found


def check_sum(worst: int, node: Node) -> None:
    """Stop where a sum may leave 32 bits: what the reference kernels do then is not defined.

    Raises:
        InputError: It may.
    """
    if worst >= _INT32:
        raise InputError(
            f"{node.place} can sum up to {worst}, which is more than 32 bits hold; its bias or scales are damaged, "
            "export the model again"
        )
