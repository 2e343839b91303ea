"""Answers come from the file itself, one image at a time, and the figures from the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optkit.measure import accuracy as module
from optkit.measure.accuracy import (
    MOST_FLIPS,
    accuracy,
    accuracy_validation,
    answers,
    class_metrics,
    confusion,
    flips,
)

if TYPE_CHECKING:
    from pathlib import Path

LABELS = np.array([0, 0, 1, 1, 2, 2])
FOUND = np.array([0, 1, 1, 1, 0, 0])
rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


class EchoSession:
    """Its outputs are the first three pixels of the image."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self._native = np.zeros((0, 3))

    def to_native(self, images: np.ndarray) -> np.ndarray:
        return np.round(images * 100).astype(np.int8)

    def feed(self, native: np.ndarray) -> None:
        self.batches.append(len(native))
        self._native = native

    def invoke(self) -> None:
        pass

    def fetch(self) -> np.ndarray:
        return self._native[:, :3].copy()


def test_answers_are_first_maxima_of_native_outputs_at_batch_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = EchoSession()
    opened: list[tuple[Path, int]] = []

    def open_model(path: Path, *, threads: int) -> EchoSession:
        opened.append((path, threads))
        return session

    monkeypatch.setattr(module.runtimes, "open_model", open_model)
    monkeypatch.setattr(module, "_CHUNK", 2)
    # In the third image the second output is larger, by less than a quantization step: equal, so the first.
    images = np.array([[0.1, 0.9, 0.3], [0.5, 0.1, 0.7], [0.501, 0.502, 0.1]], dtype=np.float32)
    assert answers(tmp_path / "a.tflite", images, threads=2).tolist() == [1, 2, 0]
    assert session.batches == [1, 1, 1]
    assert opened == [(tmp_path / "a.tflite", 2)]


def test_answers_of_a_real_file_are_its_own(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, numbers = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", numbers, [None, 28, 28])],
        [helper.make_tensor_value_info("y", numbers, [None, 10])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "linear.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    images = np.random.default_rng(1).random((50, 28, 28), dtype=np.float32)
    expected = (images.reshape(50, 784) @ weights).argmax(axis=1)
    assert answers(path, images).tolist() == expected.tolist()


def test_accuracy_counts_and_compares() -> None:
    found = accuracy(LABELS, FOUND, LABELS, FOUND)
    assert (found.correct, found.total, found.top1) == (3, 6, 0.5)
    assert found.ci95[0] < 0.5 < found.ci95[1]
    assert found.confusion == [[1, 1, 0], [0, 2, 0], [2, 0, 0]]
    assert found.versus_baseline is not None
    assert (found.versus_baseline.lost, found.versus_baseline.gained) == (3, 0)
    assert found.versus_control is not None
    assert (found.versus_control.lost, found.versus_control.gained) == (0, 0)


def test_the_baseline_is_compared_with_nothing() -> None:
    found = accuracy(LABELS, FOUND)
    assert found.versus_baseline is None
    assert found.versus_control is None
    assert accuracy_validation(LABELS, FOUND).versus_baseline is None


def test_validation_accuracy_is_compared_too() -> None:
    found = accuracy_validation(LABELS, FOUND, LABELS)
    assert (found.correct, found.total) == (3, 6)
    assert found.versus_baseline is not None
    assert found.versus_baseline.lost == 3


def test_confusion_has_a_row_for_classes_that_do_not_occur() -> None:
    assert confusion(np.array([0]), np.array([1]), classes=4) == [[0, 1, 0, 0], *[[0] * 4] * 3]


@pytest.mark.parametrize(
    ("labels", "found", "classes"),
    [([0, 1], [0], None), ([], [], None), ([0, 1], [0, 7], 3), ([0, 1], [0, -1], None)],
)
def test_confusion_rejects_what_does_not_fit(labels: list, found: list, classes: int | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        confusion(np.array(labels, dtype=int), np.array(found, dtype=int), classes=classes)


def test_validation_accuracy_rejects_other_lengths() -> None:
    with pytest.raises(ValueError, match="an answer for each"):
        accuracy_validation(LABELS, FOUND[:-1])


def test_class_metrics_are_known_and_null_where_undefined() -> None:
    per_class = class_metrics(confusion(LABELS, FOUND, classes=4))["per_class"]
    assert per_class[0] == {"class": 0, "images": 2, "precision": 1 / 3, "recall": 0.5, "f1": 0.4}
    assert per_class[1]["precision"] == pytest.approx(2 / 3)
    # Class 2 is never answered, class 3 neither answered nor asked.
    assert (per_class[2]["precision"], per_class[2]["recall"], per_class[2]["f1"]) == (None, 0.0, None)
    assert (per_class[3]["precision"], per_class[3]["recall"], per_class[3]["f1"]) == (None, None, None)


def test_a_class_that_is_always_wrong_has_an_f1_of_zero() -> None:
    per_class = class_metrics([[0, 3], [2, 0]])["per_class"]
    assert [(one["precision"], one["recall"], one["f1"]) for one in per_class] == [(0.0, 0.0, 0.0)] * 2


@given(rows)
def test_metrics_agree_with_the_confusion(pairs: list[tuple[int, int]]) -> None:
    labels, found = np.array(pairs).T
    counts = confusion(labels, found, classes=4)
    assert sum(map(sum, counts)) == len(pairs)
    assert sum(counts[k][k] for k in range(4)) == accuracy(labels, found).correct
    for one in class_metrics(counts)["per_class"]:
        if one["f1"]:
            harmonic = 2 / (1 / one["precision"] + 1 / one["recall"])
            assert one["f1"] == pytest.approx(harmonic)


def test_flips_are_listed_in_order_and_not_without_end() -> None:
    found = flips(LABELS, LABELS, FOUND)
    assert [(one.index, one.baseline, one.answer, one.label) for one in found] == [
        (1, 0, 1, 0),
        (4, 2, 0, 2),
        (5, 2, 0, 2),
    ]
    many = np.zeros(MOST_FLIPS + 5, dtype=int)
    assert [one.index for one in flips(many, many, many + 1)] == list(range(MOST_FLIPS))
    assert flips(many, many, many) == []
