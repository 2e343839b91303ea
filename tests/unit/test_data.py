"""MNIST: whole, split once and for all, and never mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from optkit import data
from optkit.data import mnist
from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_split_is_fixed_and_its_parts_share_no_image() -> None:
    dataset = data.load("mnist")
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part.labels) for part in parts] == [55_000, 5_000, 10_000]
    assert [part.labels[:5].tolist() for part in parts] == [[5, 2, 0, 8, 8], [8, 6, 4, 5, 8], [7, 2, 1, 0, 4]]
    calibration = dataset.train.images[dataset.calibration[:500]]
    assert data.overlap(calibration, dataset.test.images) == 0
    assert data.overlap(dataset.validation.images, dataset.train.images) == 0


def test_overlap_is_found() -> None:
    images = np.random.default_rng(0).integers(0, 255, (10, 28, 28), np.uint8)
    assert data.overlap(images[:4], images[2:]) == 2


def test_fewer_training_images_leave_the_other_parts_alone() -> None:
    few, whole = data.load("mnist", train_samples=600), data.load("mnist")
    assert len(few.train.labels) == 600
    assert few.calibration.max() < 600
    assert np.array_equal(few.test.images, whole.test.images)


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
def test_real_values_are_pixel_over_255_in_the_models_shape(shape: tuple[int, ...]) -> None:
    images = np.array([[[0, 255], [51, 102]]], np.uint8).repeat(14, 1).repeat(14, 2)
    real = data.to_real(images, shape)
    assert real.shape == (1, *shape)
    assert real.dtype == np.float32
    assert np.allclose(np.unique(real), [0, 0.2, 0.4, 1])


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = bytearray(mnist.PATH.read_bytes())
    damaged[5_000_000] ^= 1
    path = tmp_path / "mnist.npz"
    path.write_bytes(damaged)
    monkeypatch.setattr(mnist, "PATH", path)
    with pytest.raises(InputError, match="damaged"):
        mnist.load()
    path.unlink()
    with pytest.raises(InputError, match="cannot read"):
        mnist.load()


def test_an_unknown_data_set_is_refused_with_near_matches() -> None:
    with pytest.raises(InputError, match="did you mean mnist"):
        data.load("mnits")
