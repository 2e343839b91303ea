"""Metrics by name are Keras's own: the table of names is complete, and the values are those of Keras."""

from __future__ import annotations

import inspect
import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import pytest
import tf_keras

from optkit.keras_metrics import METRICS, UNJUDGED, Running, why_not
from optkit.problem import Task

random = np.random.default_rng(3)
LABELS = random.integers(0, 4, 300)
LOGITS = (random.normal(size=(300, 4)) + 1.5 * np.eye(4)[LABELS]).astype(np.float32)
PROBABILITIES = (np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)).astype(np.float32)
SIDES = LABELS % 2
LEANING = (random.normal(size=(300, 1)) + 2 * SIDES[:, None] - 1).astype(np.float32)
# Over 0, as the logarithmic ones need.
LEVELS = random.gamma(4.0, size=300).astype(np.float32)
GUESSES = (LEVELS * random.uniform(0.7, 1.2, size=300)).astype(np.float32)[:, None]
BINARY = Task("binary", "probabilities", 1)


def found(task: Task, labels: np.ndarray, outputs: np.ndarray, piece: int = 77) -> dict:
    running = Running(task, labels)
    for start in range(0, len(labels), piece):
        running.see(outputs[start : start + piece])
    return running.results()


def named(task: Task, *names: str) -> Task:
    return Task(task.kind, task.outputs, task.size, names)


def test_every_metric_of_keras_is_known_and_every_known_one_is_of_keras() -> None:
    base = tf_keras.metrics.Metric
    of_keras = {
        name
        for name, one in vars(tf_keras.metrics).items()
        if inspect.isclass(one) and issubclass(one, base) and name not in {"Metric", "MeanMetricWrapper"}
    }
    assert of_keras == {*METRICS, *UNJUDGED}


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize(
    ("task", "labels", "outputs"),
    [
        (Task(size=4), LABELS, PROBABILITIES),
        (BINARY, SIDES, 1 / (1 + np.exp(-LEANING))),
        (Task("regression", "values", 1), LEVELS, GUESSES),
    ],
)
def test_every_metric_gives_numbers_for_its_tasks_and_a_reason_for_others(
    name: str, task: Task, labels: np.ndarray, outputs: np.ndarray
) -> None:
    result = found(named(task, name), labels, outputs)
    if task.kind in METRICS[name]:
        assert np.isfinite(result["values"][name]).all()
        assert result["not_judged"] == {}
    else:
        assert result["values"] == {}
        assert result["not_judged"][name] == why_not(name, task) != ""


def test_values_are_those_of_compile_and_evaluate() -> None:
    names = ["accuracy", "top_k_categorical_accuracy", "AUC", "Precision", "mae"]
    inputs = tf_keras.Input((4,))
    model = tf_keras.Model(inputs, tf_keras.layers.Softmax()(inputs))
    one_hot = np.eye(4, dtype=np.float32)[LABELS]
    model.compile(loss="categorical_crossentropy", metrics=["accuracy", *(tf_keras.metrics.get(n) for n in names[1:])])
    known = model.evaluate(LOGITS, one_hot, verbose=0)[1:]
    result = found(Task("multiclass", "logits", 4, tuple(names)), LABELS, LOGITS)
    assert list(result["values"].values()) == pytest.approx(known, rel=1e-5)


def test_logits_and_probabilities_agree() -> None:
    names = ("accuracy", "SparseCategoricalCrossentropy", "AUC", "KLDivergence")
    one = found(Task("multiclass", "logits", 4, names), LABELS, LOGITS)["values"]
    other = found(Task("multiclass", "probabilities", 4, names), LABELS, PROBABILITIES)["values"]
    assert one == pytest.approx(other, rel=1e-5)
    names = ("accuracy", "BinaryCrossentropy", "AUC", "Recall", "F1Score")
    one = found(Task("binary", "logits", 1, names), SIDES, LEANING)["values"]
    other = found(Task("binary", "probabilities", 1, names), SIDES, 1 / (1 + np.exp(-LEANING)))["values"]
    assert one["F1Score"] == pytest.approx(other["F1Score"])
    assert {k: v for k, v in one.items() if k != "F1Score"} == pytest.approx(
        {k: v for k, v in other.items() if k != "F1Score"}, rel=1e-5
    )
    # Not the answer of the largest of one output, which is always class 1.
    right = ((LEANING[:, 0] > 0) & (SIDES == 1)).sum()
    assert one["F1Score"] == pytest.approx([2 * right / ((LEANING > 0).sum() + (SIDES == 1).sum())])


def test_errors_of_values_are_known() -> None:
    names = ("mae", "MSE", "rmse", "R2Score")
    away = GUESSES[:, 0].astype(np.float64) - LEVELS
    result = found(Task("regression", "values", 1, names), LEVELS, GUESSES)["values"]
    assert result["mae"] == pytest.approx(np.abs(away).mean(), rel=1e-5)
    assert result["MSE"] == pytest.approx(np.square(away).mean(), rel=1e-5)
    assert result["rmse"] == pytest.approx(np.sqrt(np.square(away).mean()), rel=1e-5)
    assert result["R2Score"] == pytest.approx(1 - np.square(away).mean() / LEVELS.var(), rel=1e-4)


def test_pieces_do_not_matter_and_missing_ones_are_noticed() -> None:
    task = Task("multiclass", "probabilities", 4, ("AUC", "F1Score"))
    whole, pieces = found(task, LABELS, PROBABILITIES, 300), found(task, LABELS, PROBABILITIES, 1)
    assert whole["values"]["AUC"] == pytest.approx(pieces["values"]["AUC"])
    assert whole["values"]["F1Score"] == pytest.approx(pieces["values"]["F1Score"])
    running = Running(task, LABELS)
    running.see(PROBABILITIES[:10])
    with pytest.raises(ValueError, match="expected outputs of 300"):
        running.results()


def test_probabilities_a_little_over_one_are_taken() -> None:
    task = Task("binary", "probabilities", 1, ("AUC", "mae"))
    result = found(task, np.array([0, 1]), np.array([[-0.003], [1.0039]], np.float32))
    assert result["values"]["AUC"] == pytest.approx(1.0, abs=1e-5)
    assert result["values"]["mae"] == 0


def test_what_is_not_defined_is_said() -> None:
    # Its logarithm is taken.
    task = Task("regression", "values", 1, ("Poisson", "mae"))
    result = found(task, np.ones(5, np.float32), np.full((5, 1), -1, np.float32))
    assert result["values"] == {"mae": 2.0}
    assert "not defined" in result["not_judged"]["Poisson"]
