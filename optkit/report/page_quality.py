"""What the page says of a file's quality beside its accuracy or error: validation, the control, further figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from optkit.report import quality, wording

if TYPE_CHECKING:
    from optkit.schema import Errors, Variant

# Of the listed ones; the rest stand in report.json.
_CHANGES = 5


class _Change(Struct, frozen=True):
    """An example whose value changed."""

    index: int
    baseline: float
    answer: float
    label: float


class _Figures(Struct, frozen=True):
    """The ``metrics`` of a file that gives values; whatever a report lacks is ``None``."""

    median_absolute_error: float | None = None
    largest_absolute_error: float | None = None
    r2: float | None = None
    largest_changes: list[_Change] = []


def quality_facts(variant: Variant, held_against: str) -> list[tuple[str, str]]:
    """(title, words) of each figure that has no column of its own.

    Args:
        variant: The file.
        held_against: What the reference is called.
    """
    facts = _validation(variant, held_against)
    measured = quality.tested(variant)
    if variant.errors is not None:
        facts += _errors(variant, variant.errors)
    if measured is not None and measured.versus_control is not None:
        control = measured.versus_control
        words = f"{wording.paired(measured, control)}: {control.verdict}"
        facts.append(("Against the control, which trained as long", words))
    facts += [(f"{name} (Keras), test set", figure) for name, figure in wording.keras_metrics(variant)]
    return facts + [(f"{name} was not judged", reason) for name, reason in wording.not_judged(variant)]


def _validation(variant: Variant, held_against: str) -> list[tuple[str, str]]:
    errors, value = variant.errors_validation, variant.accuracy_validation
    versus = None if (found := quality.validated(variant)) is None else found.versus_baseline
    verdict = "" if versus is None else f", {versus.verdict} against {held_against}"
    if errors is not None:
        words = f"{wording.errors(errors)} on {errors.total:,} examples{verdict}"
        return [("Validation mean absolute error", words)]
    return [] if value is None else [("Validation accuracy", f"{value.correct:,} of {value.total:,}{verdict}")]


def _errors(variant: Variant, errors: Errors) -> list[tuple[str, str]]:
    try:
        figures = msgspec.convert(variant.metrics, _Figures)
    except msgspec.ValidationError:
        figures = _Figures()
    spread = [f"root mean squared {wording.value(errors.rmse)}"]
    spread += [
        f"{name} {wording.value(figure)}"
        for name, figure in (
            ("median", figures.median_absolute_error),
            ("largest", figures.largest_absolute_error),
        )
        if figure is not None
    ]
    facts = [("Errors on the test set", ", ".join(spread) + ("" if figures.r2 is None else f"; R² {figures.r2:.4f}"))]
    if figures.largest_changes:
        changes = [
            f"example {one.index}: {wording.value(one.baseline)} → {wording.value(one.answer)} "
            f"(right: {wording.value(one.label)})"
            for one in figures.largest_changes[:_CHANGES]
        ]
        facts.append(("Largest changes", "; ".join(changes)))
    return facts
