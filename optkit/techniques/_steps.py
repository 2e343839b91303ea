"""The step by which weights are rounded to 4 bits with the least error."""

from __future__ import annotations

import numpy as np

# Symmetric around 0, as the runtimes' kernels multiply without a zero point: 15 values.
MOST = 7
# The step is looked for between a third of what the widest weight needs and all of it, in hundredths of that.
_SHARES = np.linspace(0.3, 1.0, 71)
# Rows looked at at once, so that a large kernel is not held many times over.
_VALUES_AT_ONCE = 1 << 20


def best_steps(rows: np.ndarray, square: np.ndarray, *, per_tensor: bool) -> np.ndarray:
    """Steps of least error at 4 bits, by a line search.

    The error of an output is the sum of each weight's error times its input. Of the inputs only the mean squares are
    looked at, as if they did not go together: what is minimized is the sum of square · (w - s · q)², q = round(w / s)
    clipped to -7 to 7 (Choukroun et al. 2019, arXiv:1902.06822, section 3.1: a line search for the least squared error;
    that of each weight counts here as its input does, which is the error of a layer's outputs, Frantar et al. 2022,
    arXiv:2210.17323, equation 1, without the products of different inputs).

    Args:
        rows: Weights [output channels, values].
        square: Mean square of each weight's input, of the same shape or [1, values].
        per_tensor: One step for all.

    Returns:
        float64 [output channels], or [1]; 0 where all weights are.
    """
    if per_tensor:
        rows, square = rows.reshape(1, -1), np.broadcast_to(square, rows.shape).reshape(1, -1)
    found = []
    step = max(1, _VALUES_AT_ONCE // rows.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step].astype(np.float64)
        counts = square if len(square) == 1 else square[start : start + step]
        widest = np.abs(part).max(axis=1)
        steps = _SHARES[:, None] * widest / MOST
        errors = np.stack([_error(part, counts, one) for one in steps])
        found.append(np.where(widest > 0, steps[errors.argmin(axis=0), np.arange(len(part))], 0.0))
    return np.concatenate(found)


def _error(rows: np.ndarray, square: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Weighted squared error of each row at its step."""
    step = np.where(steps > 0, steps, 1.0)[:, None]
    rounded = np.clip(np.rint(rows / step), -MOST, MOST) * step
    total: np.ndarray = (square * (rounded - rows) ** 2).sum(axis=1)
    return total
