"""The C library's functions of float32: LiteRT fills its tables with them, and the last bit counts."""

from __future__ import annotations

import ctypes
import ctypes.util
import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def exp(value: np.float32) -> np.float32:
    """``expf``."""
    return np.float32(_function("expf")(float(value)))


def tanh(value: np.float32) -> np.float32:
    """``tanhf``."""
    return np.float32(_function("tanhf")(float(value)))


def expm1(value: np.float32) -> np.float32:
    """``expm1f``."""
    return np.float32(_function("expm1f")(float(value)))


def erfc(value: np.float32) -> np.float32:
    """``erfcf``."""
    return np.float32(_function("erfcf")(float(value)))


@cache
def _function(name: str) -> Callable[[float], float]:
    """A function of the system's C library; where there is none to load, float64's, rounded."""
    found = ctypes.util.find_library("m") or "libm.so.6"
    try:
        function = getattr(ctypes.CDLL(found), name)
    except (OSError, AttributeError):
        return _rounded(getattr(math, name.removesuffix("f")))
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    called: Callable[[float], float] = function
    return called


def _rounded(function: Callable[[float], float]) -> Callable[[float], float]:
    def called(value: float) -> float:
        try:
            return function(value)
        except OverflowError:
            return math.inf

    return called
