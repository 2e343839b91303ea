"""Class by class: the confusion matrix, and precision, recall and F1 computed from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# A wider matrix does not fit a page; its most frequent confusions are listed instead.
_WIDEST_MATRIX = 24
_LISTED = 20

# Shades of a confusion, by the largest of the matrix: steps of equal ratio, since counts differ by powers.
_SHADES = 5


@dataclass(frozen=True)
class ClassFigures:
    """Fractions of one class; ``None`` where nothing was answered or nothing is labelled so."""

    label: int
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Confusion:
    """Counts [label, answer] with a shade 0 to 5 for each cell off the diagonal; empty when too wide."""

    matrix: tuple[tuple[tuple[int, int], ...], ...]
    worst: tuple[tuple[int, int, int], ...]


def class_figures(confusion: Sequence[Sequence[int]]) -> list[ClassFigures]:
    """Precision, recall and F1 of each class.

    Args:
        confusion: Counts [label, answer].
    """
    figures = []
    for label, row in enumerate(confusion):
        right, labelled = row[label], sum(row)
        answered = sum(other[label] for other in confusion)
        figures.append(
            ClassFigures(
                label=label,
                images=labelled,
                precision=right / answered if answered else None,
                recall=right / labelled if labelled else None,
                # Harmonic mean of the two, written so that it needs neither.
                f1=2 * right / (answered + labelled) if answered + labelled else None,
            )
        )
    return figures


def confusion(counts: Sequence[Sequence[int]]) -> Confusion:
    """A matrix to show, and the pairs that are confused most: (label, answer, images)."""
    wrong = [
        (n, label, answer) for label, row in enumerate(counts) for answer, n in enumerate(row) if n and label != answer
    ]
    wrong.sort(key=lambda item: (-item[0], item[1], item[2]))
    most = wrong[0][0] if wrong else 0
    worst = tuple((label, answer, n) for n, label, answer in wrong[:_LISTED])
    if len(counts) > _WIDEST_MATRIX:
        return Confusion((), worst)
    matrix = tuple(
        tuple((n, 0 if label == answer else _shade(n, most)) for answer, n in enumerate(row))
        for label, row in enumerate(counts)
    )
    return Confusion(matrix, worst)


def _shade(number: int, most: int) -> int:
    if number == 0 or most == 0:
        return 0
    return max(1, round(_SHADES * math.sqrt(number / most)))
