"""A learning curve as it is judged: its courses, its pace, and how far the validation sample alone may move them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.report.diagnosis_cures import Facts
    from optkit.report.train_record import CurvePoint, Start

# For what is compared at one point: a normal variable is beyond three standard errors once in 740 times.
ERRORS_BEYOND = 3.0


class Curve(NamedTuple):
    """The courses that are judged, all numbers; ``width`` epochs at the end are taken together against chance."""

    loss: list[float]
    validation: list[float]
    accuracy: list[float] | None
    validation_accuracy: list[float] | None
    start: float | None
    penalty: float | None
    width: int

    @property
    def epochs(self) -> int:
        """How many."""
        return len(self.loss)

    def end(self, course: Sequence[float]) -> float:
        """Mean of the last epochs of a course."""
        return sum(course[-self.width :]) / self.width


def read(curve: Sequence[CurvePoint], start: Start) -> Curve:
    """The courses of a curve whose losses are all numbers."""

    def course(name: str) -> list[float] | None:
        values = [getattr(point, name) for point in curve]
        return None if None in values else values

    return Curve(
        loss=course("loss") or [],
        validation=course("validation_loss") or [],
        accuracy=course("accuracy"),
        validation_accuracy=course("validation_accuracy"),
        start=start.loss,
        penalty=curve[-1].penalty,
        # An eighth of the curve: enough to even out single epochs of a long one, none of a short one.
        width=max(1, min(5, len(curve) // 8)),
    )


def pace_of(curve: Curve) -> tuple[float, float] | None:
    """(fall of the validation loss per epoch in the last quarter, and on average since the start)."""
    if curve.start is None or curve.epochs < 2:
        return None
    course = [curve.start, *curve.validation]
    last = max(1, curve.epochs // 4)
    return (course[-1 - last] - course[-1]) / last, (course[0] - course[-1]) / curve.epochs


def standard_error(share: float, total: int) -> float:
    """Standard error of an accuracy on so many examples; never that of none or all right, which would be 0."""
    safe = min(max(share, 1 / (total + 2)), 1 - 1 / (total + 2))
    return math.sqrt(safe * (1 - safe) / max(1, total))


def loss_error(loss: float, curve: Curve, facts: Facts) -> float:
    """Standard error of a mean loss on the validation examples.

    Most of a cross-entropy comes from the wrong answers: with the share e of them wrong, and the same loss each, it is
    known to √((1 − e)/(e·n)) of itself. That of mean squares is known to √(2/n) where errors are normal.
    """
    count = max(1, facts.validation_examples)
    if curve.validation_accuracy is None:
        return abs(loss) * math.sqrt(2 / count)
    wrong = min(max(1 - curve.end(curve.validation_accuracy), 1 / count), 1 - 1 / (count + 2))
    return abs(loss) * math.sqrt((1 - wrong) / (wrong * count))


def beyond_best(curve: Curve) -> float:
    """Standard errors that the end may differ from the best of all epochs by chance alone.

    The best of T figures that differ by chance alone lies √(2 ln T) standard errors from their mean.
    """
    return ERRORS_BEYOND + math.sqrt(2 * math.log(max(2, curve.epochs)))
