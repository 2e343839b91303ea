"""A limit is met when the interval says so, and one that the data cannot show is refused."""

from __future__ import annotations

import numpy as np
import pytest

from optkit.drop import drop_of, smallest_drop
from optkit.errors import InputError
from optkit.search.budget import read_budget
from optkit.search.evidence import evidence, standings
from optkit.statistics import mcnemar_p


def budget(**given: str):  # noqa: ANN201  # a record
    return read_budget(given, prefer=None, formats=["tflite"], threads=1)


def test_fewer_lost_than_chance_explains_cannot_be_shown() -> None:
    assert smallest_drop(5_000) == 6 / 5_000
    assert mcnemar_p(5, 0) > 0.05 > mcnemar_p(6, 0)
    assert smallest_drop(500) == 6 / 500


def test_a_drop_smaller_than_the_data_can_show_is_refused_with_the_figure() -> None:
    with pytest.raises(InputError, match=r"can show a drop of 0\.12 points or more.*give at least 0\.12pt, or 6,000"):
        evidence(budget(max_drop="0.1pt"), 5_000)
    with pytest.raises(InputError, match=r"at least 20pt"):
        evidence(budget(max_drop="0.1pt"), 30)
    least, words = evidence(budget(max_drop="0.12pt"), 5_000)
    assert least == pytest.approx(0.0012)
    assert "5,000 validation examples can show a drop of 0.12 points" in words
    assert evidence(budget(max_size="20KB"), 5)[0] == pytest.approx(1.2)


@pytest.mark.parametrize("examples", [7, 30, 97, 333, 1_203, 4_999, 60_000])
def test_the_figure_that_is_given_back_is_not_refused(examples: int) -> None:
    with pytest.raises(InputError) as caught:
        evidence(budget(max_drop="0.0001pt"), examples)
    figure = str(caught.value).partition("give at least ")[2].partition(",")[0]
    if float(figure.removesuffix("pt")) < 100:
        assert evidence(budget(max_drop=figure), examples)


def test_values_need_as_many_as_a_test_does() -> None:
    assert evidence(budget(max_drop="5%"), 6)[0] is None
    with pytest.raises(InputError, match="at least 6"):
        evidence(budget(max_drop="5%"), 5)


LABELS = np.zeros(5_000, np.int64)


def answers(wrong: slice) -> np.ndarray:
    found = LABELS.copy()
    found[wrong] = 1
    return found


def test_a_drop_is_met_by_its_interval_not_by_luck() -> None:
    reference = answers(slice(0, 50))
    # 20 more are wrong: 0.40 points, which chance alone may have made of 0.60.
    drop = drop_of(LABELS, reference, answers(slice(0, 70)))
    assert drop.drop == pytest.approx(0.004)
    assert drop.ci95[0] < 0.004 < drop.ci95[1] < 0.0062
    limits = budget(max_drop="0.5pt").limits
    (close,) = standings(limits, drop, 1, None)
    assert not close.met
    assert close.factor is not None
    assert close.factor > 1
    (sure,) = standings(budget(max_drop="0.7pt").limits, drop, 1, None)
    assert sure.met
    # The same drop from many changes both ways is less sure.
    wild = drop_of(LABELS, reference, answers(slice(50, 120)))
    assert wild.drop == pytest.approx(0.004)
    assert wild.ci95[1] > drop.ci95[1]


def test_the_least_limit_can_be_met() -> None:
    (unchanged,) = standings(budget(max_drop="0.12pt").limits, drop_of(LABELS, LABELS, LABELS), 1, None)
    assert unchanged.met
    (one_lost,) = standings(budget(max_drop="0.12pt").limits, drop_of(LABELS, LABELS, answers(slice(0, 1))), 1, None)
    assert one_lost.met
    (five_lost,) = standings(budget(max_drop="0.12pt").limits, drop_of(LABELS, LABELS, answers(slice(0, 5))), 1, None)
    assert not five_lost.met


def test_values_are_held_against_the_error_of_fp32() -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=400).astype(np.float32)
    reference = labels + np.float32(0.5)
    drop = drop_of(labels, reference, labels + rng.normal(0.55, 0.01, 400).astype(np.float32))
    assert drop.drop == pytest.approx(0.1, abs=0.01)
    assert drop.ci95[0] < drop.drop < drop.ci95[1] < 0.12
    assert drop_of(labels, reference, reference) == (0.0, (0.0, 0.0))
    # A reference without any error has no share that could be exceeded.
    worse = drop_of(labels, labels, reference)
    assert not standings(budget(max_drop="50%").limits, worse, 1, None)[0].met


def test_size_and_time_stand_by_what_was_measured() -> None:
    limits = budget(max_size="20KB", max_latency="100us").limits
    size, latency = standings(limits, None, 20_000, (90.0, 101.0))
    assert size.met
    assert size.factor == 1
    # p50 is within, the upper end of its interval is not.
    assert not latency.met
    assert not standings(limits, None, 20_001, None)[0].met
    unmeasured = standings(limits, None, 1, None)[1]
    assert (unmeasured.met, unmeasured.factor) == (False, None)
    assert not standings(budget(max_drop="1pt").limits, None, 1, None)[0].met
