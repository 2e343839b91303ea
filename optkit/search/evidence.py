"""What validation data can show of a drop, and how a file stands to each limit: by intervals, not by luck."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optkit.errors import InputError
from optkit.search_record import Limit, Standing
from optkit.statistics import (
    LEAST_PAIRED,
    SIGNIFICANCE,
    compare_answers,
    compare_errors,
    difference_interval,
    mcnemar_p,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.quality import Interval
    from optkit.search.budget import Budget


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


def evidence(budget: Budget, examples: int) -> tuple[float | None, str]:
    """The smallest drop that the data can show, and the sentence about it.

    Raises:
        InputError: The limit is smaller.
    """
    limit = budget.limit("drop")
    if limit is not None and limit.words.endswith("%"):
        if examples < LEAST_PAIRED:
            raise InputError(
                f"--max-drop {limit.words} needs at least {LEAST_PAIRED} validation examples, found {examples}; give "
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
            f"--max-drop {limit.words} is smaller than these data can show: {words}; give at least {_points(least)}pt, "
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
    if labels.dtype.kind != "f":
        low, high = compare_answers(labels, reference, answers).difference_ci95
        right = (answers == labels).mean() - (reference == labels).mean()
        return Drop(-float(right), (-high, -low))
    versus = compare_errors(labels, reference, answers)
    error = float(np.abs(reference.astype(np.float64) - labels.astype(np.float64)).mean())
    low, high = versus.difference_ci95 or (versus.mae_difference, math.inf)

    def share(difference: float) -> float:
        if difference == 0:
            return 0.0
        return difference / error if error else math.copysign(math.inf, difference)

    return Drop(share(versus.mae_difference), (share(low), share(high)))


def standings(
    limits: Sequence[Limit], drop: Drop | None, file_bytes: int, p50_ci95_us: Interval | None
) -> list[Standing]:
    """How a file stands to each limit; what was not measured is not met.

    Args:
        limits: The limits.
        drop: Its drop; that of the reference itself is 0 without doubt.
        file_bytes: Its size.
        p50_ci95_us: The interval of its time.
    """
    held: dict[str, float | None] = {
        "drop": None if drop is None else drop.ci95[1],
        "size": float(file_bytes),
        "latency": None if p50_ci95_us is None else p50_ci95_us[1],
    }
    found = []
    for limit in limits:
        value = held[limit.name]
        if value is None or not math.isfinite(value):
            found.append(Standing(limit.name, None, None, met=False))
        else:
            found.append(Standing(limit.name, value, max(0.0, value) / limit.limit, met=value <= limit.limit))
    return found
