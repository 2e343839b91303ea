"""Whether the columns of a table are alike enough for the one scale that an int8 input has."""

from __future__ import annotations

import numpy as np

# An int8 input has so many steps from the least to the greatest value of all columns together.
_STEPS = 255
# A column that reaches over fewer of them has less than three bits left.
_LEAST_STEPS = 8
# With more, values are pixels laid out flat, of which many are nearly always the same.
_MOST_COLUMNS = 64
_SHOWN = 5


def judge_columns(values: np.ndarray) -> list[str]:
    """Whether int8 files can tell the values of each column apart.

    Inputs are quantized per tensor: one scale and zero point (Jacob et al., 2018, arXiv:1712.05877, section 2.1), so
    that a column from 0 to 1 beside one from 0 to 1,000 becomes a single number.

    Args:
        values: Real values float32 [n, columns]; anything of another form is not looked at.

    Returns:
        A warning where a column that varies is lost.
    """
    if values.ndim != 2 or not 2 <= values.shape[1] <= _MOST_COLUMNS:
        return []
    step = float(np.ptp(values)) / _STEPS
    reach = np.ptp(values, axis=0)
    lost = np.flatnonzero((reach > 0) & (reach < _LEAST_STEPS * step)) + 1
    if not len(lost):
        return []
    shown = ", ".join(map(str, lost[:_SHOWN])) + ("…" if len(lost) > _SHOWN else "")
    warning = (
        f"int8 files have one step for all columns of their input, here {step:.3g}: in {len(lost)} of "
        f"{values.shape[1]} columns (number {shown}) nearly all is lost in it; train on columns of one scale (--mean "
        "and --std with a value for each, in place of a Normalization layer), or choose fp16"
    )
    return [warning]
