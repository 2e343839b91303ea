"""Parity and collapse for outputs that are no classes' probabilities: logits, sigmoids, one output, constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optkit.problem import Task
from optkit.verify import collapse, verify_file
from optkit.verify.parity import LIMITS, compare, same_sides

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.schema import Check, Parity

random = np.random.default_rng(5)
COUNT = 1000
LOGITS = random.normal(scale=4, size=(COUNT, 5)).astype(np.float32)
LEANING = random.normal(scale=2, size=(COUNT, 1)).astype(np.float32)
SIDES = (1 / (1 + np.exp(-LEANING))).astype(np.float32)
LEVELS = random.normal(300, 50, size=(COUNT, 1)).astype(np.float32)
PROBABILITY, LOGIT = Task("binary", "probabilities", 1), Task("binary", "logits", 1)
VALUE = Task("regression", "values", 1)
SEVERAL = Task("multiclass", "logits", 5)
SIGMOIDS = Task("multiclass", "sigmoids", 5)
CASES = [(SEVERAL, LOGITS), (PROBABILITY, SIDES), (LOGIT, LEANING), (VALUE, LEVELS)]


def judged(outputs: np.ndarray, reference: np.ndarray, task: Task, precision: str) -> tuple[Parity | None, set[str]]:
    """Parity, and the names of the checks of both kinds that failed."""
    parity, checks = compare(outputs, reference, limits=LIMITS[precision], scale=None, task=task)
    return parity, failed([*checks, *collapse.checks(outputs, outputs, reference, task)])


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


def eight_bits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 and what they stand for, over the whole range."""
    scale = (values.max() - values.min()) / 255
    native = (np.rint((values - values.min()) / scale) - 128).astype(np.int8)
    return native, ((native.astype(np.float32) + 128) * scale + values.min()).astype(np.float32)


@pytest.mark.parametrize(("task", "reference"), CASES)
def test_right_files_pass(task: Task, reference: np.ndarray) -> None:
    assert judged(reference, reference, task, "fp32")[1] == set()
    native, real = eight_bits(reference)
    parity, checks = compare(real, reference, limits=LIMITS["int8"], scale=0.1, task=task)
    assert failed([*checks, *collapse.checks(native, real, reference, task)]) == set()
    assert parity is not None
    assert parity.passed
    assert (parity.top1_agreement is None) == (task.kind == "regression")


@pytest.mark.parametrize(("task", "reference"), CASES)
@pytest.mark.parametrize("precision", sorted(LIMITS))
def test_outputs_of_other_images_are_rejected(task: Task, reference: np.ndarray, precision: str) -> None:
    names = judged(np.roll(reference, 1, axis=0), reference, task, precision)[1]
    assert "mean error" in names
    agreement = {"multiclass": {"top-1 agreement"}, "binary": {"same side"}, "regression": set()}[task.kind]
    assert agreement <= names


@pytest.mark.parametrize(("task", "reference"), CASES)
def test_a_constant_file_is_found(task: Task, reference: np.ndarray) -> None:
    constant = np.repeat(reference[:1], COUNT, axis=0)
    names = judged(constant, reference, task, "int8")[1]
    assert {"output depends on the input", "mean error"} <= names
    assert ("answers more than one class" in names) == (task.kind != "regression")


@pytest.mark.parametrize(("task", "reference"), CASES)
def test_nan_is_found(task: Task, reference: np.ndarray) -> None:
    broken = reference.copy()
    broken[3] = np.nan
    parity, names = judged(broken, reference, task, "int8")
    assert parity is None
    assert {"parity", "no NaN or infinity"} == names


def test_a_model_that_is_constant_is_called_so_and_passes_no_file() -> None:
    constant = np.full((COUNT, 1), 0.3, np.float32)
    for task in (PROBABILITY, VALUE):
        parity, checks = compare(constant, constant, limits=LIMITS["fp32"], scale=None, task=task)
        assert parity is not None
        assert failed(checks) == set()
        bad = [check for check in collapse.checks(constant, constant, constant, task) if not check.passed]
        assert [check.name for check in bad] == ["output depends on the input"]
        assert "the Keras variant itself" in bad[0].reason
        off = compare(constant + 0.1, constant, limits=LIMITS["int8"], scale=None, task=task)[1]
        assert {"mean error", "largest error"} <= failed(off)


def test_a_model_that_answers_one_class_may_have_files_that_do() -> None:
    rare = SIDES * np.float32(0.45)
    checks = collapse.checks(rare, rare, rare, PROBABILITY)
    assert failed(checks) == set()
    check = next(check for check in checks if check.name == "answers more than one class")
    assert (check.observed, check.limit) == (1, 1)
    assert "answers one class for all" in check.reason


def test_sides_that_changed_are_rejected_where_the_reference_is_sure() -> None:
    changed = LEANING.copy()
    changed[np.argsort(-np.abs(LEANING[:, 0]))[:30]] *= -1
    assert "same side" in judged(changed, LEANING, LOGIT, "int8")[1]
    # As logits, one half is a side like any other; as probabilities it is the border.
    moved = LEANING + 0.5
    assert "same side" in judged(moved, LEANING, LOGIT, "fp32")[1]
    # Changes near the border are not held against a file.
    near = np.where(np.abs(LEANING) < 0.3, -LEANING, LEANING)
    assert np.mean(near != LEANING) > 0.1
    assert "same side" not in judged(near, LEANING, LOGIT, "int8")[1]


def test_sides_are_those_of_the_task() -> None:
    one, other = np.array([[0.2], [0.6], [-0.2]], np.float32), np.array([[0.4], [0.4], [0.2]], np.float32)
    assert same_sides(one, other, PROBABILITY).tolist() == [True, False, True]
    assert same_sides(one, other, LOGIT).tolist() == [True, True, False]


def test_values_clipped_by_a_wrong_output_scale_are_found() -> None:
    low, high = np.quantile(LEVELS, [0.05, 0.9])
    native, _ = eight_bits(np.clip(LEVELS, low, high))
    clipped = np.clip(LEVELS, low, high).astype(np.float32)
    assert "output not saturated" in failed(collapse.checks(native, clipped, LEVELS, VALUE))
    # At the type's end because the value is there: a ReLU's zeros.
    zeros = np.maximum(LEVELS - 300, 0)
    native, real = eight_bits(zeros)
    assert failed(collapse.checks(native, real, zeros, VALUE)) == set()


def test_two_sure_sigmoids_are_no_lost_answer_but_a_clipped_one_is() -> None:
    sure = np.full((COUNT, 5), 0.01, np.float32)
    sure[np.arange(COUNT), np.arange(COUNT) % 5] = 1.0
    sure[np.arange(COUNT), (np.arange(COUNT) + 1) % 5] = 0.999
    native = np.clip(np.rint(sure * 256) - 128, -128, 127).astype(np.int8)
    real = (native.astype(np.float32) + 128) / 256
    assert failed(collapse.checks(native, real, sure, SIGMOIDS)) == set()
    assert "output not saturated" in failed(collapse.checks(native, real, sure, SEVERAL))
    apart = np.where(sure == np.float32(0.999), np.float32(0.8), sure)
    assert "output not saturated" in failed(collapse.checks(native, real, apart, SIGMOIDS))


def test_a_file_with_one_output_is_verified(tmp_path: Path) -> None:
    weights = random.normal(size=(16, 1)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="dense")],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "fp32.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    inputs = random.normal(size=(200, 16)).astype(np.float32)
    for task in (LOGIT, VALUE):
        settings = {"precision": "fp32", "integer_io": None, "task": task, "available": 200}
        right = verify_file(path, images=inputs, reference=inputs @ weights, **settings)
        assert failed(right.checks) == set()
        wrong = verify_file(path, images=inputs, reference=inputs @ -weights, **settings)
        assert "mean error" in failed(wrong.checks)
        assert ("same side" in failed(wrong.checks)) == (task is LOGIT)
