"""Distinct values of stored tensors are counted right whatever NumPy's sort does on this processor."""

from __future__ import annotations

import numpy as np
import pytest

from optkit.readback._distinct import distinct


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint8", "int32"])
def test_every_value_is_counted_once(dtype: str) -> None:
    random = np.random.default_rng(0)
    # The sizes and counts of values of this sequence are those in which NumPy 2.4.6 was seen to miscount float16.
    for size in (100, 1000, 5000, 14464, 100_000):
        for count in (3, 16, 300, 5000):
            values = (random.normal(size=count) * (1 if "float" in dtype else 40)).astype(dtype)
            array = values[random.integers(0, count, size)]
            assert distinct(array) == len(set(array.tolist()))


def test_nan_and_both_zeros_are_one_value_each() -> None:
    assert distinct(np.array([np.nan, 1, np.nan, 0.0, -0.0], np.float16)) == 3
