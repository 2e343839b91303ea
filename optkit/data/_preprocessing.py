"""Reads how raw values become real inputs as it is declared on the command line."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from optkit.errors import InputError
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_SIDE = 4096


def declared(
    scale: str | float | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    resize: str | None = None,
    channels: Literal["as they are", "grey", "rgb", "bgr"] | None = None,
) -> Preprocessing | None:
    """The preprocessing that options declare; ``None`` where they declare nothing.

    Args:
        scale: A number other than 0, or a fraction such as ``1/255``.
        mean: Finite numbers.
        std: Numbers over 0.
        resize: ``HEIGHTxWIDTH``, or one number for both.
        channels: Order or number of channels.

    Raises:
        InputError: An option cannot be read or used.
    """
    if scale is None and not mean and not std and resize is None and channels is None:
        return None
    for name, values in (("mean", mean), ("std", std)):
        if not all(math.isfinite(value) and (name == "mean" or value > 0) for value in values):
            wanted = "finite numbers" if name == "mean" else "numbers over 0"
            raise InputError(f"--{name} expects {wanted}, found {', '.join(f'{value:g}' for value in values)}")
    return Preprocessing(
        scale=1.0 if scale is None else read_scale(scale),
        mean=tuple(mean),
        std=tuple(std),
        resize=None if resize is None else _size(resize),
        channels=channels or "as they are",
    )


def read_scale(text: str | float) -> float:
    """A factor: a number, or a fraction such as ``1/255``.

    Raises:
        InputError: It is neither, or 0, or not finite.
    """
    above, _, below = str(text).partition("/")
    try:
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value) or value == 0:
        raise InputError(f"--scale expects a number other than 0 or a fraction such as 1/255, found {text!r}")
    return value


def read_numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers parted by commas.

    Raises:
        InputError: One is none.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} expects numbers parted by commas, found {text!r}") from None


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", text.strip())
    sides = () if match is None else (int(match[1]), int(match[2] or match[1]))
    if not sides or not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise InputError(f"--resize expects HEIGHTxWIDTH, each 1 to {LARGEST_SIDE}, found {text!r}")
    return sides
