"""Intervals and tests of errors: known answers, and properties that must hold for any input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_rel

from optkit.statistics import LEAST_PAIRED, compare_errors, mean_interval

numbers = st.floats(-1e3, 1e3, width=32)
triples = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=60)


def test_mean_interval_has_the_known_bounds() -> None:
    # By hand: mean 3, standard deviation sqrt(2.5), t(0.975, 4) = 2.776445: half 2.776445 * 1.581139 / sqrt(5).
    assert mean_interval(np.array([1, 2, 3, 4, 5])) == pytest.approx((3 - 1.963243, 3 + 1.963243), abs=1e-6)
    assert mean_interval(np.array([7.0])) is None
    assert mean_interval(np.full(5, 2.0)) == (2.0, 2.0)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [1.0, np.inf], [[1.0, 2.0]]])
def test_mean_interval_rejects_what_has_no_mean(values: list) -> None:
    with pytest.raises(ValueError, match="vector of finite values"):
        mean_interval(np.array(values))


@given(st.lists(numbers, min_size=2, max_size=80))
def test_mean_interval_is_scipys(values: list[float]) -> None:
    wide = np.array(values)
    if not wide.std():
        return
    known = ttest_1samp(wide, 0.0).confidence_interval(0.95)
    assert mean_interval(wide) == pytest.approx((known.low, known.high), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("count", "least"), [(30, 0.905), (200, 0.935)])
def test_mean_interval_covers_the_mean_of_skewed_errors_nearly_as_often_as_it_says(count: int, least: float) -> None:
    drawn = np.random.default_rng(2).exponential(size=(4000, count))
    bounds = [mean_interval(row) for row in drawn]
    covered = np.mean([low <= 1 <= high for low, high in bounds])
    assert least < covered < 0.965


def test_compare_errors_has_the_known_figures() -> None:
    labels = np.zeros(6)
    before, now = np.array([1, -1, 1, -1, 1, -1.0]), np.array([1.5, -1.25, 1.5, 1.75, -1.5, 0.5])
    found = compare_errors(labels, before, now)
    assert (found.larger, found.smaller) == (5, 1)
    # Differences 0.5, 0.25, 0.5, 0.75, 0.5, -0.5: mean 1/3.
    assert found.mae_difference == pytest.approx(1 / 3)
    known = ttest_rel(np.abs(now), np.abs(before))
    assert found.p_value == pytest.approx(known.pvalue)
    assert found.difference_ci95 == pytest.approx(tuple(known.confidence_interval(0.95)))
    assert found.verdict == "no measurable difference"


def test_verdicts_follow_the_side_of_a_sure_difference() -> None:
    random = np.random.default_rng(0)
    labels = random.normal(size=500)
    near, far = labels + random.normal(scale=0.1, size=500), labels + random.normal(scale=0.2, size=500)
    assert compare_errors(labels, near, far).verdict == "worse"
    assert compare_errors(labels, far, near).verdict == "better"
    assert compare_errors(labels, near, near).verdict == "no measurable difference"
    assert compare_errors(labels, near, near).p_value == 1.0


def test_few_examples_are_no_proof() -> None:
    labels = np.zeros(LEAST_PAIRED)
    before, now = labels + 1, labels + 2
    found = compare_errors(labels[1:], before[1:], now[1:])
    assert (found.verdict, found.p_value, found.mae_difference) == ("no measurable difference", 1.0, 1.0)
    assert compare_errors(labels, before, now).verdict == "worse"
    assert compare_errors(labels[:1], before[:1], now[:1]).difference_ci95 is None


def test_compare_errors_is_called_wrongly_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    wrong = 0
    for _ in range(1000):
        labels, first, second = random.normal(size=(3, 60))
        wrong += compare_errors(labels, labels + first, labels + second).verdict != "no measurable difference"
    # 5 % of 1,000; three standard errors are 2 points.
    assert 30 < wrong < 71


@pytest.mark.parametrize(
    ("labels", "before", "now"),
    [([1], [1, 2], [1]), ([], [], []), ([1, 2], [1, 2], [1, np.nan]), ([[1]], [[1]], [[1]])],
)
def test_compare_errors_rejects_what_does_not_fit(labels: list, before: list, now: list) -> None:
    with pytest.raises(ValueError, match="expected"):
        compare_errors(np.array(labels), np.array(before), np.array(now))


@given(triples)
def test_comparison_turns_round_when_swapped(rows: list[tuple[float, float, float]]) -> None:
    labels, before, now = np.array(rows).T
    one, other = compare_errors(labels, before, now), compare_errors(labels, now, before)
    assert (one.larger, one.smaller) == (other.smaller, other.larger)
    assert one.mae_difference == pytest.approx(-other.mae_difference, abs=1e-9)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-6)
    opposite = {"better": "worse", "worse": "better"}
    assert other.verdict == opposite.get(one.verdict, one.verdict)
    if one.difference_ci95 is not None and len(rows) >= LEAST_PAIRED:
        low, high = one.difference_ci95
        assert low <= one.mae_difference <= high
        # The interval and the test say the same.
        if not 0.049 < one.p_value < 0.051:
            assert (one.verdict == "no measurable difference") == (low <= 0 <= high)
