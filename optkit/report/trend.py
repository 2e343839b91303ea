"""Whether a course of figures falls or rises by more than chance: an exact test of ranks, with no model of noise."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of a longer course the means of so many equal stretches are looked at: the test counts all pairs.
MOST_POINTS = 60


def falling_p(values: Sequence[float]) -> float:
    """Chance of a course that falls at least as consistently, were its figures in random order.

    Mann's test for trend (Mann, Nonparametric tests against trend, Econometrica 13, 1945), one-sided and exact: the
    share of the permutations with at most as many pairs that do not fall. Equal figures count as not falling, which
    errs on the side of no trend.

    Args:
        values: In order of time.

    Returns:
        1 for fewer than two figures; 1/120 for five that all fall.
    """
    points = binned(values)
    count = len(points)
    not_falling = sum(points[later] >= points[earlier] for later in range(count) for earlier in range(later))
    # Number of permutations by their inversions, as shares: each new figure adds 0 to n − 1 of them, equally likely.
    shares = [1.0]
    for size in range(2, count + 1):
        wider = [0.0] * (len(shares) + size - 1)
        running = 0.0
        for index in range(len(wider)):
            running += shares[index] if index < len(shares) else 0.0
            running -= shares[index - size] if 0 <= index - size < len(shares) else 0.0
            wider[index] = running / size
        shares = wider
    return min(1.0, sum(shares[: not_falling + 1]))


def rising_p(values: Sequence[float]) -> float:
    """As ``falling_p``, for a course that rises."""
    return falling_p([-value for value in values])


def binned(values: Sequence[float]) -> list[float]:
    """The course, or the means of 60 stretches of a longer one."""
    if len(values) <= MOST_POINTS:
        return list(values)
    edges = [round(index * len(values) / MOST_POINTS) for index in range(MOST_POINTS + 1)]
    return [sum(values[low:high]) / (high - low) for low, high in itertools.pairwise(edges)]


def smoothed(values: Sequence[float], width: int) -> list[float]:
    """Means of each ``width`` neighbouring figures: ``len(values) - width + 1`` of them."""
    return [sum(values[start : start + width]) / width for start in range(len(values) - width + 1)]
