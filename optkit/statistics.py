"""Intervals, tests and verdicts: every figure that has doubt gets it from here.

Nothing here draws on the clock or on global random state: the same input gives the same output.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit.device.intervals import (
    Z95,
    noise_floor,
    percentile_or_none,
    ratio_interval,
    samples_needed,
    t_bound,
    wilson_interval,
)
from optkit.quality import Comparison, ErrorComparison, Interval, Verdict

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "LEAST_PAIRED",
    "SIGNIFICANCE",
    "Z95",
    "compare_answers",
    "compare_errors",
    "difference_interval",
    "mcnemar_p",
    "mean_interval",
    "noise_floor",
    "percentile_or_none",
    "ratio_interval",
    "samples_needed",
    "speed_verdict",
    "t_bound",
    "wilson_interval",
]

SIGNIFICANCE = 0.05
# Of fewer paired examples not even all changes in one direction would be significant by their signs (2 * 0.5^5 is
# 0.0625), while a t test of two that happen to be alike can give any p value.
LEAST_PAIRED = 6


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
