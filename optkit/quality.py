"""The records on how good a file's answers are: accuracy, errors, comparisons, parity, checks.

Part of report.json, see ``optkit.schema``.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Verdict = Literal["better", "worse", "no measurable difference"]
Interval = tuple[float, float]


class Check(Struct, frozen=True):
    """One thing that was looked at, and what was seen.

    ``passed`` is decided where the check is made; ``reason`` says why the limit is what it is.
    """

    name: str
    passed: bool
    observed: float | str | None
    limit: float | str | None
    unit: str
    reason: str = ""


class Comparison(Struct, frozen=True):
    """Paired comparison of two sets of answers to the same questions.

    ``lost`` counts images that the reference gets right and this file wrong, ``gained`` the reverse;
    ``p_value`` is the exact McNemar test's; ``difference_ci95`` is a fraction (this minus reference).
    """

    lost: int
    gained: int
    p_value: float
    difference_ci95: Interval
    verdict: Verdict


class ErrorComparison(Struct, frozen=True):
    """Paired comparison of the absolute errors of two sets of values for the same questions.

    ``larger`` counts examples on which this file is farther from the right value than the reference, ``smaller``
    the reverse. ``mae_difference`` is this file's mean absolute error minus the reference's, in the unit of the
    values, with its 95 % interval (``None`` for a single example); ``p_value`` is the paired t test's.
    """

    larger: int
    smaller: int
    mae_difference: float
    difference_ci95: Interval | None
    p_value: float
    verdict: Verdict


class Accuracy(Struct, frozen=True):
    """Accuracy of the exported file in its own runtime on the whole test set."""

    correct: int
    total: int
    top1: float
    ci95: Interval
    confusion: list[list[int]]
    versus_baseline: Comparison | None = None
    versus_control: Comparison | None = None


class AccuracyValidation(Struct, frozen=True):
    """Accuracy on validation data, which is what choices are made on."""

    correct: int
    total: int
    versus_baseline: Comparison | None = None


class Errors(Struct, frozen=True):
    """How far the values that a file gives are from the right ones, in the unit of the values; less is better.

    ``mae`` is the mean absolute error with its 95 % interval (``None`` for a single example), ``rmse`` the root of
    the mean squared error.
    """

    mae: float
    mae_ci95: Interval | None
    rmse: float
    total: int
    versus_baseline: ErrorComparison | None = None
    versus_control: ErrorComparison | None = None


class NamedMetrics(Struct, frozen=True):
    """Keras metrics that the user named, of one part: ``values`` by name (a list has one for each class).

    ``not_judged`` says of the others why they say nothing about the file.
    """

    values: dict[str, float | list[float]] = {}
    not_judged: dict[str, str] = {}


class Flip(Struct, frozen=True):
    """A test image whose answer differs from the baseline file's."""

    index: int
    baseline: int
    answer: int
    label: int


class Parity(Struct, frozen=True):
    """The file's outputs against its Keras variant's.

    ``max_abs_error`` is in the unit of the (dequantized) outputs; ``max_error_steps`` in steps of the
    output's scale, for integer outputs. ``top1_agreement`` is the share of images with the same class; ``None``
    where the answer is a value.
    """

    reference: str
    max_abs_error: float
    top1_agreement: float | None
    passed: bool
    images: int
    mean_abs_error: float | None = None
    max_error_steps: float | None = None
