"""Intervals of proportions and of speed ratios, percentiles, and the noise floor.

Nothing here draws on the clock or on global random state: the same input gives the same output.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

# The standard normal's 97.5 % quantile: all intervals here are 95 % and two-sided.
Z95 = 1.959963984540054
# MLPerf's early stopping rule reports a percentile only when it could be claimed with 99 % confidence even if
# one sample more than none had gone over it.
PERCENTILE_CONFIDENCE = 0.99
# With 2,000 resamples a bound of the interval is itself known to 3 % of the interval's half width.
RESAMPLES = 2000
OUTLIER_DEVIATIONS = 5.0
# Makes a median absolute deviation the standard deviation where values are normal.
MAD_TO_DEVIATION = 1.4826


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
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
    processes = len(middles)
    if processes == 1:
        return 1.0
    within = float(resampled.var(axis=1, ddof=1).mean())
    between = float(middles.var(ddof=1)) - within
    if between <= 0:
        return 1.0
    freedom = (between + within) ** 2 / (between**2 / (processes - 1) + within**2 / max(block_freedom, processes - 1))
    return t_bound(freedom) / Z95 * math.sqrt(processes / (processes - 1))


def t_bound(freedom: float) -> float:
    """Student's t at 97.5 %, for any number of degrees of freedom of at least 1: what scipy gives, to six digits.

    With x = sqrt(freedom) tan(angle) the density is in proportion to cos(angle) ** (freedom - 1), which is smooth and
    has a finite range: the trapezium rule over it is exact enough, and a device needs no scipy.
    """
    import numpy as np

    # Beyond this the normal distribution's bound is right to six digits.
    if freedom > 1e6:
        return Z95
    # With many degrees of freedom the density has fallen to nothing at 30 standard deviations: steps are not wasted.
    widest = math.pi / 2 if freedom < 30 else math.atan(30 / math.sqrt(freedom))
    angles = np.linspace(0, widest, 200_001)
    heights = np.cos(angles) ** (freedom - 1)
    areas = np.concatenate([[0.0], np.cumsum((heights[1:] + heights[:-1]) / 2)])
    angle = float(np.interp(0.95 * areas[-1], areas, angles))
    return math.sqrt(freedom) * math.tan(angle)


def noise_floor(low: float, high: float) -> tuple[float, float]:
    """The range of speed ratios that mean nothing, from the interval of the baseline against itself.

    Which of the two copies is above the line is chance, so the range holds the reciprocals too, and 1.

    Args:
        low: Lower bound of the ratio of the baseline to its copy.
        high: Upper bound.
    """
    return min(low, 1 / high, 1.0), max(high, 1 / low, 1.0)
