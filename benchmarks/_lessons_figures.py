"""The figures that decide the lessons' experiments, each taken from one training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks._lessons_train import Look, Run

# Of a training, after an epoch (in the end where it is None), to the value that is compared.
Figure = Callable[["Run", int | None], float]


def test_accuracy(run: Run, at: int | None) -> float:
    """Right answers on the test images, in percent."""
    look = run.look(at)
    return 100 * sum(row[digit] for digit, row in enumerate(look.confusion)) / _tested(look)


def gap(run: Run, at: int | None) -> float:
    """Training less test accuracy in percentage points, both without dropout."""
    look = run.look(at)
    return 100 * look.train_correct / look.train_total - test_accuracy(run, at)


def validation_accuracy(run: Run, at: int | None) -> float:
    """Accuracy on the validation part after an epoch, in percent."""
    accuracy = run.epochs[:at][-1].validation_accuracy
    if accuracy is None:
        raise ValueError("expected a classifier, found a training without accuracy")
    return 100 * accuracy


def best_epoch(run: Run, _: int | None) -> float:
    """The epoch with the lowest validation loss: the one that early stopping goes back to."""
    losses = [math.inf if epoch.validation_loss is None else epoch.validation_loss for epoch in run.epochs]
    return float(losses.index(min(losses)) + 1)


def wrong_of(digit: int) -> Figure:
    """The share of a digit's test images that are answered wrongly, in percent."""

    def figure(run: Run, at: int | None) -> float:
        row = run.look(at).confusion[digit]
        return 100 * (sum(row) - row[digit]) / sum(row)

    return figure


def taken_for(digit: int, *answers: int) -> Figure:
    """Of a digit's wrong answers the share that are among ``answers``, in percent."""

    def figure(run: Run, at: int | None) -> float:
        row = run.look(at).confusion[digit]
        wrong = sum(row) - row[digit]
        # Without a wrong answer there is nothing that it is taken for.
        return 100 * sum(row[answer] for answer in answers) / wrong if wrong else 0.0

    return figure


def _tested(look: Look) -> int:
    return sum(map(sum, look.confusion))
