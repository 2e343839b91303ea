from __future__ import annotations

import msgspec
import pytest
from sample_report import sample_report

from optkit.report import wording
from optkit.report.reference import baseline_of, find
from optkit.schema import Speedup, Verdict

replace = msgspec.structs.replace
VARIANTS = sample_report().variants
BASE = baseline_of(VARIANTS, "tflite")
CHOSEN = find(VARIANTS, "prune+qat+int8", "tflite")


def test_the_cost_has_its_doubt_beside_each_number() -> None:
    assert wording.cost(CHOSEN, BASE) == (
        "3.9× smaller, 2.0× [2.0, 2.1] faster, no measurable change in accuracy (5 lost, 7 gained of 10,000)"
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("better", "measurably more accurate, by +0.02 points (5 lost, 7 gained of 10,000)"),
        ("worse", "measurably less accurate, by +0.02 points"),
        ("no measurable difference", "no measurable change in accuracy"),
    ],
)
def test_a_verdict_on_accuracy_is_never_softened(verdict: Verdict, words: str) -> None:
    versus = replace(CHOSEN.accuracy.versus_baseline, verdict=verdict)
    assert words in wording.cost(replace(CHOSEN, accuracy=replace(CHOSEN.accuracy, versus_baseline=versus)), BASE)


@pytest.mark.parametrize(
    ("speedup", "words"),
    [
        (Speedup(0.5, (0.4, 0.6), "worse"), "0.50× [0.40, 0.60] the speed (slower)"),
        (Speedup(0.0403, (0.0381, 0.0419), "worse"), "0.040× [0.038, 0.042] the speed (slower)"),
        (
            Speedup(1.01, (0.99, 1.03), "no measurable difference"),
            "no measurable difference in speed (1.01× [0.99, 1.03])",
        ),
    ],
)
def test_a_slower_file_is_not_called_faster(speedup: Speedup, words: str) -> None:
    slower = replace(CHOSEN, latency=replace(CHOSEN.latency, speedup=speedup))
    assert words in wording.cost(slower, BASE)
    assert " faster" not in wording.cost(slower, BASE)


@pytest.mark.parametrize(
    ("file_bytes", "words"),
    [(1_730_112, "the same size"), (2_000_000, "1.16× larger"), (1_650_000, "1.05× smaller")],
)
def test_a_file_that_is_not_smaller_is_not_called_smaller(file_bytes: int, words: str) -> None:
    other = replace(CHOSEN, size=replace(CHOSEN.size, file_bytes=file_bytes))
    assert wording.cost(other, BASE).startswith(words)


def test_what_was_not_measured_is_said_not_to_be() -> None:
    bare = replace(CHOSEN, size=None, latency=None, accuracy=None)
    assert wording.cost(bare, BASE) == "size not measured, speed not measured, accuracy not measured"
    assert wording.cost(BASE, BASE).startswith("the reference itself")


def test_figures_have_units_and_no_more_digits_than_they_deserve() -> None:
    shown = [wording.microseconds(value) for value in (None, 3.14159, 75.23, 1303.4, 12_345.0)]
    assert shown == ["–", "3.14 µs", "75.2 µs", "1,303 µs", "12.3 ms"]
    assert [wording.times(value) for value in (None, 0.058, 2.04, 17.81, 120.4)] == [
        "–",
        "0.058×",
        "2.04×",
        "17.8×",
        "120×",
    ]
    assert [wording.mebibytes(value) for value in (None, 3 * 2**20, 24 * 2**30)] == [
        "–",
        "3.0 MiB",
        "24.0 GiB",
    ]
    assert wording.percent(0.9905) == "99.05 %"
    assert wording.percent_interval((0.988, 0.9923)) == "[98.80, 99.23]"
    assert wording.kilobytes(448_768) == "449 kB"
    assert [wording.milliseconds(value) for value in (0.0031, 0.28, 1.932, 240)] == [
        "3.10 µs",
        "0.28 ms",
        "1.93 ms",
        "240 ms",
    ]
    assert [wording.axis_bytes(value) for value in (0, 500, 5_000, 2_500_000)] == ["0 kB", "500 B", "5 kB", "2,500 kB"]
    assert wording.listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


def test_checks_that_failed_are_named() -> None:
    failed = next(variant for variant in VARIANTS if variant.status == "failed")
    assert wording.checks(failed) == "0/1 (failed: not constant)"
    assert wording.checks(CHOSEN) == "2/2"


@pytest.mark.parametrize(
    ("versus_baseline", "versus_control", "words"),
    [
        ("better", None, "there is no control"),
        ("better", "no measurable difference", "the extra training alone explains"),
        ("better", "better", "measurably better than the control"),
        ("worse", "worse", "measurably worse than the control"),
        ("no measurable difference", None, ""),
    ],
)
def test_no_technique_is_credited_with_what_training_did(
    versus_baseline: Verdict, versus_control: Verdict | None, words: str
) -> None:
    comparison = replace(CHOSEN.accuracy.versus_baseline, verdict=versus_baseline)
    control = None if versus_control is None else replace(comparison, verdict=versus_control)
    accuracy = replace(CHOSEN.accuracy, versus_baseline=comparison, versus_control=control)
    text = wording.cost(replace(CHOSEN, accuracy=accuracy), BASE)
    assert words in text
    assert ("control" in text) == bool(words)


def test_what_a_check_saw_is_written_the_same_before_and_after_json() -> None:
    assert [wording.observed(value) for value in (None, "opened", 2, 2.0, 0.9991, 1e-7, 1_730_112)] == [
        "–",
        "opened",
        "2",
        "2",
        "0.9991",
        "1e-07",
        "1,730,112",
    ]
    # Digits that say nothing are left out; a ratio to nothing is infinite.
    assert [wording.observed(value) for value in (0.000120713, 12_345, float("inf"))] == ["0.0001207", "12,345", "inf"]


def test_the_reference_is_fp32_only_where_all_are() -> None:
    assert (wording.reference(VARIANTS), wording.reference_file(VARIANTS)) == ("fp32", "the fp32 file")
    named = replace(BASE, name="mine", is_baseline=True)
    assert (wording.reference([named]), wording.reference_file([named])) == (
        "the reference",
        "the reference, mine.tflite",
    )
    mixed = [named, *(v for v in VARIANTS if v.format == "onnx")]
    assert (wording.reference(mixed), wording.reference_file(mixed)) == ("the reference", "the reference")
    assert wording.reference([]) == "the reference"


def test_bytes_of_nothing_are_no_ratio() -> None:
    assert wording.size_ratio(replace(CHOSEN, size=replace(CHOSEN.size, file_bytes=0)), BASE) is None
