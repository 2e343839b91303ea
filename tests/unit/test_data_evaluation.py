"""Data files to judge models with: what is taken, and what is refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from optkit.data._evaluation import load_evaluation
from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def saved(folder: Path, **arrays: np.ndarray) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def test_the_packaged_data_have_test_and_validation_parts() -> None:
    found = load_evaluation("mnist")
    assert (found.test.images.shape, found.test.images.dtype) == ((10_000, 28, 28, 1), np.float32)
    assert found.test.images.max() == 1
    assert found.validation is not None
    assert len(found.validation.images) == 5000


@pytest.mark.parametrize(("images", "labels"), [("x_test", "y_test"), ("images", "labels"), ("x", "y")])
def test_arrays_go_by_the_usual_names(tmp_path: Path, images: str, labels: str) -> None:
    found = load_evaluation(saved(tmp_path, **{images: IMAGES, labels: LABELS}))
    assert np.array_equal(found.test.images, IMAGES.astype(np.float32))
    assert found.test.labels is not None
    assert found.test.labels.tolist() == LABELS.tolist()
    assert found.validation is None
    assert len(found.sha256) == 64


def test_scale_multiplies_and_labels_may_be_one_hot(tmp_path: Path) -> None:
    source = saved(tmp_path, x_test=IMAGES, y_test=np.eye(3)[LABELS], x_val=IMAGES[:2], y_val=LABELS[:2, None])
    found = load_evaluation(source, scale=1 / 255)
    assert found.test.images.max() <= 1
    assert found.test.labels is not None
    assert found.test.labels.tolist() == LABELS.tolist()
    assert found.validation is not None
    assert found.validation.labels is not None
    assert found.validation.labels.tolist() == [0, 1]


def test_images_alone_have_no_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    assert load_evaluation(str(tmp_path / "images.npy")).test.labels is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": IMAGES}, "found pictures"),
        ({"x_test": IMAGES, "y_test": LABELS[:5]}, "expected 6 labels"),
        ({"x_test": IMAGES, "y_test": LABELS - 1}, "labels from 0 on"),
        ({"x_test": IMAGES, "y_test": LABELS + 0.5}, "labels"),
        ({"x_test": LABELS, "y_test": LABELS}, r"expected numbers \[images"),
        ({"x_test": IMAGES[:0], "y_test": LABELS[:0]}, r"expected numbers \[images"),
        ({"x_test": np.full((2, 3), np.nan), "y_test": LABELS[:2]}, "NaN"),
        ({"x_test": np.array([["a", "b"]]), "y_test": LABELS[:1]}, "expected numbers"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_evaluation(saved(tmp_path, **arrays))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 no archive")
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{"code": 1}], dtype=object), allow_pickle=True)
    for path in (damaged, pickled):
        with pytest.raises(InputError, match="expected NumPy arrays"):
            load_evaluation(str(path))
    with pytest.raises(InputError, match="cannot read"):
        load_evaluation(str(tmp_path / "missing.npz"))
    with pytest.raises(InputError, match="did you mean mnist"):
        load_evaluation("mnits")
    with pytest.raises(InputError, match="--scale is for data files"):
        load_evaluation("mnist", scale=2)
    with pytest.raises(InputError, match="--scale expects"):
        load_evaluation(saved(tmp_path, x_test=IMAGES), scale=0.0)
