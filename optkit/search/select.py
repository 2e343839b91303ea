"""Which file of a search is delivered: the best within all limits, else the nearest to being so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from optkit.report.search_words import limit_words, missed_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.search.budget import Budget
    from optkit.search_record import TriedFile

_BEST = {
    "size": "the smallest; of equal ones the more accurate",
    "latency": "the fastest (p50); of equal ones the smaller",
    "accuracy": "the most accurate on validation data; of equal ones the smaller",
}


class Choice(NamedTuple):
    """The file that is delivered, why, and what it is beyond, if it is."""

    tried: TriedFile
    met: bool
    missed: list[str]
    rule: str


def select(trials: Sequence[TriedFile], budget: Budget) -> Choice | None:
    """The file to deliver; ``None`` where none passed its checks.

    Among files within all limits the best by what is preferred. Where there is none, the nearest: the one for which
    the product of the factors by which it exceeds limits is the least (so that one limit alone cannot hide the others);
    of equal ones the smaller.
    """
    able = [one for one in trials if one.state in {"within", "beyond"}]
    if not able:
        return None
    names = ", ".join(limit_words(limit) for limit in budget.limits)
    judged = (
        f"the {len(able)} files of the search that passed all checks" if len(able) > 1 else "the one file that passed"
    )
    within = [one for one in able if one.state == "within"]
    if within:
        chosen = min(within, key=lambda one: (*_figures(one, budget.prefer), one.name, one.format))
        rule = (
            f"Of {judged}, {len(within)} {'is' if len(within) == 1 else 'are'} within all limits ({names}) on "
            f"validation data. Delivered is {_BEST[budget.prefer]}."
        )
        return Choice(chosen, met=True, missed=[], rule=rule)
    chosen = min(able, key=lambda one: (excess(one), *_figures(one, "size"), one.name, one.format))
    missed = [
        missed_words(limit, standing)
        for limit, standing in zip(budget.limits, chosen.standings, strict=True)
        if not standing.met
    ]
    rule = (
        f"Of {judged}, none is within all limits ({names}) on validation data. Delivered is the nearest: the product "
        "of the factors by which it exceeds limits is the smallest."
    )
    return Choice(chosen, met=False, missed=missed, rule=rule)


def excess(tried: TriedFile) -> float:
    """Product of the factors by which a file exceeds limits; 1 within all, infinite for what was not measured."""
    return math.prod(math.inf if one.factor is None else max(1.0, one.factor) for one in tried.standings)


def wrong(tried: TriedFile) -> float:
    """What is less in a more accurate file: wrong answers, or the mean absolute error, on validation data."""
    if tried.correct is not None:
        return -float(tried.correct)
    return math.inf if tried.mean_absolute_error is None else tried.mean_absolute_error


def _figures(tried: TriedFile, prefer: str) -> tuple[float, float]:
    size = math.inf if tried.file_bytes is None else float(tried.file_bytes)
    time = math.inf if tried.p50_us is None else tried.p50_us
    return {"size": (size, wrong(tried)), "latency": (time, size), "accuracy": (wrong(tried), size)}[prefer]


def on_front(trials: Sequence[TriedFile]) -> set[tuple[str, str]]:
    """Name and format of the files that no other of their format beats in accuracy, size and time at once.

    Times count where all files have one.
    """
    able = [one for one in trials if one.state in {"within", "beyond"}]
    timed = all(one.p50_us is not None for one in able)

    def figures(one: TriedFile) -> tuple[float, ...]:
        return (wrong(one), float(one.file_bytes or 0), *([one.p50_us or 0.0] if timed else []))

    def beats(other: TriedFile, one: TriedFile) -> bool:
        mine, others = figures(one), figures(other)
        return others != mine and all(a <= b for a, b in zip(others, mine, strict=True))

    return {
        (one.name, one.format)
        for one in able
        if not any(other.format == one.format and beats(other, one) for other in able)
    }
