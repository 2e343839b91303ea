"""Known answers, and properties that must hold for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from optkit.statistics import (
    compare_answers,
    difference_interval,
    mcnemar_p,
    noise_floor,
    percentile_or_none,
    ratio_interval,
    samples_needed,
    speed_verdict,
    t_bound,
    wilson_interval,
)

times = st.floats(1.0, 1e4)
counts = st.integers(0, 60)


def blocks(seed: int, count: int, between: float, within: float, ratio: float) -> tuple:
    """Paired block times of three processes; the reference takes ``ratio`` times as long."""
    random = np.random.default_rng(seed)
    drift = random.normal(0, 0.3, (3, count))
    noise = random.normal(0, between, (3, 1)) + random.normal(0, within, (3, count))
    return (100 * ratio * np.exp(drift + noise)).tolist(), (100 * np.exp(drift)).tolist()


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_has_the_known_bounds(correct: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("correct", "total"), [(-1, 10), (11, 10), (0, 0)])
def test_wilson_interval_rejects_impossible_counts(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match="correct <= total"):
        wilson_interval(correct, total)


@given(st.integers(1, 400), st.data())
def test_wilson_interval_is_symmetric_and_contains_the_share(total: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, total))
    low, high = wilson_interval(correct, total)
    known = binomtest(correct, total).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((known.low, known.high), abs=1e-12)
    mirrored_low, mirrored_high = wilson_interval(total - correct, total)
    assert low <= correct / total <= high
    assert (low, high) == pytest.approx((1 - mirrored_high, 1 - mirrored_low), abs=1e-12)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.987, 0.999])
def test_wilson_interval_covers_the_true_share(share: float) -> None:
    total = 2000
    chances = binom.pmf(range(total + 1), total, share)
    covered = [low <= share <= high for low, high in (wilson_interval(k, total) for k in range(total + 1))]
    # 95 % on average over shares; at a single one the steps of a count move it by up to 2 points here.
    assert chances[covered].sum() == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("lost", "gained", "p_value"),
    # 2 * P(X <= min) for X ~ Binomial(n, 1/2), at most 1: for (1, 7) 2 * (1 + 8) / 256.
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (1, 7, 0.0703125)],
)
def test_mcnemar_has_the_known_p_values(lost: int, gained: int, p_value: float) -> None:
    assert mcnemar_p(lost, gained) == pytest.approx(p_value)
    assert mcnemar_p(gained, lost) == pytest.approx(p_value)


def test_mcnemar_rejects_negative_counts() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        mcnemar_p(-1, 2)


def test_difference_interval_has_the_known_bounds() -> None:
    # By hand: (13 - 5) / 102 = 0.0784314; 1.959964 * sqrt((18 / 102 - 0.0784314 ** 2) / 102) = 0.0800904.
    low, high = difference_interval(4, 12, 100)
    assert (low, high) == pytest.approx((0.0784314 - 0.0800904, 0.0784314 + 0.0800904), abs=1e-6)


@pytest.mark.parametrize(("lost", "gained", "total"), [(-1, 0, 10), (6, 5, 10), (0, 0, 0)])
def test_difference_interval_rejects_impossible_counts(lost: int, gained: int, total: int) -> None:
    with pytest.raises(ValueError, match="sum to at most"):
        difference_interval(lost, gained, total)


@given(counts, counts, st.integers(120, 10_000))
def test_difference_interval_turns_round_when_swapped(lost: int, gained: int, total: int) -> None:
    low, high = difference_interval(lost, gained, total)
    other_low, other_high = difference_interval(gained, lost, total)
    assert (low, high) == pytest.approx((-other_high, -other_low), abs=1e-12)
    assert low < high


@pytest.mark.parametrize(("worse", "better"), [(0.002, 0.002), (0.01, 0.004), (0.0005, 0.003)])
def test_difference_interval_covers_the_true_difference(worse: float, better: float) -> None:
    random, total = np.random.default_rng(1), 10_000
    drawn = random.multinomial(total, [worse, better, 1 - worse - better], 2000)
    bounds = [difference_interval(int(lost), int(gained), total) for lost, gained, _ in drawn]
    covered = np.mean([low <= better - worse <= high for low, high in bounds])
    # 2,000 draws: three standard errors of 95 % are 1.5 points; the method may be above its level, not below.
    assert covered >= 0.935


def test_compare_answers_counts_and_judges() -> None:
    labels = np.zeros(100, dtype=int)
    reference, answers = labels.copy(), labels.copy()
    reference[:12] = 1  # the reference is wrong on the first twelve
    answers[12:14] = 2  # this is wrong on two others
    found = compare_answers(labels, reference, answers)
    assert (found.lost, found.gained, found.verdict) == (2, 12, "better")
    assert found.p_value == pytest.approx(mcnemar_p(2, 12))
    assert found.difference_ci95 == difference_interval(2, 12, 100)
    assert compare_answers(labels, answers, reference).verdict == "worse"


def test_different_wrong_answers_are_no_difference_in_accuracy() -> None:
    labels = np.zeros(50, dtype=int)
    found = compare_answers(labels, labels + 1, labels + 2)
    assert (found.lost, found.gained, found.p_value) == (0, 0, 1.0)
    assert found.verdict == "no measurable difference"


def test_compare_answers_rejects_other_lengths() -> None:
    with pytest.raises(ValueError, match="one length"):
        compare_answers(np.zeros(3), np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="one length"):
        compare_answers(np.zeros(0), np.zeros(0), np.zeros(0))


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=80))
def test_swapping_the_two_answers_turns_the_comparison_round(rows: list[tuple[int, int, int]]) -> None:
    labels, first, second = np.array(rows).T
    one, other = compare_answers(labels, first, second), compare_answers(labels, second, first)
    opposite = {"better": "worse", "worse": "better", "no measurable difference": "no measurable difference"}
    assert (one.lost, one.gained) == (other.gained, other.lost)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.verdict == opposite[other.verdict]


@pytest.mark.parametrize(("percent", "samples"), [(90, 64), (95, 130), (99, 662), (99.9, 6636)])
def test_percentiles_need_as_many_samples_as_mlperf_says(percent: float, samples: int) -> None:
    assert samples_needed(percent) == samples
    assert percentile_or_none([1.0] * (samples - 1), percent) is None
    assert percentile_or_none([1.0] * samples, percent) == 1.0


def test_percentile_is_a_value_that_was_seen() -> None:
    assert percentile_or_none(np.arange(1, 101), 90) == 90.0
    assert percentile_or_none(np.arange(1, 102)[::-1], 90) == 91.0


@pytest.mark.parametrize("percent", [0, 100, -5])
def test_percentile_rejects_what_is_none(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        samples_needed(percent)


@given(st.lists(times, min_size=64, max_size=200), st.floats(50.5, 89))
def test_percentiles_grow_with_their_number(samples: list[float], percent: float) -> None:
    lower, upper = percentile_or_none(samples, percent), percentile_or_none(samples, 90)
    assert lower is not None
    assert upper is not None
    assert lower <= upper


def test_ratio_of_exact_multiples_is_exact() -> None:
    reference = [[120.0, 240.0, 60.0], [360.0, 12.0, 6.0]]
    halved = [[value / 2 for value in process] for process in reference]
    assert ratio_interval(reference, halved, 0) == pytest.approx((2, 2, 2))


def test_ratio_interval_is_the_same_again_and_differs_with_the_seed() -> None:
    reference, other = blocks(0, 30, 0.0, 0.05, 1.3)
    assert ratio_interval(reference, other, 7) == ratio_interval(reference, other, 7)
    assert ratio_interval(reference, other, 7) != ratio_interval(reference, other, 8)


@given(st.integers(0, 10_000), st.floats(0.2, 5))
@settings(max_examples=30, deadline=None)
def test_swapping_the_files_gives_the_reciprocal(seed: int, ratio: float) -> None:
    reference, other = blocks(seed, 12, 0.02, 0.05, ratio)
    found, low, high = ratio_interval(reference, other, 3)
    swapped, swapped_low, swapped_high = ratio_interval(other, reference, 3)
    assert low <= found <= high
    assert (found, low, high) == pytest.approx((1 / swapped, 1 / swapped_high, 1 / swapped_low))


@given(st.integers(0, 10_000), st.floats(1.01, 4))
@settings(max_examples=30, deadline=None)
def test_a_slower_reference_raises_the_ratio_by_as_much(seed: int, factor: float) -> None:
    reference, other = blocks(seed, 12, 0.02, 0.05, 1.0)
    slower = [[value * factor for value in process] for process in reference]
    found, low, high = ratio_interval(reference, other, 3)
    assert ratio_interval(slower, other, 3) == pytest.approx((found * factor, low * factor, high * factor))


@pytest.mark.parametrize(("between", "within"), [(0.0, 0.05), (0.01, 0.05), (0.05, 0.01)])
def test_ratio_interval_covers_the_true_ratio(between: float, within: float) -> None:
    hits = 0
    for seed in range(200):
        _, low, high = ratio_interval(*blocks(seed, 20, between, within, 1.2), seed)
        hits += low <= 1.2 <= high
    # 200 draws: at 95 % fewer than 180 hits happen once in 500 times; at 73 %, which the bootstrap alone
    # reaches when processes differ (the last case), never.
    assert hits >= 180


def test_ratio_interval_narrows_with_more_blocks() -> None:
    few, many = (ratio_interval(*blocks(5, count, 0.0, 0.05, 1.0), 0) for count in (10, 400))
    assert many[2] - many[1] < (few[2] - few[1]) / 3


def test_calls_of_two_kinds_count_as_they_are() -> None:
    random = np.random.default_rng(0)
    # 28 calls in a block, one in five twice as long: the median block has 5 or 6 long ones of 28, never 5.6.
    other = [list(1 + random.binomial(28, 0.2, 400) / 28) for _ in range(3)]
    ratio, low, high = ratio_interval([[1.0] * 400] * 3, other, 0)
    assert 1 / ratio == pytest.approx(1.2, rel=0.006)
    assert low <= 1 / 1.2 <= high
    assert abs(np.median(np.concatenate(other)) - 1.2) > 0.01


def test_blocks_that_were_interrupted_do_not_move_the_ratio() -> None:
    reference, other = blocks(2, 30, 0.0, 0.01, 1.5)
    for process in other:
        process[::4] = [value * 20 for value in process[::4]]
    # A quarter of the blocks on one side shifts which of the others is the median, by less than their spread.
    assert ratio_interval(reference, other, 0) == pytest.approx((1.5, 1.5, 1.5), rel=0.02)


@pytest.mark.parametrize(
    ("reference", "other"),
    [
        ([[1.0, 2.0]], [[1.0]]),
        ([[1.0], [2.0]], [[1.0]]),
        ([], []),
        ([[]], [[]]),
        ([[0.0]], [[1.0]]),
        ([[math.nan]], [[1.0]]),
        ([[1.0]], [[math.inf]]),
    ],
)
def test_ratio_interval_rejects_what_is_not_paired(reference: list, other: list) -> None:
    with pytest.raises(ValueError, match="expected"):
        ratio_interval(reference, other, 0)


def test_one_process_and_one_block_have_a_ratio() -> None:
    assert ratio_interval([[3.0]], [[2.0]], 0) == pytest.approx((1.5, 1.5, 1.5))


@given(st.floats(0.5, 2), st.floats(1, 2))
def test_noise_floor_does_not_depend_on_which_copy_is_first(low: float, width: float) -> None:
    high = low * width
    floor = noise_floor(low, high)
    assert floor[0] <= 1 <= floor[1]
    assert floor[0] <= low
    assert high <= floor[1]
    assert noise_floor(1 / high, 1 / low) == pytest.approx(floor)


@pytest.mark.parametrize(
    ("interval", "floor", "verdict"),
    [
        ((1.1, 1.2), (0.99, 1.01), "better"),
        ((0.8, 0.9), (0.99, 1.01), "worse"),
        ((0.99, 1.2), (0.99, 1.01), "no measurable difference"),
        ((1.002, 1.008), (0.99, 1.01), "no measurable difference"),
        ((0.992, 0.998), (0.99, 1.01), "no measurable difference"),
        ((1.002, 1.02), (0.99, 1.01), "better"),
        ((1.002, 1.008), None, "better"),
    ],
)
def test_speed_verdict_needs_more_than_chance_and_noise(
    interval: tuple[float, float], floor: tuple[float, float] | None, verdict: str
) -> None:
    assert speed_verdict(interval, floor) == verdict


def test_z95_is_the_normal_quantile() -> None:
    from optkit.statistics import Z95

    assert pytest.approx(norm.ppf(0.975)) == Z95


@pytest.mark.parametrize("freedom", [1, 1.3, 2, 2.5, 3, 5.7, 29, 31, 444.4, 1e5, 1e7])
def test_the_bound_of_students_t_needs_no_scipy(freedom: float) -> None:
    from scipy.stats import t

    assert t_bound(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-6)
