"""Changes between two reports: intervals that are published, and refusals to compare what is not comparable."""

from __future__ import annotations

import math

import pytest
from compare_reports_made import OTHER_SHA, faster, file_of, flipped, replace, scored, small_report, with_file
from hypothesis import given
from hypothesis import strategies as st

from optkit.report.compare_changes import SAME_FILE, Change, Remeasured, changes, newcombe_interval, time_change
from optkit.schema import Comparison, Memory, NoiseFloor, Report, Speedup
from optkit.statistics import difference_interval

OLD = small_report()


def change(new: Report, metric: str, old: Report = OLD, again: Remeasured | None = None) -> Change:
    return changes(file_of(old), file_of(new), old, new, again)[metric]


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe 1998, table II, method 10, contrasts a to h: first less second.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_as_published(first: tuple[int, int], second: tuple[int, int], low: float, high: float) -> None:
    assert newcombe_interval(*second, *first) == pytest.approx((low, high), abs=5e-5)
    assert newcombe_interval(*first, *second) == pytest.approx((-high, -low), abs=5e-5)


ratios = st.tuples(st.floats(0.05, 20), st.floats(1.0, 1.5), st.floats(1.0, 1.5)).map(
    lambda t: Speedup(t[0], (t[0] / t[1], t[0] * t[2]), "better")
)


@given(ratios, ratios)
def test_swapping_the_runs_gives_the_reciprocal_and_doubt_only_adds(old: Speedup, new: Speedup) -> None:
    value, (low, high) = time_change(old, new)
    back, (back_low, back_high) = time_change(new, old)
    assert (1 + value) * (1 + back) == pytest.approx(1)
    assert ((1 + low) * (1 + back_high), (1 + high) * (1 + back_low)) == pytest.approx((1, 1))
    assert -1 < low <= value + 1e-12
    assert value - 1e-12 <= high
    sure = Speedup(old.ratio, (old.ratio, old.ratio), "better")
    assert time_change(sure, new)[1][1] <= high + 1e-9


def test_time_change_by_hand() -> None:
    value, (low, high) = time_change(Speedup(2.0, (1.9, 2.2), "better"), Speedup(1.6, (1.5, 1.8), "better"))
    assert value == pytest.approx(0.25)
    assert low == pytest.approx(1.25 * math.exp(-math.hypot(math.log(2 / 1.9), math.log(1.8 / 1.6))) - 1)
    assert high == pytest.approx(1.25 * math.exp(math.hypot(math.log(2.2 / 2), math.log(1.6 / 1.5))) - 1)


def test_the_same_file_did_not_change() -> None:
    for metric in ("accuracy", "p50", "peak_rss_bytes"):
        found = change(OLD, metric)
        assert (found.value, found.ci95, found.how) == (0, None, SAME_FILE)
    assert change(OLD, "file_bytes").value == 0


def test_sizes_are_exact_and_one_that_is_missing_is_unknown() -> None:
    size = file_of(OLD).size
    assert size is not None
    found = change(with_file(OLD, size=replace(size, file_bytes=size.file_bytes + 7)), "file_bytes")
    assert (found.value, found.ci95, found.old) == (7, None, size.file_bytes)
    assert change(with_file(OLD, size=None), "gzip_bytes").value is None
    assert change(with_file(OLD, compute=None), "macs").value is None


def test_accuracy_from_counts_alone_is_unpaired() -> None:
    found = change(scored(OLD, 9_851), "accuracy")
    assert found.value == pytest.approx(-0.005)
    assert found.ci95 == pytest.approx(newcombe_interval(9_901, 10_000, 9_851, 10_000))
    assert "unpaired" in found.how


def test_accuracy_is_paired_where_both_reports_list_every_flip() -> None:
    old = flipped(OLD, {1, 2, 3}, {10})
    new = flipped(with_file(OLD, sha256=OTHER_SHA), {2, 3, 4, 5}, {11})
    found = change(new, "accuracy", old)
    # 1 is right again, 11 is newly right; 4 and 5 are newly wrong, 10 is wrong again.
    assert "3 lost, 2 gained" in found.how
    assert found.value == pytest.approx(-1e-4)
    assert found.ci95 == difference_interval(3, 2, 10_000)


def test_flips_that_are_cut_short_or_of_another_baseline_do_not_pair() -> None:
    old, new = flipped(OLD, {1, 2}, {10}), flipped(with_file(OLD, sha256=OTHER_SHA), {2, 3}, {11})
    assert "paired by" in change(new, "accuracy", old).how
    # One lost and one gained: the difference of the counts would not tell.
    cut = with_file(new, flips=file_of(new).flips[1:-1])
    assert "unpaired" in change(cut, "accuracy", old).how
    other = with_file(new, "fp32", sha256=OTHER_SHA)
    assert "unpaired" in change(other, "accuracy", old).how


def test_the_same_file_with_another_score_is_not_called_unchanged() -> None:
    found = change(with_file(scored(OLD, 9_800), sha256=file_of(OLD).sha256), "accuracy")
    assert found.value == pytest.approx(-0.0101)
    assert found.ci95 is not None


def test_accuracy_on_other_data_cannot_be_known() -> None:
    new = scored(OLD, 9_851)
    assert new.data is not None
    assert change(replace(new, data=replace(new.data, sha256="11" * 32)), "accuracy").value is None
    assert change(replace(new, data=None), "accuracy").value is None
    accuracy = file_of(new).accuracy
    assert accuracy is not None
    assert "9,900 images" in change(with_file(new, accuracy=replace(accuracy, total=9_900)), "accuracy").how
    assert change(with_file(new, accuracy=None), "accuracy").value is None


def test_time_is_compared_by_speed_ups_over_one_reference() -> None:
    found = change(faster(OLD, 1.6, 1.55, 1.65), "p50")
    assert found.value == pytest.approx(2.02 / 1.6 - 1)
    assert "fp32.tflite" in found.how
    assert found.noise == pytest.approx((math.exp(-math.sqrt(2) * math.log(1.012)) - 1, 1.012 ** math.sqrt(2) - 1))


def test_time_cannot_be_known_where_runs_are_not_comparable() -> None:
    new = faster(OLD, 1.6, 1.55, 1.65)
    latency = file_of(new).latency
    assert latency is not None
    environment = new.environment
    hindered = {
        "another file": with_file(new, "fp32", sha256=OTHER_SHA),
        "processors differ: Synthetic": replace(new, environment=replace(environment, cpu_model="Other")),
        "same instructions": replace(new, environment=replace(environment, cpu_flags=["avx2"])),
        "runtimes differ": with_file(new, runtime="litert 2.4.0"),
        "4 at batch 1": with_file(new, latency=replace(latency, threads=4)),
        "was not measured": with_file(new, latency=None),
        "speed-ups were not": with_file(new, latency=replace(latency, speedup=None)),
        "no reference": replace(new, variants=[v for v in new.variants if v.name != "fp32"]),
    }
    for reason, report in hindered.items():
        found = change(report, "p50")
        assert found.value is None, reason
        assert reason in found.how
        assert "--remeasure" in found.how


def test_the_same_file_in_another_runtime_is_not_called_unchanged() -> None:
    assert change(with_file(OLD, runtime="litert 2.4.0"), "p50").value is None
    assert change(with_file(OLD, runtime="litert 2.4.0"), "p50", again=Remeasured()).value == 0


def test_without_a_noise_floor_there_is_none() -> None:
    new = replace(faster(OLD, 1.6, 1.55, 1.65), noise_floor=[NoiseFloor("onnx", 0.9, 1.1)])
    assert change(new, "p50").noise is None


def test_what_was_measured_again_replaces_the_reports() -> None:
    new = replace(faster(OLD, 1.6, 1.55, 1.65), data=None)
    speedup = Speedup(0.5, (0.4, 0.8), "worse")
    answers = Comparison(30, 10, 0.002, (-0.0033, -0.0008), "worse")
    again = Remeasured(speedup, (0.98, 1.02), answers=answers, total=10_000)
    found = change(new, "p50", again=again)
    assert (found.value, found.ci95) == (1.0, pytest.approx((0.25, 1.5)))
    assert found.noise == pytest.approx((1 / 1.02 - 1, 1 / 0.98 - 1))
    assert change(new, "accuracy", again=again).ci95 == (-0.0033, -0.0008)
    assert change(new, "p50", again=Remeasured(failure="gone")).value is None


def test_memory_has_a_margin_and_needs_one_machine() -> None:
    new = with_file(OLD, sha256=OTHER_SHA, memory=Memory(4_000_000))
    old = with_file(OLD, memory=Memory(3_500_000))
    found = change(new, "peak_rss_bytes", old)
    assert found.value == 500_000
    assert found.ci95 == (500_000 - 262_144, 500_000 + 262_144)
    elsewhere = replace(new, environment=replace(new.environment, cpu_model="Other"))
    assert change(elsewhere, "peak_rss_bytes", old).value is None
    assert change(with_file(new, memory=None), "peak_rss_bytes", old).value is None
