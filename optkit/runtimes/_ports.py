"""Real images to a model's own input type, and its outputs back: the same rules for every runtime."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.readback import Port


def to_native(images: np.ndarray, port: Port) -> np.ndarray:
    """Quantize (or cast) and reshape real images to the input's type.

    Integer inputs: q = clip(round(x / scale) + zero point) (Jacob et al. 2018, equation 1), ties to even.
    The division is done in float32, as a device does it.

    Args:
        images: float32 [batch, …]; the same number of values per image as the model's input.
        port: The input; an integer one without a scale takes rounded values.

    Returns:
        Contiguous array of the port's dtype, [batch, …] in the model's shape.

    Raises:
        InputError: An image has another number of values than the input.
    """
    wanted = port.shape[1:]
    if min(wanted, default=0) >= 0 and images.shape[1:] != wanted:
        if math.prod(images.shape[1:]) != math.prod(wanted):
            raise InputError(
                f"the model's input {port.name!r} takes {list(wanted)} per image, "
                f"the data have {list(images.shape[1:])}; give data of that shape"
            )
        images = images.reshape(len(images), *wanted)
    dtype = np.dtype(port.dtype)
    if dtype.kind not in "iu":
        return np.ascontiguousarray(images, dtype)
    steps = np.asarray(images, np.float32)
    if port.scale is not None:
        steps = steps / np.float32(port.scale)
    limits = np.iinfo(dtype)
    native: np.ndarray = np.clip(np.rint(steps) + (port.zero_point or 0), limits.min, limits.max)
    return native.astype(dtype, order="C")


def from_native(outputs: np.ndarray, port: Port) -> np.ndarray:
    """Real values float32 of native outputs: r = scale · (q − zero point) for integer outputs."""
    if port.scale is None:
        return outputs.astype(np.float32)
    return (outputs.astype(np.float32) - np.float32(port.zero_point or 0)) * np.float32(port.scale)


def rows(output: np.ndarray) -> np.ndarray:
    """A native output as [batch, values]."""
    return output if output.ndim == 2 else output.reshape(len(output) if output.ndim else 1, -1)
