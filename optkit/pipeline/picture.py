"""The small picture of an example, for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.report.pictures import encode_png

if TYPE_CHECKING:
    from optkit.data import Examples

# Larger pictures would make the page heavy.
LARGEST_SIDE = 64


def draw(images: Examples, index: int) -> str | None:
    """One raw example as PNG in base64; ``None`` where it is no picture.

    Args:
        images: Raw examples [n, height, width] or [n, height, width, channels], 1 or 3 channels, any numbers: bytes
            are shown as they are, others from their least to their largest.
        index: Which.
    """
    image = images[index : index + 1][0]
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in {1, 3} or min(image.shape) < 1:
        return None
    step = -(-max(image.shape[:2]) // LARGEST_SIDE)
    image = image[::step, ::step]
    if image.dtype != np.uint8:
        values = image.astype(np.float64)
        low, high = float(values.min()), float(values.max())
        image = np.rint((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    height, width, channels = image.shape
    return encode_png(np.ascontiguousarray(image).tobytes(), width=width, height=height, channels=channels)
