"""Intervals, tests and verdicts: every figure that has doubt gets it from here.

Nothing here draws on the clock or on global random state: the same input gives the same output.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit.quality import Comparison, ErrorComparison, Interval, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

# The standard normal's 97.5 % quantile: all intervals here are 95 % and two-sided.
Z95 = 1.959963984540054
SIGNIFICANCE = 0.05
# Of fewer paired examples not even all changes in one direction would be significant by their signs (2 * 0.5^5 is
# 0.0625), while a t test of two that happen to be alike can give any p value.
LEAST_PAIRED = 6
# MLPerf's early stopping rule reports a percentile only when it could be claimed with 99 % confidence even if
# one sample more than none had gone over it.
PERCENTILE_CONFIDENCE = 0.99
# With 2,000 resamples a bound of the interval is itself known to 3 % of the interval's half width.
RESAMPLES = 2000
OUTLIER_DEVIATIONS = 5.0
# Makes a median absolute deviation the standard deviation where values are normal.
MAD_TO_DEVIATION = 1.4826


def wilson_interval(correct: int, total: int) -> Interval:
    """95 % interval of a proportion, as fractions.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927);
    recommended by Brown, Cai and DasGupta, Statistical Science 16 (2001), since it keeps its level near 0
    and 1, where accuracies are.

    Args:
        correct: Successes, 0 to ``total``.
        total: Trials, at least 1.

    Raises:
        ValueError: The counts are not of that kind.
    """
    if not 0 <= correct <= total or total < 1:
        raise ValueError(f"expected 0 <= correct <= total and total >= 1, found {correct} of {total}")
    share, squared = correct / total, Z95**2
    centre = share + squared / (2 * total)
    half = Z95 * math.sqrt(share * (1 - share) / total + squared / (4 * total**2))
    scale = 1 + squared / total
    # At the ends the bound is exactly 0 or 1; rounding must not say otherwise.
    low = 0.0 if correct == 0 else (centre - half) / scale
    high = 1.0 if correct == total else (centre + half) / scale
    return low, high


def mcnemar_p(lost: int, gained: int) -> float:
    """Two-sided p value of the exact McNemar test: are changes for worse and for better equally likely?

    Source: McNemar, Psychometrika 12 (1947), in its exact (binomial) form.

    Args:
        lost: Questions answered rightly before and wrongly now.
        gained: The reverse.

    Raises:
        ValueError: A count is negative.
    """
    from scipy.stats import binomtest

    if min(lost, gained) < 0:
        raise ValueError(f"expected counts of at least 0, found {lost} and {gained}")
    if lost + gained == 0:
        return 1.0
    return float(binomtest(lost, lost + gained, 0.5).pvalue)


def difference_interval(lost: int, gained: int, total: int) -> Interval:
    """95 % interval of the difference of two paired proportions (now less before), as fractions.

    Source: Bonett and Price, Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data, Journal of Educational and Behavioral Statistics 37 (2012): one is added to each count
    of disagreements. Among the methods that Fagerland, Lydersen and Laake recommend, Statistics in
    Medicine 33 (2014); unlike Tango's it needs no iteration, and with no disagreement at all its width is
    not zero.

    Args:
        lost: Questions answered rightly before and wrongly now.
        gained: The reverse.
        total: All questions, at least ``lost + gained`` and at least 1.

    Raises:
        ValueError: The counts are not of that kind.
    """
    if min(lost, gained) < 0 or lost + gained > total or total < 1:
        raise ValueError(f"expected counts that sum to at most {total}, found {lost} and {gained}")
    better, worse = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    difference = better - worse
    half = Z95 * math.sqrt((better + worse - difference**2) / (total + 2))
    return max(-1.0, difference - half), min(1.0, difference + half)


def compare_answers(labels: np.ndarray, reference: np.ndarray, answers: np.ndarray) -> Comparison:
    """Paired comparison of two sets of answers to the same questions.

    The verdict is the exact McNemar test's at 5 %; ties (both right, both wrong) say nothing about which is
    better.

    Args:
        labels: Right answers, integers [n].
        reference: The reference's answers, integers [n].
        answers: The answers to judge, integers [n].

    Raises:
        ValueError: The lengths differ, or there is no question.
    """
    if not labels.shape == reference.shape == answers.shape or labels.ndim != 1 or not labels.size:
        shapes = f"{labels.shape}, {reference.shape} and {answers.shape}"
        raise ValueError(f"expected three vectors of one length, found shapes {shapes}")
    before, now = reference == labels, answers == labels
    lost, gained = int((before & ~now).sum()), int((~before & now).sum())
    p_value = mcnemar_p(lost, gained)
    verdict: Verdict = "no measurable difference"
    if p_value < SIGNIFICANCE:
        verdict = "better" if gained > lost else "worse"
    return Comparison(lost, gained, p_value, difference_interval(lost, gained, len(labels)), verdict)


def mean_interval(values: np.ndarray) -> Interval | None:
    """95 % interval of a mean, Student's t; ``None`` for a single value.

    Right for values of any distribution once there are many (central limit theorem). Absolute errors are skewed, for
    which it is somewhat too narrow where they are few: of exponential values it holds the mean in 92 % of simulated
    samples of 30, and in 94 % of samples of 200.

    Args:
        values: Finite numbers [n], n at least 1.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    import numpy as np
    from scipy.stats import t

    wide = np.asarray(values, np.float64)
    if wide.ndim != 1 or not wide.size or not np.isfinite(wide).all():
        raise ValueError(f"expected a vector of finite values, found shape {wide.shape}")
    if wide.size == 1:
        return None
    centre = float(wide.mean())
    half = float(t.ppf(1 - SIGNIFICANCE / 2, wide.size - 1)) * float(wide.std(ddof=1)) / math.sqrt(wide.size)
    return centre - half, centre + half


def compare_errors(labels: np.ndarray, reference: np.ndarray, values: np.ndarray) -> ErrorComparison:
    """Paired comparison of two sets of values for the same questions, by their absolute errors.

    Tested is the mean difference of absolute errors, with the paired t test: that is the difference of the mean
    absolute errors which is reported, and its interval leaves out 0 exactly where p is under 5 %. Wilcoxon's signed
    ranks test another quantity (the middle of the differences) and may call a file worse whose mean error is smaller.

    Args:
        labels: Right values [n].
        reference: The reference's values [n].
        values: The values to judge [n].

    Raises:
        ValueError: The lengths differ, there is no question, or a value is not finite.
    """
    import numpy as np
    from scipy.stats import t

    if not labels.shape == reference.shape == values.shape or labels.ndim != 1 or not labels.size:
        shapes = f"{labels.shape}, {reference.shape} and {values.shape}"
        raise ValueError(f"expected three vectors of one length, found shapes {shapes}")
    right = labels.astype(np.float64)
    change = np.abs(values - right) - np.abs(reference - right)
    interval = mean_interval(change)
    mean, total = float(change.mean()), len(change)
    p_value = 1.0
    if total >= LEAST_PAIRED and mean:
        error = float(change.std(ddof=1)) / math.sqrt(total)
        p_value = float(2 * t.sf(abs(mean) / error, total - 1)) if error else 0.0
    verdict: Verdict = "no measurable difference"
    if p_value < SIGNIFICANCE:
        verdict = "better" if mean < 0 else "worse"
    larger, smaller = int((change > 0).sum()), int((change < 0).sum())
    return ErrorComparison(larger, smaller, mean, interval, p_value, verdict)


def samples_needed(percent: float) -> int:
    """Samples before a percentile is reported: p90 64, p95 130, p99 662, p99.9 6,636.

    Source: MLPerf Inference, early stopping (appendix "Early Stopping" of its rules): the least n with
    P(at most one of n over the percentile) <= 1 - confidence, n independent samples.

    Args:
        percent: The percentile, over 0 and under 100.

    Raises:
        ValueError: It is not in that range.
    """
    if not 0 < percent < 100:
        raise ValueError(f"expected a percentile between 0 and 100, found {percent}")
    under = percent / 100

    def too_likely(samples: int) -> bool:
        at_most_one = under**samples + samples * (1 - under) * under ** (samples - 1)
        return at_most_one > 1 - PERCENTILE_CONFIDENCE

    low, high = 1, 2
    while too_likely(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_likely(middle) else (low, middle)
    return high


def percentile_or_none(samples: Sequence[float] | np.ndarray, percent: float) -> float | None:
    """A percentile, or ``None`` where there are too few samples to speak of it.

    Args:
        samples: Single measurements, any unit.
        percent: The percentile, over 0 and under 100.

    Returns:
        The least sample that is not exceeded by ``percent`` of all: a value that was seen, not one between
        two.
    """
    import numpy as np

    if len(samples) < samples_needed(percent):
        return None
    return float(np.percentile(samples, percent, method="inverted_cdf"))


def ratio_interval(
    reference: Sequence[Sequence[float]], blocks: Sequence[Sequence[float]], seed: int
) -> tuple[float, float, float]:
    """Speed ratio (reference's time / this time; over 1 is faster) with its 95 % interval.

    Block i of both was measured in the same cycle, moments apart, so that the machine's drift is in both and
    cancels in their ratio. Ratios are taken as logarithms: swapping the two then gives exactly the
    reciprocal, and a mean of ratios is not biased upwards (Fleming and Wallace, How not to lie with
    statistics, CACM 29, 1986). Within a process it is the mean over its blocks less those
    that the machine disturbed, which lie far from their median (over 5 scaled median absolute deviations;
    Leys et al., Detecting outliers, Journal of Experimental Social Psychology 49, 2013). The median itself
    would be off where calls are of two kinds: with one in five twice as long and 28 in a block, the median
    block is 1 to 2 % off the mean. Over processes it is the mean as well.

    The interval is a hierarchical percentile bootstrap, processes and then blocks within them (Davison and
    Hinkley, Bootstrap Methods, 1997, section 3.8; Kalibera and Jones, Rigorous benchmarking in reasonable
    time, ISMM 2013). With few processes that alone is too narrow when they differ by more than their blocks
    explain (simulated, three processes: 73 % instead of 95 %). So it is widened by t(0.975, nu) / 1.96 *
    sqrt(P / (P - 1)), where P is the number of processes and nu Satterthwaite's degrees of freedom for the
    variance between and within processes (Biometrics Bulletin 2, 1946); the square root undoes the
    bootstrap's bias with P units (Hesterberg, American Statistician 69, 2015). Where the processes agree,
    nothing is widened.

    Args:
        reference: Times [process][block] of the reference, over 0, any unit.
        blocks: Times of the file, the same number of processes, and as many blocks in each.
        seed: Seed of the bootstrap.

    Returns:
        Ratio, low, high.

    Raises:
        ValueError: The two are not paired, or a time is not over 0.
    """
    import numpy as np

    paired = [len(one) for one in reference] == [len(one) for one in blocks]
    if not paired or not blocks or not all(len(one) for one in blocks):
        raise ValueError("expected as many blocks of the reference as of the file, in each of at least one process")
    logs = []
    for one, other in zip(reference, blocks, strict=True):
        times = np.array([one, other], dtype=np.float64)
        if not (np.isfinite(times).all() and (times > 0).all()):
            raise ValueError("expected times over 0")
        logs.append(np.log(times[0]) - np.log(times[1]))
    random = np.random.default_rng(seed)
    processes = len(logs)
    logs = [_undisturbed(one) for one in logs]
    middles = np.array([one.mean() for one in logs])
    # [process, resample]: the mean of a resampled process
    resampled = np.stack([one[random.integers(0, len(one), (RESAMPLES, len(one)))].mean(axis=1) for one in logs])
    chosen = random.integers(0, processes, (RESAMPLES, processes))
    # Each chosen process brings a resample of its own, also when it is chosen twice.
    means = resampled[chosen, random.integers(0, RESAMPLES, (RESAMPLES, processes))].mean(axis=1)
    centre = float(middles.mean())
    widening = _widening(middles, resampled, sum(len(one) - 1 for one in logs))
    low, high = centre + (np.quantile(means, [0.025, 0.975]) - centre) * widening
    # The centre may fall outside a percentile interval that rounding or skew moved; an interval holds its
    # estimate.
    low, high = min(low, centre), max(high, centre)
    return math.exp(centre), math.exp(low), math.exp(high)


def _undisturbed(logs: np.ndarray) -> np.ndarray:
    """The log ratios of a process's blocks that are not far from their median; at least half of them."""
    import numpy as np

    far = np.abs(logs - np.median(logs))
    kept: np.ndarray = logs[far <= OUTLIER_DEVIATIONS * MAD_TO_DEVIATION * np.median(far)]
    return kept


def _widening(middles: np.ndarray, resampled: np.ndarray, block_freedom: int) -> float:
    """How much wider the bootstrap's interval must be for what few processes cannot show; at least 1.

    Args:
        middles: Log ratio of each process.
        resampled: Bootstrap means [process, resample].
        block_freedom: Degrees of freedom of the blocks within all processes.
    """
    from scipy.stats import t

    processes = len(middles)
    if processes == 1:
        return 1.0
    within = float(resampled.var(axis=1, ddof=1).mean())
    between = float(middles.var(ddof=1)) - within
    if between <= 0:
        return 1.0
    freedom = (between + within) ** 2 / (between**2 / (processes - 1) + within**2 / max(block_freedom, processes - 1))
    return float(t.ppf(0.975, freedom)) / Z95 * math.sqrt(processes / (processes - 1))


def noise_floor(low: float, high: float) -> Interval:
    """The range of speed ratios that mean nothing, from the interval of the baseline against itself.

    Which of the two copies is above the line is chance, so the range holds the reciprocals too, and 1.

    Args:
        low: Lower bound of the ratio of the baseline to its copy.
        high: Upper bound.
    """
    return min(low, 1 / high, 1.0), max(high, 1 / low, 1.0)


def speed_verdict(interval: Interval, floor: Interval | None) -> Verdict:
    """Whether a speed ratio differs from 1 by more than chance and the noise floor.

    Args:
        interval: 95 % interval of the ratio (over 1 is faster).
        floor: The noise floor of the same format, or ``None`` where it was not measured.
    """
    low, high = interval
    inside = floor is not None and floor[0] <= low and high <= floor[1]
    if low <= 1 <= high or inside:
        return "no measurable difference"
    return "better" if low > 1 else "worse"
