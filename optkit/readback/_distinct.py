"""How many different values a stored tensor holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def distinct(values: np.ndarray) -> int:
    """Different numbers in an array of any shape; a NaN is one, and so are 0 and -0."""
    import numpy as np

    if values.dtype.kind in "iu" and values.dtype.itemsize == 1:
        return int(np.count_nonzero(np.bincount(values.reshape(-1).view(np.uint8), minlength=256)))
    # NumPy (2.4.6) sorts float16 wrongly on some processors with AVX-512: it found 22 values where there are 16.
    return len(np.unique(values.astype(np.float32) if values.dtype == np.float16 else values))
