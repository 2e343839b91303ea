"""Data sets: MNIST, whole and split once and for all; how any source is found, and what becomes of raw values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from optkit import data, registry
from optkit.data import DataSpec, mnist
from optkit.errors import InputError
from optkit.problem import Preprocessing

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
    assert len(few.train.labels) == len(few.train.images) == 600
    assert few.calibration.max() < 600
    assert np.array_equal(few.train.images[590:700], whole.train.images[590:600])
    assert np.array_equal(few.test.images[:], whole.test.images[:])


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
def test_real_values_are_pixel_over_255_in_the_models_shape(shape: tuple[int, ...]) -> None:
    images = np.array([[[0, 255], [51, 102]]], np.uint8).repeat(14, 1).repeat(14, 2)
    real = data.to_real(images, Preprocessing(scale=1 / 255), shape)
    assert real.shape == (1, *shape)
    assert real.dtype == np.float32
    assert np.allclose(np.unique(real), [0, 0.2, 0.4, 1])


def test_a_mean_and_deviation_per_channel() -> None:
    raw = np.full((2, 4, 4, 3), 100, np.uint8)
    real = data.to_real(raw, Preprocessing(mean=(100, 90, 80), std=(1, 2, 4)))
    assert real[1, 2, 3].tolist() == [0, 5, 5]
    assert raw.max() == 100


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = bytearray(mnist.PATH.read_bytes())
    damaged[5_000_000] ^= 1
    path = tmp_path / "mnist.npz"
    path.write_bytes(damaged)
    monkeypatch.setattr(mnist, "PATH", path)
    with pytest.raises(InputError, match="damaged"):
        mnist.load(DataSpec())
    path.unlink()
    with pytest.raises(InputError, match="cannot read"):
        mnist.load(DataSpec())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "did you mean mnist"),
        ("npz", "expects a data set or your own file"),
        ("", "expects a data set or your own file"),
        ("x" * 5000, "File name too long"),
        ("model.txt", "nothing there"),
    ],
)
def test_an_unknown_data_set_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        data.load(name)


def test_every_source_is_a_plug_in_and_reads_or_is_built_in() -> None:
    names = registry.names("data")
    assert {"mnist", "npz", "npy", "image-folder", "table"} <= set(names)
    for name in names:
        module = registry.load("data", name)
        assert hasattr(module, "accepts") == hasattr(module, "read")


def test_pictures_in_arrays_are_brought_to_size_and_channels_when_they_are_asked_for() -> None:
    spec = DataSpec("mnist", Preprocessing(scale=1 / 255, resize=(14, 20), channels="rgb"))
    small, whole = data.load(spec), data.load("mnist")
    assert small.train.images.shape == (55_000, 14, 20, 3)
    assert small.train.images[:3].shape == (3, 14, 20, 3)
    assert small.train.images[np.array([7, 3])].dtype == np.uint8
    assert len({small.sha256, whole.sha256}) == 2
    # Antialiased: a mean over each two by two pixels, not one of them.
    halved = data.load(DataSpec("mnist", Preprocessing(resize=(14, 14)))).test.images[:50][..., 0].astype(float)
    blocks = whole.test.images[:50].reshape(50, 14, 2, 14, 2).astype(float)
    assert np.abs(halved - blocks.mean(axis=(2, 4))).mean() < np.abs(halved - blocks[:, :, 0, :, 0]).mean() / 2


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    digests = []
    for seed in (0, 1):
        np.savez(path, x=np.random.default_rng(seed).normal(size=(40, 3)), y=np.arange(40) % 2)
        os.utime(path, (seed, seed))
        digests.append(data.load(str(path)).sha256)
    assert digests[0] != digests[1]


def test_calibration_data_of_ones_own(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
    np.save(tmp_path / "own.npy", images)
    dataset = data.load(DataSpec(calibration=str(tmp_path / "own.npy")))
    assert dataset.calibration_images is not None
    assert np.array_equal(dataset.calibration_images[:], images)
    for wrong, message in ((images[:, :27], "one model takes one shape"), (images / 255, "store them alike")):
        np.save(tmp_path / "wrong.npy", wrong)
        with pytest.raises(InputError, match=message):
            data.load(DataSpec(calibration=str(tmp_path / "wrong.npy")))
        (tmp_path / "wrong.npy").unlink()


def test_labels_outside_the_models_outputs() -> None:
    dataset = data.load("mnist")
    data.check_outputs(dataset, 10)
    with pytest.raises(InputError, match=r"training labels of mnist are outside the model's outputs.*the model has 9"):
        data.check_outputs(dataset, 9)
