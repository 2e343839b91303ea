"""Names of Keras metrics are judged without TensorFlow, before any work is done."""

from __future__ import annotations

import ast
import subprocess
import sys

import numpy as np
import pytest

from optkit.errors import InputError
from optkit.keras_metrics import METRICS, Running, check_names, why_not
from optkit.problem import Task

VALUE, SIDE, CLASSES = Task("regression", "values", 1), Task("binary", "logits", 1), Task(size=4)


def test_names_of_classes_and_functions_are_taken_in_any_case() -> None:
    check_names([*METRICS, "auc", "mae", "MSE", "mean_squared_error", "accuracy", "acc", "Accuracy"])
    check_names(["top_k_categorical_accuracy", "kullback_leibler_divergence", "log_cosh", "MeanIoU", "crossentropy"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("AUCC", "did you mean AUC"),
        ("precison", "did you mean Precision"),
        ("mean_sqared_error", "did you mean MeanSquaredError"),
        ("topk_acuracy", "Accuracy"),
        ("xyzzy", "choose one of AUC, Precision"),
        ("", "choose one of"),
    ],
)
def test_an_unknown_name_is_refused_with_near_ones(name: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint) as error:
        check_names(["AUC", name])
    assert error.value.exit_code == 2
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("name", "task", "reason"),
    [
        ("AUC", VALUE, "for models that give an output for each class or one probability of two classes"),
        ("accuracy", VALUE, "it is for classes, and the model gives a value"),
        ("R2Score", CLASSES, "for models that give a value"),
        ("SparseCategoricalAccuracy", SIDE, "for models that give an output for each class"),
        ("MeanIoU", CLASSES, "it needs arguments"),
        ("Mean", VALUE, "does not compare"),
        ("Accuracy", CLASSES, "accuracy (in lower case)"),
        ("accuracy", CLASSES, ""),
        ("acc", SIDE, ""),
        ("mae", VALUE, ""),
        ("AUC", SIDE, ""),
    ],
)
def test_what_a_metric_cannot_judge_is_said(name: str, task: Task, reason: str) -> None:
    found = why_not(name, task)
    assert reason in found
    assert bool(reason) == bool(found)


def test_without_metrics_nothing_is_loaded_and_outputs_pass_by() -> None:
    code = (
        "import sys, numpy as np\n"
        "from optkit.keras_metrics import Running, check_names\n"
        "from optkit.problem import Task\n"
        "check_names(['AUC'])\n"
        "running = Running(Task('regression', 'values', 1, ('AUC',)), np.zeros(3))\n"
        "running.see(np.zeros((3, 1)))\n"
        "print(running.results())\n"
        "print([name for name in ('tensorflow', 'tf_keras', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    results, loaded = map(ast.literal_eval, done.stdout.splitlines())
    assert loaded == []
    assert results["values"] == {}
    assert "AUC" in results["not_judged"]


def test_an_unknown_name_stops_the_metrics_too() -> None:
    with pytest.raises(InputError, match="AUC"):
        Running(Task("regression", "values", 1, ("AUCC",)), np.zeros(3))
