"""Tables whose columns one int8 scale cannot hold are told."""

from __future__ import annotations

import numpy as np
import pytest

from optkit import data
from optkit.pipeline.calibration import check_calibration
from optkit.pipeline.settings import Settings
from optkit.verify.column_ranges import judge_columns

GENERATOR = np.random.default_rng(0)
ALIKE = GENERATOR.normal(0, 1, (500, 4)).astype(np.float32)


def test_columns_that_are_lost_are_named() -> None:
    (warning,) = judge_columns(ALIKE * np.float32([1, 100, 2, 1_000]))
    assert "in 2 of 4 columns (number 1, 3)" in warning


@pytest.mark.parametrize(
    "values",
    [
        ALIKE,
        ALIKE * np.float32([1, 1, 1, 20]),
        # A column that never changes says nothing, whatever the step.
        np.hstack([ALIKE * 1_000, np.ones((500, 1), np.float32)]),
        ALIKE[:, :1],
        np.tile(ALIKE * np.float32([1, 100, 2, 1_000]), 20),
        ALIKE.reshape(500, 2, 2) * 1_000,
        data.load("mnist").real(data.load("mnist").train.images[:200], (784,)),
    ],
)
def test_others_are_left_alone(values: np.ndarray) -> None:
    assert judge_columns(values) == []


def test_it_is_looked_at_where_int8_files_are_made(tmp_path: object) -> None:
    np.savez(f"{tmp_path}/table.npz", x=ALIKE * np.float32([1, 100, 2, 1_000]), y=np.arange(500) % 2)
    dataset = data.load(f"{tmp_path}/table.npz")
    settings = Settings(data=f"{tmp_path}/table.npz", calibration_count=100)
    assert any("one step for all columns" in one for one in check_calibration(dataset, settings, int8=True))
    assert not any("one step for all columns" in one for one in check_calibration(dataset, settings, int8=False))
