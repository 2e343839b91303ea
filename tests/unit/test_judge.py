"""Finished files of any origin are judged by what their outputs and the labels are: classes, two sides, values."""

from __future__ import annotations

from dataclasses import replace as replace_facts
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import TensorProto, helper, numpy_helper

from optkit.data._evaluation import Evaluation, Labelled
from optkit.pipeline.judge import Images, choose, range_warnings, task_of, with_accuracy, write_images
from optkit.pipeline.progress import Schedule
from optkit.problem import Preprocessing, Task
from optkit.readback import ModelFacts, Port
from optkit.schema import Check, Size, Variant

if TYPE_CHECKING:
    from pathlib import Path

random = np.random.default_rng(11)
INPUTS = random.normal(size=(400, 6)).astype(np.float32)
WEIGHTS = random.normal(size=(6, 1)).astype(np.float32)
LEVELS = (INPUTS @ WEIGHTS)[:, 0]
NOISY = LEVELS + random.normal(scale=0.2, size=400).astype(np.float32)
SIDES = (NOISY > 0).astype(np.int64)


def made(folder: Path, name: str, weights: np.ndarray, *, sigmoid: bool = False, file_bytes: int = 100) -> Variant:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["s" if sigmoid else "y"])]
    nodes += [helper.make_node("Sigmoid", ["s"], ["y"])] if sigmoid else []
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    size = Size(file_bytes, file_bytes, 24, 0, 6, 6, {})
    checks = [Check("any", passed=True, observed=None, limit=None, unit="")]
    return Variant(name, "onnx", "onnxruntime", None, str(path), None, "ok", checks=checks, size=size)


def judged(folder: Path, labels: np.ndarray, *variants: Variant) -> tuple[list[Variant], dict, Evaluation]:
    """The first variant is the baseline; the first half of the examples is for validation."""
    half = len(INPUTS) // 2
    evaluation = Evaluation(
        "made",
        "00" * 32,
        Labelled(INPUTS[half:], labels[half:]),
        Labelled(INPUTS[:half], labels[:half]),
        Preprocessing(),
    )
    images: Images = write_images(evaluation, folder)
    first, *others = variants
    files = [replace(first, is_baseline=True), *others]
    done, answers = with_accuracy(files, evaluation, images, folder / "log.txt", Schedule({}, lambda _: None))
    return done, answers, evaluation


def test_values_are_judged_by_their_errors_and_the_smallest_as_good_is_chosen(tmp_path: Path) -> None:
    files = [
        made(tmp_path, "base", WEIGHTS, file_bytes=900),
        made(tmp_path, "same", WEIGHTS * 1.0001, file_bytes=500),
        made(tmp_path, "off", WEIGHTS + 0.5, file_bytes=10),
    ]
    done, answers, evaluation = judged(tmp_path, NOISY, *files)
    assert all(one.accuracy is None and one.errors is not None for one in done)
    half = len(INPUTS) // 2
    assert done[0].errors is not None
    assert done[0].errors.mae == pytest.approx(np.abs(NOISY - LEVELS)[half:].mean(), rel=1e-4)
    assert done[0].errors.versus_baseline is None
    verdicts = [one.errors.versus_baseline.verdict for one in done[1:] if one.errors and one.errors.versus_baseline]
    assert verdicts == ["no measurable difference", "worse"]
    assert done[2].metrics["largest_changes"]
    choice = choose(done, answers, evaluation, "size")
    assert choice is not None
    assert choice.variant == "same"
    assert "the file with the least error, " in choice.rule


def test_one_output_and_labels_of_two_kinds_are_sides_whether_logits_or_probabilities(tmp_path: Path) -> None:
    files = [made(tmp_path, "logits", WEIGHTS), made(tmp_path, "sigmoid", WEIGHTS, sigmoid=True)]
    done, answers, evaluation = judged(tmp_path, SIDES, *files)
    right = (LEVELS > 0).astype(int) == SIDES
    for one in done:
        assert one.accuracy is not None
        assert one.accuracy.correct == right[200:].sum()
        assert len(one.accuracy.confusion) == 2
        assert one.accuracy_validation is not None
        assert one.accuracy_validation.correct == right[:200].sum()
    assert done[1].flips == []
    choice = choose(done, answers, evaluation, "size")
    assert choice is not None
    assert "accuracy" in choice.rule


def test_files_that_do_not_fit_the_labels_are_failed_with_the_reason(tmp_path: Path) -> None:
    several = made(tmp_path, "several", np.repeat(WEIGHTS, 3, axis=1))
    done, _, _ = judged(tmp_path, NOISY, several)
    assert done[0].status == "failed"
    assert "labels are values to predict" in done[0].failures[0]
    few = made(tmp_path, "two", np.repeat(WEIGHTS, 2, axis=1))
    done, _, _ = judged(tmp_path, np.arange(400) % 3, few)
    assert "labels go up to 2" in done[0].failures[0]


def test_a_file_with_values_among_classes_is_failed(tmp_path: Path) -> None:
    whole = np.arange(400) % 3
    files = [made(tmp_path, "classes", random.normal(size=(6, 3))), made(tmp_path, "value", WEIGHTS)]
    done, answers, evaluation = judged(tmp_path, whole, *files)
    assert done[0].accuracy is not None
    assert done[1].errors is None
    assert done[1].status == "failed"
    assert "one output, other files have one for each class" in done[1].failures[0]
    choice = choose(done, answers, evaluation, "size")
    assert choice is not None
    assert choice.variant == "classes"


def test_an_integer_input_without_a_scale_is_told_where_the_data_are_no_whole_numbers() -> None:
    port = Port("x", "uint8", (-1, 6), None, None)
    facts = ModelFacts("onnx", 100, (port,), (), (), ())
    variant = Variant("cast", "onnx", "onnxruntime 1", None, "cast.onnx", "", "ok")

    def told(inputs: np.ndarray, known: Port = port) -> list[str]:
        evaluation = Evaluation("made", "", Labelled(inputs, None), None, Preprocessing())
        return range_warnings(variant, replace_facts(facts, inputs=(known,)), evaluation)

    (warning,) = told(INPUTS)
    assert "does not tell the scale: the data are rounded to whole numbers; give --scale" in warning
    assert told(np.rint(INPUTS)) == []
    assert told(INPUTS, replace_facts(port, dtype="float32")) == []
    assert "scale" not in " ".join(told(INPUTS, replace_facts(port, scale=0.05, zero_point=128)))


@pytest.mark.parametrize(
    ("labels", "outputs", "task"),
    [
        ([0, 1], [0.2, 0.9], Task("binary", "probabilities", 1)),
        ([0, 1], [0.0, 1.003], Task("binary", "probabilities", 1)),
        ([0, 1], [-0.2, 0.9], Task("binary", "logits", 1)),
        ([0, 0], [0.2, 1.9], Task("binary", "logits", 1)),
        ([0, 2], [0.2, 0.9], Task("regression", "values", 1)),
        ([0.0, 1.0], [0.2, 0.9], Task("regression", "values", 1)),
    ],
)
def test_what_one_output_stands_for(labels: list, outputs: list, task: Task) -> None:
    assert task_of(np.array(labels), np.array(outputs, np.float32)) == task
