"""Raw values to a model's real inputs, these to its own types, and its outputs back.

The same rules for every runtime, and on the device.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Port(Protocol):
    """One input or output: its shape has the batch first, and -1 for any number.

    Integer ports may have a scale and a zero point.
    """

    @property
    def name(self) -> str:
        """What the file calls it."""

    @property
    def dtype(self) -> str:
        """Type of its values, as numpy names it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """All axes."""

    @property
    def scale(self) -> float | None:
        """Step of an integer value."""

    @property
    def zero_point(self) -> int | None:
        """The integer that stands for 0."""


def rescale(raw: np.ndarray, scale: float, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Real values float32 of raw ones of the same shape: (raw · scale − mean) / std.

    Args:
        raw: Any numbers; channels last. It is not changed.
        scale: Factor; where its reciprocal is a whole number (1/255), raw values are divided by that, so that the
            result is the float32 nearest to the true quotient.
        mean: One value, or one per channel; nothing when empty.
        std: Likewise.
    """
    # A copy, always: what is done in place below must not reach the data.
    real = np.array(raw, np.float32)
    whole = divisor(scale)
    if whole:
        real /= np.float32(whole)
    elif scale != 1:
        real *= np.float32(scale)
    if len(mean):
        real -= np.array(mean, np.float32)
    if len(std):
        real /= np.array(std, np.float32)
    return real


def divisor(scale: float) -> int:
    """The whole number whose reciprocal a factor is (255 for 1/255); 0 where it is none."""
    whole = round(1 / scale) if 0 < abs(scale) < 1 else 0
    return whole if whole and math.isclose(whole * scale, 1, rel_tol=1e-9) else 0


def to_native(images: np.ndarray, port: Port) -> np.ndarray:
    """Quantize (or cast) and arrange the real values of one input.

    Integer inputs: q = clip(round(x / scale) + zero point) (Jacob et al. 2018, equation 1), ties to even.
    The division is done in float32, as a device does it.

    Args:
        images: float32 [batch, height, width, channels], [batch, height, width], [batch, channels, height, width]
            or [batch, values].
        port: The input; an integer one without a scale takes rounded values.

    Returns:
        Contiguous array of the port's dtype, [batch, …] in the model's shape.

    Raises:
        InputError: The input's shape is none of the ways to arrange such an image.
    """
    arranged = _arranged(images, port)
    dtype = np.dtype(port.dtype)
    if dtype.kind not in "iu":
        return np.ascontiguousarray(arranged, dtype)
    steps = np.asarray(arranged, np.float32)
    if port.scale is not None:
        steps = steps / np.float32(port.scale)
    limits = np.iinfo(dtype)
    native: np.ndarray = np.clip(np.rint(steps) + (port.zero_point or 0), limits.min, limits.max)
    return native.astype(dtype, order="C")


def _arranged(images: np.ndarray, port: Port) -> np.ndarray:
    """The images in the model's layout: as they are, channels moved, a channel axis of 1 added or taken away, flat."""
    wanted, shape = port.shape[1:], images.shape[1:]
    given = shape
    if len(given) == 2 and len(wanted) == 3:
        images, given = images[..., None], (*given, 1)
    if _fits(given, wanted):
        return images
    if len(given) == 3 and len(wanted) == 3:
        channels_first, channels_last = np.moveaxis(images, -1, 1), np.moveaxis(images, 1, -1)
        for moved in (channels_first, channels_last):
            if _fits(moved.shape[1:], wanted):
                return moved
    if len(given) == 3 and len(wanted) == 2 and given[-1] == 1 and _fits(given[:-1], wanted):
        return images[..., 0]
    if 1 in {len(given), len(wanted)} and min(wanted, default=0) >= 0 and math.prod(given) == math.prod(wanted):
        return images.reshape(len(images), *wanted)
    raise InputError(
        f"the model's input {port.name!r} takes {list(wanted)} per image, "
        f"the data have {list(shape)}; give data of that shape"
    )


def _fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether shapes are equal, where -1 in the wanted one takes any number."""
    return len(given) == len(wanted) and all(two in {-1, one} for one, two in zip(given, wanted, strict=True))


def from_native(outputs: np.ndarray, port: Port) -> np.ndarray:
    """Real values float32 of native outputs: r = scale · (q − zero point) for integer outputs."""
    if port.scale is None:
        return outputs.astype(np.float32)
    return (outputs.astype(np.float32) - np.float32(port.zero_point or 0)) * np.float32(port.scale)


def rows(output: np.ndarray) -> np.ndarray:
    """A native output as [batch, values]."""
    return output if output.ndim == 2 else output.reshape(len(output) if output.ndim else 1, -1)
