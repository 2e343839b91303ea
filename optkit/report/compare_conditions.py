"""The conditions of ``optkit compare --fail-on``: ``accuracy<-0.3pt,p50>+5%,file_bytes>0``.

A condition says which change from the old report to the new one breaks a build. The grammar is METRIC OP VALUE UNIT,
joined by commas; spaces do not count.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec import Struct

from optkit.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

STATUS = "status"
"""Breaks when a file that was ok has failed or is gone; always among the conditions, and may be written alone."""


class Condition(Struct, frozen=True):
    """One change that breaks.

    Attributes:
        text: As the user wrote it, without spaces.
        metric: A key of ``UNITS``, or ``STATUS``.
        op: ``<`` breaks below the limit, ``>`` above it; ``None`` for the status.
        limit: Change (new less old) as a fraction for pt and %, otherwise in bytes or as a count.
        relative: Whether the limit is a fraction of the old figure.
    """

    text: str
    metric: str
    op: Literal["<", ">"] | None
    limit: float
    relative: bool


class _Unit(NamedTuple):
    factor: Fraction
    relative: bool


_HUNDREDTH = Fraction(1, 100)
_BYTES = {
    "": _Unit(Fraction(1), relative=False),
    "b": _Unit(Fraction(1), relative=False),
    "kb": _Unit(Fraction(1000), relative=False),
    "mb": _Unit(Fraction(10**6), relative=False),
    "%": _Unit(_HUNDREDTH, relative=True),
}
# Units in lower case. The changes of accuracy and of p50 are fractions already.
UNITS: dict[str, dict[str, _Unit]] = {
    "accuracy": {"pt": _Unit(_HUNDREDTH, relative=False)},
    "mae": {"": _Unit(Fraction(1), relative=False), "%": _Unit(_HUNDREDTH, relative=True)},
    "p50": {"%": _Unit(_HUNDREDTH, relative=False)},
    "file_bytes": _BYTES,
    "gzip_bytes": _BYTES,
    "peak_rss_bytes": _BYTES,
    "macs": {"": _Unit(Fraction(1), relative=False), "%": _Unit(_HUNDREDTH, relative=True)},
}
_TAKES = {
    "accuracy": "pt, percentage points of the test set, as in accuracy<-0.3pt",
    "mae": "% or the unit of the values, as in mae>+2% or mae>0.05",
    "p50": "%, since times of two runs are only compared as ratios, as in p50>+5%",
    "macs": "a count or %, as in macs>0 or macs>+1%",
}
_TAKES_BYTES = "bytes, kB, MB or %, as in {0}>0 or {0}>+2%"
_FORM = re.compile(r"([a-z0-9_]+)([<>])([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))([a-z%]*)", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_]+", re.IGNORECASE)


def parse_conditions(texts: Sequence[str]) -> list[Condition]:
    """Read every ``--fail-on``; the first condition of the answer is always the status.

    Args:
        texts: What was given, each with one condition or several joined by commas; none means no condition at all.

    Raises:
        InputError: A text is no condition, names an unknown metric, or has a unit that the metric does not take.
    """
    if not texts:
        return []
    found = [Condition(STATUS, STATUS, None, 0.0, relative=False)]
    for text in texts:
        found += [_one("".join(part.split())) for part in text.split(",")]
    return list({condition.text: condition for condition in found}.values())


def _one(text: str) -> Condition:
    if text == STATUS:
        return Condition(STATUS, STATUS, None, 0.0, relative=False)
    name = _NAME.match(text)
    if name is not None and name[0] not in {*UNITS, STATUS}:
        hint = nearest(name[0], [*UNITS, STATUS])
        raise InputError(f"--fail-on: unknown metric {name[0]!r} in {text!r}: {hint}")
    form = _FORM.fullmatch(text)
    if form is None or form[1] == STATUS:
        raise InputError(
            '--fail-on expects METRIC<VALUE or METRIC>VALUE joined by commas, such as "accuracy<-0.3pt,file_bytes>0", '
            f"found {text!r}; put the whole in quotes, since a shell takes < and > for file names"
        )
    metric, op, number, unit = form.groups()
    known = UNITS[metric].get(unit.lower())
    if known is None:
        takes = _TAKES.get(metric, _TAKES_BYTES.format(metric))
        raise InputError(f"--fail-on: {metric} takes {takes}; found {repr(unit) if unit else 'no unit'} in {text!r}")
    try:
        # Exact until here, so that a change that is just the limit is not beyond it.
        limit = float(Fraction(number) * known.factor)
    except OverflowError:
        limit = math.inf
    if not math.isfinite(limit):
        raise InputError(f"--fail-on: expected a finite limit, found {text[:40]!r}…; give a smaller number")
    return Condition(text, metric, "<" if op == "<" else ">", limit, known.relative)
