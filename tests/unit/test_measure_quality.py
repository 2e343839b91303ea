"""Figures of quality by the kind of task: classes, two sides of one output, values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from optkit.errors import InputError
from optkit.measure.accuracy import answers, decided, fresh_answers
from optkit.measure.quality import MOST_CHANGES, Judged, errors, fields, largest_changes, value_metrics
from optkit.problem import Task
from optkit.schema import Variant

if TYPE_CHECKING:
    from pathlib import Path

random = np.random.default_rng(7)
INPUTS = random.normal(size=(2300, 6)).astype(np.float32)
WEIGHTS = random.normal(size=(6, 1)).astype(np.float32)
VALUE, LOGIT, SIDE = Task("regression", "values", 1), Task("binary", "logits", 1), Task("binary", "probabilities", 1)
values = st.lists(st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 2), min_size=1, max_size=50)


def linear(folder: Path, outputs: int = 1, *, sigmoid: bool = False) -> Path:
    """x·w, through a sigmoid or not, with as many outputs."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["s" if sigmoid else "y"])]
    nodes += [helper.make_node("Sigmoid", ["s"], ["y"])] if sigmoid else []
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, outputs])],
        [
            numpy_helper.from_array(
                np.repeat(WEIGHTS, outputs, axis=1) * (1 + np.arange(outputs, dtype=np.float32)), "w"
            )
        ],
    )
    path = folder / f"{outputs}{sigmoid}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_answers_of_one_output_are_sides_or_values(tmp_path: Path) -> None:
    wanted = (INPUTS @ WEIGHTS)[:, 0]
    found = answers(linear(tmp_path), INPUTS, task=VALUE)
    assert found.dtype == np.float32
    assert found == pytest.approx(wanted, abs=1e-4)
    sides = answers(linear(tmp_path), INPUTS, task=LOGIT)
    assert sides.dtype == np.int64
    sure = np.abs(wanted) > 1e-4
    assert (sides == (wanted > 0))[sure].all()
    assert (answers(linear(tmp_path, sigmoid=True), INPUTS, task=SIDE) == sides)[sure].all()
    # Sides of probabilities, taken for logits, would all be 1.
    assert answers(linear(tmp_path, sigmoid=True), INPUTS, task=LOGIT).all()


def test_answers_take_pieces_one_after_the_other_and_show_every_output(tmp_path: Path) -> None:
    alive = 0

    def pieces() -> object:
        nonlocal alive
        for start in range(0, len(INPUTS), 300):
            alive += 1
            yield INPUTS[start : start + 300]
        yield INPUTS[:0]

    seen: list[np.ndarray] = []
    found = answers(linear(tmp_path), pieces(), task=VALUE, see=seen.append)
    assert alive == 8
    assert found.tolist() == answers(linear(tmp_path), INPUTS, task=VALUE).tolist()
    assert np.concatenate(seen)[:, 0].tolist() == found.tolist()
    classes: list[np.ndarray] = []
    several = answers(linear(tmp_path, 3), INPUTS, see=classes.append)
    assert np.concatenate(classes).shape == (len(INPUTS), 3)
    assert (np.concatenate(classes).argmax(axis=1) == several).all()
    assert answers(linear(tmp_path), iter(()), task=VALUE).shape == (0,)


def test_outputs_that_the_task_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one output for a regression model"):
        answers(linear(tmp_path, 3), INPUTS[:2], task=VALUE)
    for task in (VALUE, LOGIT):
        with pytest.raises(InputError, match="NaN or infinity for 1 of 2"):
            decided(np.array([1.0, np.nan], np.float32), task)


def test_the_border_belongs_to_class_0() -> None:
    assert decided(np.array([0.5, 0.5001, 0.4], np.float32), SIDE).tolist() == [0, 1, 0]
    assert decided(np.array([0.0, 0.001, -1], np.float32), LOGIT).tolist() == [0, 1, 0]


def test_a_fresh_process_gives_single_outputs_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", INPUTS[:50])
    found, outputs = fresh_answers(linear(tmp_path), tmp_path / "x.npy", log=tmp_path / "log.txt")
    assert (outputs, found.dtype) == (1, np.float32)
    assert found == pytest.approx((INPUTS[:50] @ WEIGHTS)[:, 0], abs=1e-4)
    classes, outputs = fresh_answers(linear(tmp_path, 3), tmp_path / "x.npy", log=tmp_path / "log.txt")
    assert (outputs, classes.dtype) == (3, np.int64)
    assert classes.tolist() == answers(linear(tmp_path, 3), INPUTS[:50]).tolist()


def test_errors_are_known() -> None:
    found = errors(np.array([1, 2, 3, 4.0]), np.array([2, 2, 3, 1], np.float32))
    assert (found.mae, found.rmse, found.total) == (1.0, pytest.approx(np.sqrt(2.5)), 4)
    # 1 +- t(0.975, 3) * sqrt(2) / 2 reaches under 0, which no error is.
    assert found.mae_ci95 == (0.0, pytest.approx(1 + 3.182446 * np.sqrt(2) / 2, rel=1e-6))
    assert errors(np.array([1.0]), np.array([1.5])).mae_ci95 is None
    assert value_metrics(np.array([1, 2, 3, 4.0]), np.array([2, 2, 3, 1.0])) == {
        "median_absolute_error": 0.5,
        "largest_absolute_error": 3.0,
        "r2": -1.0,
    }
    assert value_metrics(np.ones(3), np.zeros(3))["r2"] is None


@pytest.mark.parametrize(("labels", "found"), [([], []), ([1.0], [1.0, 2.0]), ([1.0], [np.inf])])
def test_errors_reject_what_does_not_fit(labels: list, found: list) -> None:
    for figures in (errors, value_metrics):
        with pytest.raises(ValueError, match="expected"):
            figures(np.array(labels), np.array(found))


@given(values)
def test_errors_keep_their_order(rows: list[tuple[float, float]]) -> None:
    labels, found = np.array(rows).T
    figures = errors(labels, found)
    assert 0 <= figures.mae <= figures.rmse * (1 + 1e-9)
    assert figures.mae <= value_metrics(labels, found)["largest_absolute_error"] * (1 + 1e-9)
    assert errors(labels, labels).mae == 0
    if figures.mae_ci95 is not None:
        assert figures.mae_ci95[0] <= figures.mae <= figures.mae_ci95[1]


def test_the_largest_changes_come_first_and_are_not_without_end() -> None:
    labels, before = np.zeros(50, np.float32), np.zeros(50, np.float32)
    now = np.arange(50, dtype=np.float32) - 25
    found = largest_changes(labels, before, now)
    assert [one["index"] for one in found[:3]] == [0, 1, 49]
    assert found[0] == {"index": 0, "baseline": 0.0, "answer": -25.0, "label": 0.0}
    assert len(found) == MOST_CHANGES
    assert largest_changes(labels, before, before) == []


def parts(test: list, validation: list) -> dict[str, np.ndarray]:
    return {"test": np.array(test), "validation": np.array(validation)}


def test_fields_of_values_fit_the_record() -> None:
    labels = parts([1.0, 2, 3, 4, 5, 6, 7], [1.0, 2])
    baseline, own = parts([1.1, 2.1, 3.1, 4, 5, 6, 7], [1.0, 2]), parts([2.0, 3, 4, 5, 6, 7, 8], [1.5, 2])
    keras = {"test": {"values": {"mae": 1.0}, "not_judged": {"AUC": "it is for classes"}}}
    found = fields(VALUE, labels, Judged(own, baseline, baseline, keras))
    variant = msgspec.structs.replace(bare(), **found)
    assert variant.accuracy is None
    assert variant.flips == []
    assert variant.errors is not None
    assert variant.errors.mae == 1.0
    assert variant.errors.versus_baseline is not None
    assert variant.errors.versus_baseline.verdict == "worse"
    assert variant.errors.versus_control == variant.errors.versus_baseline
    assert variant.errors_validation is not None
    assert variant.errors_validation.mae == 0.25
    assert variant.metrics["keras"] == keras
    assert variant.metrics["largest_changes"][0]["index"] == 3
    alone = fields(VALUE, labels, Judged({"test": own["test"]}))
    assert alone["errors_validation"] is None
    assert "largest_changes" not in alone["metrics"]


def test_fields_of_two_sides_are_a_confusion_of_two() -> None:
    labels, own = parts([0, 0, 1, 1], [0]), parts([0, 0, 0, 0], [0])
    found = fields(SIDE, labels, Judged(own, parts([0, 0, 1, 0], [1])))
    assert found["accuracy"].confusion == [[2, 0], [2, 0]]
    assert [one["recall"] for one in found["metrics"]["per_class"]] == [1.0, 0.0]
    assert found["metrics"]["per_class"][1]["precision"] is None
    assert (found["accuracy"].versus_baseline.lost, found["accuracy_validation"].versus_baseline.gained) == (1, 1)
    assert [flip.index for flip in found["flips"]] == [2]
    assert "errors" not in found


def bare() -> Variant:
    return Variant("a", "onnx", "runtime", None, "a.onnx", None, "ok")
