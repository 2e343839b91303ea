"""Stored bytes to values: types narrower than a byte, and those that numpy has no name for."""

from __future__ import annotations

import math

import numpy as np

from optkit.errors import InputError

_NARROW_BITS = {"int4": 4, "uint4": 4, "int2": 2}
_NUMPY_NAMES = {"bool", "complex64", "complex128", "float16", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def unpack(raw: np.ndarray, dtype: str, shape: tuple[int, ...] | None, name: str) -> np.ndarray:
    """Values of a stored tensor.

    Args:
        raw: Bytes, uint8 [bytes], little-endian; narrow types packed with the first value in the low bits.
        dtype: The stored type, in lower case.
        shape: The tensor's shape, or ``None`` to keep the values flat.
        name: For the message.

    Returns:
        Values of that shape: int8 for narrow integers, float32 for bfloat16, bytes (uint8, flat) for types
        that are no numbers (strings, resources, 8-bit floats).

    Raises:
        InputError: The bytes are not as many as the shape needs.
    """
    if dtype in _NARROW_BITS:
        bits = _NARROW_BITS[dtype]
        fields = [(raw >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
        flat = np.stack(fields, axis=-1).reshape(-1).astype(np.int8)
        if not dtype.startswith("u"):
            # Two's complement: the upper half of the codes stands for negative values.
            flat = np.where(flat >= 1 << (bits - 1), flat - (1 << bits), flat).astype(np.int8)
        if shape is not None:
            wanted = math.prod(shape)
            if raw.size != math.ceil(wanted * bits / 8):
                raise InputError(f"tensor {name} has {raw.size} bytes for {wanted} values of {bits} bits")
            flat = flat[:wanted]
    elif dtype == "bfloat16":
        # bfloat16 is the upper half of float32.
        flat = (_view(raw, np.dtype("<u2"), name).astype(np.uint32) << 16).view(np.float32)
    elif dtype in _NUMPY_NAMES:
        flat = _view(raw, np.dtype(dtype), name)
    else:
        return raw
    if shape is None:
        return flat
    if flat.size != math.prod(shape):
        raise InputError(f"tensor {name} stores {flat.size} values, its shape is {list(shape)}")
    return flat.reshape(shape)


def _view(raw: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """The bytes seen as that type."""
    if raw.size % dtype.itemsize:
        raise InputError(f"tensor {name} has {raw.size} bytes, which is no multiple of {dtype.itemsize}")
    return np.frombuffer(raw.tobytes(), dtype)
