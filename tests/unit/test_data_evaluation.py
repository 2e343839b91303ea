"""Data to judge model files with: any source, with the parts that it declares or as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from optkit.data import DataSpec
from optkit.data._evaluation import Evaluation, load_evaluation
from optkit.errors import InputError
from optkit.pipeline.judge import write_images
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def saved(folder: Path, **arrays: np.ndarray) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def load(source: str, scale: float = 1.0) -> Evaluation:
    return load_evaluation(DataSpec(source, Preprocessing(scale=scale)))


def test_the_packaged_data_have_test_and_validation_parts() -> None:
    found = load_evaluation(DataSpec("mnist"))
    assert found.test.images.shape == (10_000, 28, 28)
    assert max(float(real.max()) for real in found.real_chunks(found.test)) == 1
    assert found.validation is not None
    assert len(found.validation.images) == 5000


@pytest.mark.parametrize(("images", "labels"), [("x_test", "y_test"), ("images", "labels"), ("x", "y")])
def test_arrays_go_by_the_usual_names(tmp_path: Path, images: str, labels: str) -> None:
    found = load(saved(tmp_path, **{images: IMAGES, labels: LABELS}))
    assert np.array_equal(found.real(found.test.images[:]), IMAGES.astype(np.float32))
    assert found.test.labels is not None
    assert found.test.labels.tolist() == LABELS.tolist()
    assert found.validation is None
    assert len(found.sha256) == 64


def test_scale_multiplies_and_labels_may_be_one_hot(tmp_path: Path) -> None:
    source = saved(tmp_path, x_test=IMAGES, y_test=np.eye(3)[LABELS], x_val=IMAGES[:2], y_val=LABELS[:2, None])
    found = load(source, scale=1 / 255)
    assert found.real(found.test.images[:]).max() <= 1
    assert found.test.labels is not None
    assert found.test.labels.tolist() == LABELS.tolist()
    assert found.validation is not None
    assert found.validation.labels is not None
    assert found.validation.labels.tolist() == [0, 1]


def test_labels_with_a_point_are_values(tmp_path: Path) -> None:
    found = load(saved(tmp_path, x_test=IMAGES, y_test=LABELS + 0.5))
    assert found.test.labels is not None
    assert found.test.labels.dtype == np.float32
    assert found.test.labels.tolist() == (LABELS + 0.5).tolist()


def test_images_alone_have_no_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    assert load_evaluation(str(tmp_path / "images.npy")).test.labels is None
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    (tmp_path / "images.npy").unlink()
    found = load(str(tmp_path))
    assert found.test.labels is None
    assert np.array_equal(found.test.images[:], IMAGES)


def test_a_folder_of_pictures_and_a_table(tmp_path: Path) -> None:
    for number, image in enumerate(IMAGES):
        (tmp_path / "test" / f"{LABELS[number]}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "test" / f"{LABELS[number]}" / f"{number}.png")
    found = load(str(tmp_path))
    assert found.test.labels is not None
    assert found.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(found.test.images[:], IMAGES[[0, 3, 1, 4, 2, 5]])
    (tmp_path / "t.csv").write_text("".join(f"{number},{number},{label}\n" for number, label in enumerate(LABELS)))
    table = load(str(tmp_path / "t.csv"))
    assert table.test.labels is not None
    assert (table.test.images.shape, table.test.labels.tolist()) == ((6, 2), LABELS.tolist())


def test_real_inputs_are_written_in_pieces_as_one_array(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1234, 4, 5), np.uint8)
    found = load(saved(tmp_path, x_test=images), scale=1 / 255)
    written = write_images(found, tmp_path)
    assert written.validation is None
    assert written.test is not None
    assert np.array_equal(np.load(written.test), images.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": IMAGES}, "found pictures"),
        ({"x_train": IMAGES, "y_train": LABELS}, "expected a test part"),
        ({"x_test": IMAGES, "y_test": LABELS[:5]}, "expected 6 labels"),
        ({"x_test": IMAGES, "y_test": LABELS - 1}, "labels from 0 on"),
        ({"x_test": IMAGES, "y_test": LABELS + np.inf}, "finite labels"),
        ({"x_test": LABELS, "y_test": LABELS}, r"expected numbers \[images"),
        ({"x_test": IMAGES, "y_test": LABELS[0]}, "found a single value"),
        ({"x_test": IMAGES[:0], "y_test": LABELS[:0]}, r"expected numbers \[images"),
        ({"x_test": np.full((2, 3), np.nan), "y_test": LABELS[:2]}, "NaN"),
        ({"x_test": np.array([["a", "b"]]), "y_test": LABELS[:1]}, "expected numbers"),
        ({"x_test": IMAGES, "x_val": IMAGES[:, :3]}, "one model takes one shape"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(saved(tmp_path, **arrays))


def test_a_column_is_named_for_tables_only(tmp_path: Path) -> None:
    found = saved(tmp_path, x_test=IMAGES, y_test=LABELS)
    with pytest.raises(InputError, match="--target names a column of a table"):
        load_evaluation(DataSpec(found, target="kind"))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 no archive")
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{"code": 1}], dtype=object), allow_pickle=True)
    for path in (damaged, pickled):
        with pytest.raises(InputError, match="expected NumPy arrays"):
            load(str(path))
    with pytest.raises(InputError, match="cannot read"):
        load(str(tmp_path / "missing.npz"))
    with pytest.raises(InputError, match="did you mean mnist"):
        load("mnits")
