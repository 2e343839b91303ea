from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optkit.report.trend import binned, falling_p, rising_p, smoothed

COURSES = st.lists(st.floats(-10, 10), min_size=1, max_size=40)


def test_a_course_that_only_falls_is_one_order_of_all() -> None:
    assert falling_p([5, 4, 3, 2, 1]) == pytest.approx(1 / 120)
    assert falling_p([1, 2, 3, 4, 5]) == pytest.approx(1)
    assert rising_p([1, 2, 3, 4, 5]) == pytest.approx(1 / 120)


def test_the_share_is_that_of_all_orders_counted() -> None:
    given_course = (3, 1, 2, 0)

    def not_falling(course: tuple[int, ...]) -> int:
        return sum(later >= earlier for earlier, later in itertools.combinations(course, 2))

    orders = list(itertools.permutations(range(4)))
    counted = sum(not_falling(order) <= not_falling(given_course) for order in orders) / len(orders)
    assert falling_p(given_course) == pytest.approx(counted)


def test_equal_figures_are_no_trend() -> None:
    assert falling_p([1, 1, 1, 1, 1, 1]) == pytest.approx(1)
    assert rising_p([1, 1, 1, 1, 1, 1]) == pytest.approx(1)


def test_a_long_course_is_looked_at_in_stretches() -> None:
    course = [1 / (1 + index) for index in range(1000)]
    assert len(binned(course)) == 60
    assert sum(binned(course)) / 60 == pytest.approx(sum(course) / 1000, rel=0.1)
    assert falling_p(course) < 1e-9


@given(COURSES)
def test_a_chance_is_between_nothing_and_one_and_blind_to_scale(course: list[float]) -> None:
    found = falling_p(course)
    assert 0 < found <= 1
    assert falling_p([rank(course, value) for value in course]) == pytest.approx(found)
    # One of the two directions is always likely.
    assert max(found, rising_p(course)) > 0.3


def rank(course: list[float], value: float) -> int:
    return sorted(set(course)).index(value)


def test_means_of_neighbours() -> None:
    assert smoothed([1, 2, 3, 6], 2) == [1.5, 2.5, 4.5]
    assert smoothed([1, 2], 1) == [1, 2]
