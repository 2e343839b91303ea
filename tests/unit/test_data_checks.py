"""What is wrong with data is found before any work; splits keep each class's share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from optkit import data
from optkit.data import DataSpec, _split
from optkit.data._labels import read_labels
from optkit.errors import InputError
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
LABELS = np.arange(300) % 3


def loaded(folder: Path, preprocessing: Preprocessing | None = None, **arrays: np.ndarray) -> data.Dataset:
    path = folder / f"{len(list(folder.iterdir()))}.npz"
    np.savez(path, **arrays)
    return data.load(DataSpec(str(path), preprocessing))


def parts(**changed: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "x_train": IMAGES[:200],
        "y_train": LABELS[:200],
        "x_test": IMAGES[200:],
        "y_test": LABELS[200:],
    } | changed


def with_value(value: float) -> np.ndarray:
    images = IMAGES[200:].copy()
    images[37, 2] = value
    return images


REFUSED = {
    "NaN": (parts(x_test=with_value(np.nan)), "NaN or infinity.*position 37"),
    "infinite": (parts(x_test=with_value(-np.inf)), "NaN or infinity.*position 37"),
    "beyond float32": (parts(x_test=with_value(0).astype(float) * 1e300), "NaN or infinity"),
    "all alike": (parts(x_train=np.ones((200, 4), np.float32)), "training images are alike"),
    "one class": (parts(y_train=np.ones(200, int), y_test=np.ones(100, int)), "all 150 training labels are 1"),
    "one value": (parts(y_train=np.full(200, 0.5), y_test=LABELS[200:] + 0.5), "all 150 training labels are 0.5"),
    "negative": (parts(y_test=LABELS[200:] - 1), "labels from 0 on in x_test of .*found -1"),
    "beyond one-hot": (parts(y_train=np.eye(3)[LABELS[:200]], y_test=LABELS[200:] + 1), "0 to 2 in x_test.*found 3"),
    "not one-hot": (parts(y_train=np.ones((200, 3), int)), "not one-hot"),
    "more classes than examples": (parts(y_train=LABELS[:200] * 1000), "more classes than examples"),
    "far more classes": (parts(y_train=LABELS[:200] * 10**12), "more than the 100000 classes"),
    "number of labels": (parts(y_test=LABELS[:99]), "expected 100 labels .*found 99"),
    "other shapes": (parts(x_test=IMAGES[200:, :3]), r"have the shape \[4\].*\[3\]"),
    "other types": (parts(x_test=(IMAGES[200:] * 9).astype(int)), "holds float32.*int64"),
    "text here and numbers there": (parts(y_test=LABELS[200:].astype(str)), "labels must be of one kind"),
    "test is training": (
        parts(x_test=IMAGES[:100], y_test=LABELS[:100]),
        "all 100 test examples are in the training or",
    ),
    "labels that are NaN": (parts(y_test=np.full(100, np.nan)), "finite labels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_or_judged_with_is_refused(tmp_path: Path, case: str) -> None:
    arrays, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as raised:
        loaded(tmp_path, **arrays)
    assert "\n" not in str(raised.value)


def test_good_data_pass_without_a_warning(tmp_path: Path) -> None:
    assert loaded(tmp_path, **parts()).warnings == ()


def test_a_test_set_that_overlaps_training_is_counted(tmp_path: Path) -> None:
    mixed = np.concatenate([IMAGES[:5], IMAGES[200:295]])
    dataset = loaded(tmp_path, **parts(x_test=mixed, x_val=IMAGES[295:], y_val=LABELS[295:]))
    found = "5 of 100 test examples (5.00%) are in the training or validation data as well"
    assert dataset.warnings == (f"{found}: accuracy may be too high by up to that share",)


def test_validation_data_that_are_elsewhere_too_are_counted(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, **parts(x_val=IMAGES[195:205], y_val=LABELS[195:205]))
    assert [warning.partition(" (")[0] for warning in dataset.warnings] == [
        "5 of 100 test examples",
        "5 of 10 validation examples",
    ]


def test_a_class_without_training_examples_is_said(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, **parts(y_train=np.where(LABELS[:200] == 1, 2, LABELS[:200])))
    assert dataset.warnings == ("1 of 3 classes have no training examples: 1",)


def test_a_mean_for_each_channel_needs_that_many(tmp_path: Path) -> None:
    loaded(tmp_path, Preprocessing(mean=(1, 2, 3, 4), std=(2,)), **parts())
    with pytest.raises(InputError, match="--mean expects one number, or one for each of the 4 values"):
        loaded(tmp_path, Preprocessing(mean=(1, 2, 3)), **parts())


def test_resize_needs_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--resize and --channels expect pictures"):
        loaded(tmp_path, Preprocessing(resize=(8, 8)), **parts())


def test_labels_and_their_order_are_part_of_the_digest(tmp_path: Path) -> None:
    whole = {"x": IMAGES, "y": LABELS}
    digests = [
        loaded(tmp_path, **arrays).sha256
        for arrays in (whole, whole, {"x": IMAGES, "y": LABELS[::-1]}, {"x": IMAGES[::-1], "y": LABELS[::-1]})
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    # Where the parts are declared, nothing but the labels differs.
    assert loaded(tmp_path, **parts()).sha256 != loaded(tmp_path, **parts(y_test=np.roll(LABELS[200:], 1))).sha256


@pytest.mark.parametrize("count", [1, 30, 99])
def test_what_is_held_out_has_each_classs_share(count: int) -> None:
    labels = np.repeat(np.arange(4), (10, 500, 189, 301))
    held, rest = _split.held_out(labels, count, np.random.default_rng(0))
    assert len(held) == count
    assert sorted([*held, *rest]) == list(range(1000))
    expected = np.bincount(labels) * count / 1000
    assert np.abs(np.bincount(labels[held], minlength=4) - expected).max() <= 1


def test_splits_are_the_same_every_time_and_share_nothing() -> None:
    split = _split.in_three(LABELS)
    assert [len(part) for part in split] == [180, 60, 60]
    assert sorted(np.concatenate(split)) == list(range(300))
    assert np.bincount(LABELS[split.test]).tolist() == np.bincount(LABELS[split.validation]).tolist() == [20, 20, 20]
    assert np.array_equal(split.train, _split.in_three(LABELS).train)
    assert len(_split.in_two(np.zeros(100_000, np.float32)).validation) == 5_000


@pytest.mark.parametrize(
    ("raw", "classes"),
    [
        ([0, 2, 1], 3),
        ([[0], [1], [1]], 2),
        ([True, False, True], 2),
        ([0.0, 1.0, 2.0], 3),
        ([0.0, 2.0, 3.0], 0),
        ([0.5, 1.0, 2.0], 0),
        ([[1, 0, 0], [0, 0, 1], [1, 0, 0]], 3),
        (["b", "a", "b"], 2),
    ],
)
def test_labels_of_every_kind(raw: list[object], classes: int) -> None:
    found = read_labels({"y": np.array(raw)})
    assert found.classes == classes
    assert found.parts["y"].dtype == (np.int64 if classes else np.float32)
    if raw == ["b", "a", "b"]:
        assert (found.names, found.parts["y"].tolist()) == (("a", "b"), [1, 0, 1])


@pytest.mark.parametrize(
    ("count", "three", "two"),
    [
        (1_000, [600, 200, 200], [750, 250, 0]),
        (9_999, [5_999, 2_000, 2_000], [7_499, 2_500, 0]),
        (10_000, [8_000, 1_000, 1_000], [9_000, 1_000, 0]),
        (100_000, [85_000, 5_000, 10_000], [95_000, 5_000, 0]),
    ],
)
def test_small_data_in_one_piece_hold_more_out(count: int, three: list[int], two: list[int]) -> None:
    labels = np.arange(count) % 10
    assert [len(part) for part in _split.in_three(labels)] == three
    assert [len(part) for part in _split.in_two(labels)] == two
