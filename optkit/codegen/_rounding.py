"""Factors that round once, as LiteRT's reference kernel of dense layers does in float64, in integers.

That kernel's result, ``round(sum × factor)``, grows with the sum, step by step. So does an integer product with a
half added and shifted. Two such stairs are equal everywhere once they are equal at both sides of each step, and there
are at most 255: that is looked at for each factor, and an integer factor that differs anywhere is not used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen._arithmetic import HIGHEST, LOWEST, Multiplier
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Node

# Shifts from here on say that there is one rounding, by all of the shift; below, they are those of `Multiplier`.
ONCE = 32
# Integers around the exact one that are tried: a greater one also rounds halves away from zero on both sides.
_TRIED = (0, 1, -1, 2, -2, 3, -3)
_NARROW_BITS = 31
_WIDE_BITS = 62


def once(factors: list[float], worst: list[int], zero: int, node: Node) -> tuple[list[Multiplier], bool]:
    """Integer factors with one rounding.

    Args:
        factors: Real ones, float64.
        worst: For each, the greatest sum by amount that it meets.
        zero: Zero point that is added behind: with it the result is held in int8.
        node: For the message.

    Returns:
        A factor each, and whether they need more than 32 bits.

    Raises:
        InputError: There is none that does the same everywhere.
    """
    narrow = [_found(factor, most, zero, _NARROW_BITS) for factor, most in zip(factors, worst, strict=True)]
    if all(one is not None for one in narrow):
        return [one for one in narrow if one is not None], False
    wide = [
        _found(factor, most, zero, _WIDE_BITS - most.bit_length()) for factor, most in zip(factors, worst, strict=True)
    ]
    if any(one is None for one in wide):
        raise InputError(f"{node.place} has scales for which no integer factor rounds as the reference kernel does")
    return [one for one in wide if one is not None], True


def _found(factor: float, worst: int, zero: int, bits: int) -> Multiplier | None:
    """The factor of so many bits that makes the same stairs, ``None`` where none does."""
    fraction, exponent = math.frexp(factor)
    shift = bits - exponent
    # Below ONCE the shift would be taken for that of two roundings; from 63 on nothing is left of 64 bits.
    if factor <= 0 or not ONCE <= shift <= _WIDE_BITS:
        return None
    exact = round(fraction * 2.0**bits)
    starts = _steps(factor, worst, zero)
    levels = _real(factor, starts)
    for change in _TRIED:
        value = exact + change
        # In 32 bits the half is added to the product's upper part.
        held = bits > _NARROW_BITS or worst + 2 ** (shift - ONCE) < 2**31
        if 0 < value < 2**bits and held and _same(value, shift, starts, levels):
            return Multiplier(value, shift)
    return None


def _real(factor: float, sums: np.ndarray) -> np.ndarray:
    """``round(sum × factor)`` in float64, halves away from zero, int64."""
    product = sums.astype(np.float64) * factor
    whole = np.trunc(product)
    rest = product - whole
    result: np.ndarray = (whole + (rest >= 0.5) - (rest <= -0.5)).astype(np.int64)
    return result


def _steps(factor: float, worst: int, zero: int) -> np.ndarray:
    """The sums at which the result, held in int8, is one higher than at the sum before, int64."""
    levels = np.arange(LOWEST + 1 - zero, HIGHEST + 1 - zero)
    near = np.ceil((levels - 0.5) / factor).astype(np.int64)
    tried = near[:, None] + np.arange(-2, 3)
    above = _real(factor, tried.reshape(-1)).reshape(tried.shape) >= levels[:, None]
    starts: np.ndarray = tried[np.arange(len(levels)), above.argmax(axis=1)]
    inside: np.ndarray = starts[(np.abs(starts) <= worst) | (np.abs(starts - 1) <= worst)]
    return inside


def _same(value: int, shift: int, starts: np.ndarray, levels: np.ndarray) -> bool:
    """Whether the integer factor reaches each level at the same sum, and not before."""
    half = 1 << (shift - 1)
    for start, level in zip(starts.tolist(), levels.tolist(), strict=True):
        if (start * value + half) >> shift < level or ((start - 1) * value + half) >> shift >= level:
            return False
    return True
