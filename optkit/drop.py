"""How much less accurate a file is than fp32: its limit, what data can show of it, and the figure with its interval."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from optkit.errors import InputError
from optkit.search_record import Limit
from optkit.statistics import (
    LEAST_PAIRED,
    SIGNIFICANCE,
    compare_answers,
    compare_errors,
    difference_interval,
    mcnemar_p,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from optkit.quality import Interval

_AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>[^\d\s.]*)")


class Drop(NamedTuple):
    """How much less accurate a file is than fp32, as a fraction, with its 95 % interval; see ``TriedFile``."""

    drop: float
    ci95: Interval


def smallest_drop(examples: int) -> float:
    """The smallest limit of a drop of accuracy that so many examples can show, as a fraction.

    A drop is shown by examples that are lost, right in fp32 and wrong in the file. With none gained, six is the least
    number that the exact McNemar test at 5 % tells from chance; so a drop of fewer than six examples would not be seen
    if it were there. The upper end of the interval of a file that changes no answer at all is below that.

    Args:
        examples: Validation examples, at least 1.
    """
    lost = 1
    while mcnemar_p(lost, 0) >= SIGNIFICANCE:
        lost += 1
    unchanged = -difference_interval(0, 0, examples)[0]
    return max(lost / examples, unchanged)


def amount(option: str, words: str, units: Mapping[str, float], example: str) -> tuple[float, str]:
    """Number and unit of an amount.

    Raises:
        InputError: It is none, it has no unit or another, or it is not over 0.
    """
    match = _AMOUNT.fullmatch(words.strip())
    if match is None:
        raise InputError(f"{option} expects an amount over 0 such as {example}, found {words!r}")
    unit = match["unit"]
    if unit not in units:
        shown = ", ".join(dict.fromkeys(units))
        found = f"the unit {unit!r}" if unit else "no unit"
        raise InputError(
            f"{option} expects a number and its unit, one of {shown}, found {found} in {words!r}; {example}?"
        )
    number = float(match["number"])
    if not number:
        raise InputError(f"{option} expects an amount over 0 such as {example}, found {words!r}")
    return number, unit


def read_limit(option: str, words: str) -> Limit:
    """The limit of a drop from what the user wrote: points of accuracy (``0.5pt``), or for values percent of the error.

    Args:
        option: What it was given as, for messages.
        words: What the user wrote.

    Raises:
        InputError: It cannot be read, or allows any answers.
    """
    number, unit = amount(option, words, {"pt": 1, "%": 1}, "0.5pt")
    if number >= 100:
        raise InputError(
            f"{option} expects less than 100{unit}, found {words!r}, which allows any answers; leave it out"
        )
    what = "accuracy on validation data, against fp32 of the same format: upper end of the drop's 95 % interval"
    if unit == "%":
        what = "mean absolute error on validation data over that of fp32: upper end of the rise's 95 % interval"
    return Limit("drop", words.strip(), number / 100, "fraction", what)


def is_relative(limit: Limit) -> bool:
    """Whether it is a share of fp32's mean absolute error (values to predict), and not of all examples (classes)."""
    return limit.words.endswith("%")


def check_unit(option: str, limit: Limit, *, values: bool) -> None:
    """Refuse a drop in the unit of another kind of answers: each kind has one, so that none can be misread.

    Args:
        option: What it was given as, for messages.
        limit: The limit.
        values: Whether the data's labels are values to predict, not classes.

    Raises:
        InputError: It has the other's.
    """
    if is_relative(limit) == values:
        return
    number = limit.words.rstrip("%pt ")
    if values:
        raise InputError(
            f"{option} {limit.words}: these data have values to predict, which have no accuracy; give the rise of "
            f"the mean absolute error over fp32's, such as {number}%"
        )
    raise InputError(
        f"{option} {limit.words}: percent of what? Give percentage points of accuracy, such as {number}pt (from 99 % "
        f"to {99 - float(number):g} %)"
    )


def evidence(option: str, limit: Limit | None, examples: int) -> tuple[float | None, str]:
    """The smallest drop that the data can show, and the sentence about it.

    Args:
        option: What the limit was given as, for messages.
        limit: The limit; ``None`` for none.
        examples: Validation examples.

    Returns:
        A fraction, ``None`` for values, of which it is not known beforehand; and the sentence.

    Raises:
        InputError: The limit is smaller.
    """
    if limit is not None and is_relative(limit):
        if examples < LEAST_PAIRED:
            raise InputError(
                f"{option} {limit.words} needs at least {LEAST_PAIRED} validation examples, found {examples}; give "
                "more data"
            )
        return None, (
            f"{examples:,} validation examples; what rise of the mean absolute error they can show depends on how much "
            "the errors vary, and shows in each file's interval"
        )
    least = smallest_drop(examples)
    words = (
        f"{examples:,} validation examples can show a drop of {_points(least)} points or more: fewer than "
        f"{math.ceil(least * examples - 1e-9)} that are lost cannot be told from chance (exact McNemar test, 5 %)"
    )
    if limit is not None and limit.limit < least * (1 - 1e-9):
        raise InputError(
            f"{option} {limit.words} is smaller than these data can show: {words}; give at least {_points(least)}pt, "
            f"or {math.ceil(least * examples / limit.limit):,} validation examples"
        )
    return least, words


def _points(fraction: float) -> str:
    """A fraction in percentage points, rounded up: what is given back must not be refused."""
    for digits in range(2, 8):
        text = f"{math.ceil(fraction * 100 * 10**digits - 1e-9) / 10**digits:.{digits}f}"
        if float(text) <= fraction * 100 * 1.05:
            break
    return text.rstrip("0").rstrip(".")


def drop_of(labels: np.ndarray, reference: np.ndarray, answers: np.ndarray) -> Drop:
    """The drop of a file from its answers and fp32's to the same examples.

    Args:
        labels: Right answers, int64 or float32 [n].
        reference: fp32's answers [n].
        answers: The file's answers [n].

    Returns:
        For classes by paired flips; for values the rise of the mean absolute error as a share of fp32's.
    """
    import numpy as np

    if labels.dtype.kind != "f":
        low, high = compare_answers(labels, reference, answers).difference_ci95
        right = (answers == labels).mean() - (reference == labels).mean()
        # Less than nothing is a gain, but nothing has no sign.
        return Drop(0.0 - float(right), (-high, -low))
    versus = compare_errors(labels, reference, answers)
    error = float(np.abs(reference.astype(np.float64) - labels.astype(np.float64)).mean())
    low, high = versus.difference_ci95 or (versus.mae_difference, math.inf)

    def share(difference: float) -> float:
        if difference == 0:
            return 0.0
        return difference / error if error else math.copysign(math.inf, difference)

    return Drop(share(versus.mae_difference), (share(low), share(high)))
