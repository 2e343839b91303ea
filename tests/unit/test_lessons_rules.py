from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks._lessons_rules import Statement, best, decide, falling, interval

STEP = 0.01


def verdict(statements: tuple[Statement, ...], step: float = STEP, **values: list[float]) -> str:
    return decide(statements, values, step=step, unit="%").verdict


def test_the_interval_is_students() -> None:
    # Mean 2, deviation 1, t(0.975, 2) = 4.3027.
    low, high = interval([1.0, 2.0, 3.0], 0.05, STEP)
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), abs=1e-5)


@pytest.mark.parametrize("values", [[1.0], [], [1.0, math.nan, 1.0], [1.0, math.inf, 1.0]])
def test_a_mean_of_too_few_or_no_numbers_has_no_interval(values: list[float]) -> None:
    with pytest.raises(ValueError, match="two finite values"):
        interval(values, 0.05, STEP)


def test_a_clear_difference_holds_and_its_reverse_does_not() -> None:
    high, low = [97.1, 97.2, 97.0], [96.0, 96.2, 96.1]
    assert verdict(best("a", "b"), a=high, b=low) == "held"
    assert verdict(best("a", "b"), a=low, b=high) == "did not hold"


def test_what_differs_by_less_than_its_spread_cannot_be_told() -> None:
    assert verdict(best("a", "b"), a=[97.1, 96.2, 97.9], b=[96.9, 96.6, 97.2]) == "cannot be told"
    assert verdict(best("a", "b"), a=[96.9, 96.6, 97.2], b=[97.1, 96.2, 97.9]) == "cannot be told"


def test_differences_are_taken_seed_by_seed() -> None:
    # The seeds are far apart, yet in each of them a is better by the same.
    assert verdict(best("a", "b"), a=[90.5, 95.5, 99.4], b=[90.0, 95.0, 99.0]) == "held"
    assert verdict(best("a", "b"), a=[90.5, 95.5, 99.4], b=[95.0, 99.0, 90.0]) == "cannot be told"


def test_seeds_that_agree_do_not_know_more_than_they_can_count() -> None:
    same = [97.3, 97.3, 97.3]
    assert verdict(best("a", "b"), a=same, b=same) == "cannot be told"
    assert verdict(best("a", "b"), step=0.1, a=[97.4, 97.4, 97.4], b=same) == "cannot be told"
    assert verdict(best("a", "b"), step=0.1, a=[97.6, 97.6, 97.6], b=same) == "held"
    assert verdict(best("a", "b"), step=0.1, a=same, b=[97.6, 97.6, 97.6]) == "did not hold"


def test_all_statements_must_hold_and_one_that_does_not_is_enough() -> None:
    a, b, c = [97.0, 97.1, 97.2], [96.0, 96.1, 96.2], [98.0, 98.1, 98.2]
    near = [96.4, 97.5, 97.3]
    assert verdict(best("a", "b"), a=a, b=b) == "held"
    assert verdict(best("a", "b", "near"), a=a, b=b, near=near) == "cannot be told"
    assert verdict(best("a", "b", "c"), a=a, b=b, c=c) == "did not hold"
    assert verdict(falling("c", "a", "b"), a=a, b=b, c=c) == "held"
    assert verdict(falling("a", "b", "c"), a=a, b=b, c=c) == "did not hold"


def test_one_of_several_that_seems_false_is_held_to_more() -> None:
    # Differences of mean -1 and deviation 0.35: outside at 5 % (half width 0.87), not at 2.5 % (1.25).
    a, b, c = [0.0, 0.0, 0.0], [1.0, 0.65, 1.35], [-9.0, -9.0, -9.0]
    assert verdict(best("a", "b"), a=a, b=b) == "did not hold"
    assert verdict(best("a", "b", "c"), a=a, b=b, c=c) == "cannot be told"


def test_a_mean_within_limits() -> None:
    near_five = (Statement("epoch", low=2.5, high=7.5),)
    assert verdict(near_five, step=0.5, epoch=[5.0, 5.0, 5.0]) == "held"
    assert verdict(near_five, step=0.5, epoch=[11.0, 12.0, 11.0]) == "did not hold"
    assert verdict(near_five, step=0.5, epoch=[1.0, 1.0, 1.0]) == "did not hold"
    assert verdict(near_five, step=0.5, epoch=[5.0, 9.0, 7.0]) == "cannot be told"


def test_too_little_to_matter() -> None:
    little = (Statement("later", "early", high=0.2),)
    early = [97.5, 97.6, 97.4]
    assert verdict(little, later=[97.5, 97.55, 97.35], early=early) == "held"
    assert verdict(little, later=[98.5, 98.6, 98.45], early=early) == "did not hold"
    assert verdict(little, later=[97.7, 97.9, 97.5], early=early) == "cannot be told"


def test_equal_settings_are_rarely_told_apart() -> None:
    random = np.random.default_rng(5)
    found = [
        verdict(best("a", "b", "c"), step=0.0, **{name: list(random.normal(97, 0.3, 3)) for name in "abc"})
        for _ in range(1_000)
    ]
    # Promised: at most 5 % of each; four standard errors beyond that would be 7.8 %.
    assert 0 < found.count("did not hold") < 78
    assert found.count("held") < 78


def test_a_setting_that_is_better_is_found_so() -> None:
    random = np.random.default_rng(6)
    found = [
        verdict(best("a", "b"), a=list(random.normal(98.5, 0.2, 3)), b=list(random.normal(96.5, 0.2, 3)))
        for _ in range(200)
    ]
    assert found.count("held") > 180
    assert "did not hold" not in found


def test_the_words_say_what_was_seen_and_what_was_claimed() -> None:
    seen = decide(best("a", "b"), {"a": [1.0, 2.0, 3.0], "b": [0.0, 0.0, 0.0]}, step=STEP, unit="points")
    assert seen.findings[0].words == "a less b: +2.00 [−0.48, +4.48] points, claimed over 0"
    within = decide((Statement("a", low=0, high=7.5),), {"a": [5.0, 5.0]}, step=0.5, unit="")
    assert within.findings[0].words == "a: 5.00 [4.50, 5.50], claimed 0 to 7.5"


@pytest.mark.parametrize(
    ("statements", "values", "message"),
    [
        ((), {"a": [1.0, 2.0]}, "at least one statement"),
        (best("a", "z"), {"a": [1.0, 2.0]}, "no values of 'z'"),
        (best("a", "b"), {"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}, "nothing to pair"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    statements: tuple[Statement, ...], values: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        decide(statements, values, step=STEP, unit="%")
