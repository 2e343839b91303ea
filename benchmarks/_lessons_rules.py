"""When a claim held: statements about means over seeds, each judged by its t interval."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Verdict = Literal["held", "did not hold", "cannot be told"]
SIGNIFICANCE = 0.05
# Differences of decimal figures are off by so little at most; exactly at a limit is not beyond it.
ROUNDING = 1e-9


class Statement(NamedTuple):
    """The mean of a setting, or of its paired differences to another, lies between ``low`` and ``high``.

    Attributes:
        of: Name of the setting.
        less: Name of the setting that is taken off seed by seed, if any.
        low: The mean must be above.
        high: The mean must be below.
    """

    of: str
    less: str | None = None
    low: float = -math.inf
    high: float = math.inf


class Finding(NamedTuple):
    """What the seeds say about one statement: the mean with its 95 % interval, and the words for it."""

    mean: float
    low: float
    high: float
    words: str


class Decision(NamedTuple):
    """The verdict on a claim and, for each of its statements, what it rests on."""

    verdict: Verdict
    findings: tuple[Finding, ...]


def best(of: str, *others: str) -> tuple[Statement, ...]:
    """``of`` has the largest mean."""
    return tuple(Statement(of, other, low=0.0) for other in others)


def falling(*names: str) -> tuple[Statement, ...]:
    """Each has a larger mean than the next."""
    return tuple(Statement(one, other, low=0.0) for one, other in itertools.pairwise(names))


def interval(values: Sequence[float], significance: float, step: float) -> tuple[float, float]:
    """Interval of the mean of a few values, Student's t.

    Args:
        values: One for each seed, at least two.
        significance: 0.05 for a 95 % interval.
        step: The least difference that a value can show, such as one image of those counted. Seeds that agree by
            chance do not make a mean known better than that.

    Raises:
        ValueError: There are fewer than two values, or one is not finite.
    """
    from scipy.stats import t

    count = len(values)
    if count < 2 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"expected at least two finite values, one for each seed, found {list(values)}")
    mean = sum(values) / count
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    half = max(step, float(t.ppf(1 - significance / 2, count - 1)) * deviation / math.sqrt(count))
    return mean - half, mean + half


def decide(
    statements: Sequence[Statement], values: Mapping[str, Sequence[float]], *, step: float, unit: str
) -> Decision:
    """Judge a claim, which is that all of its statements are true.

    It *held* when the 95 % interval of every statement lies inside its limits: claiming all of them wrongly then has
    a chance of at most 5 % without any correction (intersection-union test; Berger, Technometrics 24, 1982). It *did
    not hold* when the interval of any lies wholly outside; since one of k suffices, that one is taken at 5 % / k
    (Bonferroni). Otherwise it *cannot be told* from so many seeds. A difference that is truly nothing cannot be shown
    by any number of seeds: a claim of one then stays at *cannot be told*.

    Args:
        statements: At least one.
        values: By setting one value for each seed, in the same order of seeds.
        step: See ``interval``.
        unit: Of the values, for the words.

    Raises:
        ValueError: There is no statement, a setting is not there, or its seeds are not those of the other.
    """
    if not statements:
        raise ValueError("expected at least one statement to judge")
    findings, inside, outside = [], [], []
    for statement in statements:
        series = _series(statement, values)
        low, high = interval(series, SIGNIFICANCE, step)
        inside.append(statement.low + ROUNDING < low and high < statement.high - ROUNDING)
        wide_low, wide_high = interval(series, SIGNIFICANCE / len(statements), step)
        outside.append(wide_high < statement.low - ROUNDING or statement.high + ROUNDING < wide_low)
        mean = sum(series) / len(series)
        findings.append(Finding(mean, low, high, _words(statement, (mean, low, high), unit)))
    verdict: Verdict = "held" if all(inside) else "did not hold" if any(outside) else "cannot be told"
    return Decision(verdict, tuple(findings))


def _series(statement: Statement, values: Mapping[str, Sequence[float]]) -> list[float]:
    """The values that a statement speaks of, one for each seed."""
    names = [name for name in (statement.of, statement.less) if name is not None]
    for name in names:
        if name not in values:
            raise ValueError(f"no values of {name!r}: found {', '.join(values)}")
    own = values[statement.of]
    if statement.less is None:
        return list(own)
    other = values[statement.less]
    if len(own) != len(other):
        raise ValueError(f"{statement.of} has {len(own)} seeds and {statement.less} {len(other)}: nothing to pair")
    return [one - two for one, two in zip(own, other, strict=True)]


def _words(statement: Statement, found: tuple[float, float, float], unit: str) -> str:
    sign = "" if statement.less is None else "+"
    mean, low, high = (f"{value:{sign}.2f}".replace("-", "−") for value in found)
    unit = "points" if statement.less is not None and unit == "%" else unit
    what = statement.of if statement.less is None else f"{statement.of} less {statement.less}"
    return f"{what}: {mean} [{low}, {high}]{' ' if unit else ''}{unit}, claimed {_claimed(statement)}"


def _claimed(statement: Statement) -> str:
    if math.isfinite(statement.low) and math.isfinite(statement.high):
        return f"{statement.low:g} to {statement.high:g}"
    return f"over {statement.low:g}" if math.isfinite(statement.low) else f"under {statement.high:g}"
