"""Which file to ship, by a stated rule, and the files that no other file beats (the Pareto front).

Choices are made on validation data only; the test set is not looked at here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit.errors import InputError, nearest
from optkit.report.quality import of_values, validated
from optkit.report.reference import baseline_of, formats
from optkit.schema import Point, Recommendation, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

PREFERENCES = ("size", "latency", "accuracy")

# Two files within 2 % of each other cost a device the same; to decide by less would be to decide by a few
# names in the file or, for times, by the noise of the machine.
TIE = 0.02

_CLAUSES = {
    "size": "the smallest is recommended; sizes within 2 % of it count as equal, of them the fastest wins",
    "latency": "the fastest is recommended; times within 2 % of it count as equal, of them the smallest wins",
    "accuracy": "the most accurate on validation data is recommended; of equals the smallest wins",
}
_KEPT = "None of these is measurably faster than the reference, which is kept."
_LEAST_ERROR = "the one with the least error there is recommended; of equals the smallest wins"


def recommend(
    variants: Sequence[Variant],
    *,
    prefer: str = "size",
    formats: Sequence[str] | None = None,
    as_accurate: Container[tuple[str, str]] | None = None,
    than: str = "that of the fp32 file in the same format",
) -> Recommendation | None:
    """The file to ship.

    A file can be chosen when it passed all checks, its accuracy on validation data (for values: its mean absolute
    error) was measured and is not ``worse`` than that of its format's fp32 file, and the figure that is preferred was
    measured.

    Args:
        variants: All files of the report.
        prefer: ``size`` (``file_bytes``), ``latency`` (``p50_us``) or ``accuracy`` (on validation data).
        formats: The formats to choose from; all when ``None``.
        as_accurate: Name and format of the files whose accuracy on validation data is not ``worse``, where that was
            decided against another file than the reference of each format.
        than: What that accuracy is not worse than, in words.

    Returns:
        The choice with its rule in one sentence, or ``None`` when no file can be chosen.

    Raises:
        InputError: ``prefer`` is none of the three.
    """
    if prefer not in PREFERENCES:
        raise InputError(f"unknown preference {prefer!r}: {nearest(prefer, list(PREFERENCES))}")
    able = [
        variant
        for variant in variants
        if (formats is None or variant.format in formats)
        and (
            is_eligible(variant, baseline_of(variants, variant.format))
            if as_accurate is None
            else passed_all(variant) and (variant.name, variant.format) in as_accurate
        )
        and math.isfinite(_FIGURES[prefer](variant))
    ]
    if not able:
        return None
    best = min(_FIGURES[prefer](variant) for variant in able)
    # Right answers are counts: two files are equal there only when they are.
    limit = best if prefer == "accuracy" else best * (1 + TIE)
    tied = [variant for variant in able if _FIGURES[prefer](variant) <= limit]
    chosen = min(
        tied,
        key=lambda variant: (
            *(_FIGURES[name](variant) for name in _ORDER[prefer]),
            variant.name,
            variant.format,
        ),
    )
    rule = _rule(prefer, formats, len(able), than, values=of_values(able))
    reference = baseline_of(variants, chosen.format)
    if reference in tied and _is_no_better(chosen, reference, prefer):
        # Chance would decide between a file and what it was made of.
        return Recommendation(reference.name, reference.format, f"{rule} {_KEPT}")
    return Recommendation(chosen.name, chosen.format, rule)


def _is_no_better(chosen: Variant, reference: Variant, prefer: str) -> bool:
    """Whether a file that is as good as the reference of its format by what is preferred is not faster beyond doubt."""
    speedup = None if chosen.latency is None else chosen.latency.speedup
    return chosen is not reference and prefer != "accuracy" and (speedup is None or speedup.verdict != "better")


def is_eligible(variant: Variant, baseline: Variant | None) -> bool:
    """Whether a file passed everything and is not measurably less accurate than its baseline.

    A file that was not compared with its baseline on validation data cannot be said to be as good; only the
    baseline itself needs no comparison.
    """
    quality = validated(variant)
    if not passed_all(variant) or quality is None or quality.total == 0:
        return False
    if quality.versus_baseline is None:
        return variant is baseline
    return quality.versus_baseline.verdict != "worse"


def passed_all(variant: Variant) -> bool:
    """Whether a file was written and passed every check."""
    return (
        variant.status == "ok"
        and all(check.passed for check in variant.checks)
        and (variant.parity is None or variant.parity.passed)
    )


def _rule(prefer: str, formats: Sequence[str] | None, count: int, than: str, *, values: bool) -> str:
    among = f"the {count} files" if count != 1 else "the one file"
    named = "" if formats is None else f" in {' or '.join(formats)} format"
    quality, worse = ("mean absolute error", "larger") if values else ("accuracy", "worse")
    clause = _LEAST_ERROR if values and prefer == "accuracy" else _CLAUSES[prefer]
    return (
        f"Among {among}{named} that passed all checks and whose {quality} on validation data is not "
        f"measurably {worse} than {than}, {clause}."
    )


def pareto(variants: Sequence[Variant]) -> list[Point]:
    """Files that no other of their format beats in validation accuracy (or error), size and time at once.

    A file beats another when it is at least as good in all three and better in one. A figure that was not
    measured counts as the worst, so that nothing is won by leaving it out. Files that failed a check do not
    take part.
    """
    front = []
    for file_format in formats(variants):
        able = [variant for variant in variants if variant.format == file_format and passed_all(variant)]
        front += [
            Point(variant.name, variant.format)
            for variant in able
            if not any(dominates(other, variant) for other in able)
        ]
    return front


def dominates(one: Variant, other: Variant) -> bool:
    """Whether ``one`` is at least as good in accuracy, size and time, and better in one of them."""
    mine, theirs = figures(one), figures(other)
    return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs


def figures(variant: Variant) -> tuple[float, float, float]:
    """Wrong fraction (or mean absolute error) on validation data, ``file_bytes``, ``p50_us``.

    Less is better in each; infinity where it is not known.
    """
    return _wrong(variant), _bytes(variant), _time(variant)


def _bytes(variant: Variant) -> float:
    return math.inf if variant.size is None else variant.size.file_bytes


def _time(variant: Variant) -> float:
    return math.inf if variant.latency is None else variant.latency.p50_us


def _wrong(variant: Variant) -> float:
    errors, accuracy = variant.errors_validation, variant.accuracy_validation
    if errors is not None:
        return errors.mae if errors.total else math.inf
    return math.inf if accuracy is None or accuracy.total == 0 else 1 - accuracy.correct / accuracy.total


_FIGURES: dict[str, Callable[[Variant], float]] = {"size": _bytes, "latency": _time, "accuracy": _wrong}

# What decides among equals, in order: all three figures, so that the chosen file is not beaten in all.
_ORDER = {
    "size": ("latency", "size", "accuracy"),
    "latency": ("size", "latency", "accuracy"),
    "accuracy": ("accuracy", "size", "latency"),
}
