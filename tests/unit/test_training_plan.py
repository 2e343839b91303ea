"""Plans without TensorFlow: what fits what, patience, and labels as losses take them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from optkit.data import Dataset, Part
from optkit.errors import InputError
from optkit.problem import Preprocessing, Task
from optkit.schema import Epoch
from optkit.training import Augmentation, TrainingPlan, check, kept_epoch
from optkit.training.augmentation import GRID, _spread
from optkit.training.losses import objective_of, targets_of
from optkit.training.patience import Patience

PLAN = TrainingPlan(4, 8, "adam", 1e-3, "constant")
SOFTMAX, LOGITS, SIGMOIDS = Task(), Task(outputs="logits"), Task(outputs="sigmoids")
BINARY, BINARY_LOGIT = Task("binary", "probabilities", 1), Task("binary", "logits", 1)
VALUE = Task("regression", "values", 1)


def plan(**changes: Any) -> TrainingPlan:
    return msgspec.structs.replace(PLAN, **changes)


def dataset(*shape: int, validation: int = 4) -> Dataset:
    def part(count: int) -> Part:
        return Part(np.zeros((count, *shape), np.uint8), np.zeros(count, np.int64))

    return Dataset("d", "", 10, (), part(8), part(validation), part(4), np.arange(4), None, Preprocessing())


FITS = {
    "cross-entropy": [SOFTMAX, LOGITS],
    "one-hot cross-entropy": [SOFTMAX, LOGITS],
    "binary cross-entropy": [SOFTMAX, SIGMOIDS, BINARY, BINARY_LOGIT],
    "mean squared": [SOFTMAX, SIGMOIDS, BINARY, VALUE],
    "mean absolute": [SOFTMAX, SIGMOIDS, BINARY, VALUE],
}


@pytest.mark.parametrize("task", [SOFTMAX, LOGITS, SIGMOIDS, BINARY, BINARY_LOGIT, VALUE])
@pytest.mark.parametrize("loss", FITS)
def test_a_loss_is_taken_where_it_fits_and_refused_elsewhere(loss: str, task: Task) -> None:
    if task in FITS[loss]:
        assert objective_of(plan(loss=loss), task).loss == loss
        return
    with pytest.raises(InputError, match="does not fit") as raised:
        check(plan(loss=loss), task, dataset(4, 4))
    fitting = str(raised.value).split("choose ")[1].split(" or ")
    assert set(fitting) == {name for name, tasks in FITS.items() if task in tasks}


def test_the_loss_that_belongs_to_the_task() -> None:
    own = {task: objective_of(PLAN, task).loss for task in (SOFTMAX, LOGITS, SIGMOIDS, BINARY, BINARY_LOGIT, VALUE)}
    assert list(own.values()) == ["cross-entropy"] * 2 + ["binary cross-entropy"] * 3 + ["mean squared"]


def test_labels_are_rows_only_where_the_loss_needs_them() -> None:
    labels = np.array([2, 0])
    rows = np.eye(10, dtype=np.float32)[labels]
    for changes, task, expected in [
        ({}, SOFTMAX, labels),
        ({"label_smoothing": 0.1}, SOFTMAX, rows),
        ({"augmentation": Augmentation(mixup=0.2)}, SOFTMAX, rows),
        ({"augmentation": Augmentation(shift=0.2)}, SOFTMAX, labels),
        ({"loss": "one-hot cross-entropy"}, SOFTMAX, rows),
        ({"loss": "mean squared"}, SOFTMAX, rows),
        ({}, SIGMOIDS, rows),
        ({}, BINARY, np.array([[2], [0]], np.float32)),
        ({}, VALUE, np.array([[2], [0]], np.float32)),
    ]:
        found = targets_of(labels, objective_of(plan(**changes), task), task)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("changes", "task", "message"),
    [
        ({"label_smoothing": 0.1}, VALUE, "--label-smoothing is for the cross-entropies"),
        ({"label_smoothing": 0.1, "loss": "mean squared"}, SOFTMAX, "--label-smoothing is for the cross-entropies"),
        ({"warmup_epochs": 4.0}, SOFTMAX, "--warmup-epochs must be less than --epochs, found 4 of 4"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(changes: dict[str, Any], task: Task, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(plan(**changes), task, dataset(4, 4))


def test_plans_that_can_be_carried_out() -> None:
    for changes in (
        {"label_smoothing": 0.1},
        {"warmup_epochs": 3.5},
        {"epochs": 0},
        {"schedule": "plateau", "early_stopping": 2},
        {"augmentation": Augmentation(0.1, 10, 0.1, 1, 0.3, 0.2)},
    ):
        check(plan(**changes), SOFTMAX, dataset(4, 4))


@pytest.mark.parametrize("kind", ["shift", "rotation", "zoom", "elastic", "cutout"])
def test_tables_are_not_moved_but_can_be_blended(kind: str) -> None:
    moved = plan(augmentation=Augmentation(**{kind: 0.1}))
    with pytest.raises(InputError, match=r"augmentation changes pictures.* shape \[16\]"):
        check(moved, SOFTMAX, dataset(16))
    check(moved, SOFTMAX, dataset(4, 4))
    check(moved, SOFTMAX, dataset(4, 6, 3))
    check(plan(augmentation=Augmentation(mixup=0.1)), SOFTMAX, dataset(16))


@pytest.mark.parametrize("changes", [{"early_stopping": 1}, {"schedule": "plateau"}])
def test_what_goes_by_validation_data_needs_some(changes: dict[str, Any]) -> None:
    empty = replace(dataset(4, 4, validation=0))
    with pytest.raises(InputError, match="no validation data"):
        check(plan(**changes), SOFTMAX, empty)
    check(PLAN, SOFTMAX, empty)


def test_patience_counts_epochs_without_a_lower_loss() -> None:
    patience = Patience()
    losses = (3.0, 3.0, 2.0, None, 2.5, 2.0, 1.0)
    seen = [(patience.lower(loss), patience.runs_out(2)) for loss in losses]
    assert seen == [
        (True, False),
        (False, False),
        (True, False),
        (False, False),
        (False, True),
        (False, False),
        (True, False),
    ]


def test_which_epoch_is_kept() -> None:
    epochs = [Epoch(1.0, 0.5, loss, 0.5, 1.0) for loss in (3.0, 2.0, 2.0, None, 4.0)]
    assert kept_epoch(PLAN, epochs) == 4
    assert kept_epoch(plan(early_stopping=3), epochs) == 1
    assert kept_epoch(plan(early_stopping=3), [Epoch(1.0, 0.5, None, None, 1.0)]) == 0


@pytest.mark.parametrize("side", [1, 2, 28, 300])
def test_displacements_have_the_same_deviation_everywhere(side: int) -> None:
    spread = _spread(side)
    assert spread.shape == (side, GRID)
    assert np.allclose((spread**2).sum(axis=1), 1)
    # Neighbours go together: over the whole side the correlation falls to that of Simard's Gaussian.
    if side == 28:
        correlation = spread @ spread.T
        assert correlation[13, 14] > 0.98
        # Two Gaussians of 4 pixels, 12 apart: exp(-12² / (4·4²)) = 0.105.
        assert correlation[8, 20] == pytest.approx(0.105, abs=0.02)
