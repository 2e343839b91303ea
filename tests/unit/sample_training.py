"""Learning curves and a whole record of a training, for the tests of what reads them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from optkit import environment
from optkit.networks import Network
from optkit.problem import Preprocessing, Task
from optkit.quality import Accuracy, AccuracyValidation
from optkit.report.diagnosis import diagnose
from optkit.report.diagnosis_cures import Facts
from optkit.report.page_classes import class_figures
from optkit.report.pictures import encode_png
from optkit.report.train_record import (
    ClassFigures,
    ConfusedPair,
    CurvePoint,
    Example,
    Start,
    Summary,
    SummaryLayer,
    TrainReport,
)
from optkit.schema import DataFacts
from optkit.statistics import wilson_interval
from optkit.training import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

START = Start(2.37, 0.09)
NETWORK = Network(("flatten", "dense:128", "dropout:0.2"), input_shape=(28, 28))
PLAN = TrainingPlan(epochs=5, batch=32, optimizer="adam", learning_rate=1e-3, schedule="constant")


def facts(**changed: Any) -> Facts:
    """A plain training on 10,000 images, looked at on 1,000."""
    given = {
        "train_examples": 10_000,
        "all_train_examples": 55_000,
        "validation_examples": 1_000,
        "largest_class": 0.1125,
        "constant_loss": None,
        "network": NETWORK,
        "plan": PLAN,
        "are_pictures": True,
        "is_normalized": True,
        "kept_epoch": 10_000,
    }
    return Facts(**(given | changed))


def points(
    loss: Sequence[float | None],
    validation_loss: Sequence[float | None],
    accuracy: Sequence[float] | None = None,
    validation_accuracy: Sequence[float] | None = None,
) -> list[CurvePoint]:
    """A learning curve; without accuracies one of regression."""
    return [
        CurvePoint(
            epoch=index + 1,
            loss=one,
            accuracy=None if accuracy is None else accuracy[index],
            validation_loss=other,
            validation_accuracy=None if validation_accuracy is None else validation_accuracy[index],
            learning_rate=1e-3,
            seconds=0.25,
        )
        for index, (one, other) in enumerate(zip(loss, validation_loss, strict=True))
    ]


def overfitting() -> list[CurvePoint]:
    """30 epochs: validation is best in the eighth, training never stops."""
    epochs = range(1, 31)
    loss = [1.4 * math.exp(-0.25 * epoch) for epoch in epochs]
    validation = [0.3 + 0.8 * math.exp(-0.8 * epoch) + 0.006 * max(0, epoch - 8) for epoch in epochs]
    accuracy = [1 - 0.3 * math.exp(-0.3 * epoch) for epoch in epochs]
    validation_accuracy = [0.91 - 0.2 * math.exp(-0.6 * epoch) for epoch in epochs]
    return points(loss, validation, accuracy, validation_accuracy)


def healthy() -> list[CurvePoint]:
    """mlp-128 on 10,000 images, 5 epochs: from a real run."""
    return points(
        [0.5972, 0.2951, 0.2282, 0.1817, 0.1528],
        [0.2900, 0.2429, 0.2013, 0.1949, 0.1672],
        [0.8286, 0.9135, 0.9334, 0.9456, 0.9553],
        [0.927, 0.929, 0.938, 0.940, 0.948],
    )


def sample_training(curve: list[CurvePoint] | None = None, **changed: Any) -> TrainReport:
    """A whole record; three classes, one pair confused, one picture."""
    curve = overfitting() if curve is None else curve
    confusion = [[95, 3, 2], [1, 98, 1], [0, 10, 90]]
    picture = encode_png(bytes(range(0, 250, 10)), width=5, height=5)
    judged = facts(kept_epoch=len(curve))
    given: dict[str, Any] = {
        "schema_version": 1,
        "optkit_version": "0.1.0",
        "created": "2026-11-26T20:00:00+00:00",
        "command": "optkit train --baseline mlp-128",
        "again": "optkit train --recipe run/recipe.toml --out run",
        "name": "mlp-128",
        "settings": {"baseline": "mlp-128", "seed": 3},
        "network": {"layers": list(NETWORK.layers), "activation": "relu", "dropout": 0.0, "dropout_after": "last"},
        "plan": {
            "epochs": len(curve),
            "batch": 32,
            "optimizer": "adam",
            "learning_rate": 0.001,
            "schedule": "constant",
            "augmentation": {"shift": 0.1, "zoom": 0.0},
        },
        "data": DataFacts(
            "mnist", "ab" * 32, 10_000, 5_000, 300, None, Preprocessing(scale=1 / 255), ["ant", "bee", "cat"]
        ),
        "curve_examples": 1_000,
        "task": Task("multiclass", "probabilities", 3),
        "curve": curve,
        "start": START,
        "kept_epoch": len(curve),
        "train_seconds": 9.5,
        "accuracy": Accuracy(283, 300, 283 / 300, wilson_interval(283, 300), confusion),
        "accuracy_validation": AccuracyValidation(4_700, 5_000),
        "errors": None,
        "errors_validation": None,
        "metrics": {"keras": {"test": {"values": {"auc": 0.99}, "not_judged": {"r2_score": "it is of values"}}}},
        "classes": [
            ClassFigures(one.label, one.images, one.precision, one.recall, one.f1) for one in class_figures(confusion)
        ],
        "confused": [ConfusedPair(2, 1, 10, [Example(7, 0.993, picture), Example(9, 0.61, None)])],
        "summary": Summary(
            [SummaryLayer("dense_1", "Dense", "relu", [128], 100_480, 100_352)], 100_480, 100_480, 100_352
        ),
        "diagnosis": diagnose(curve, START, judged),
        "warnings": [],
        "environment": environment.describe(),
        "files": ["models/mlp-128.h5", "models/mlp-128.keras"],
        "compress_command": "optkit compress run/models/mlp-128.keras",
    }
    return TrainReport(**(given | changed))
