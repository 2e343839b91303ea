from __future__ import annotations

import msgspec
from sample_benchmark import NOT_QUIET, sample_benchmark, single_file
from sample_report import sample_report

from optkit.report.headline import NO_VALIDATION, facts, headings, reason
from optkit.schema import Report, Speedup, Variant

replace = msgspec.structs.replace
REPORT = sample_benchmark()


def only_tflite(*variants: Variant) -> Report:
    return replace(REPORT, variants=list(variants) or [v for v in REPORT.variants if v.format == "tflite"])


def with_speed(variant: Variant, speedup: Speedup | None, **changes: object) -> Variant:
    return replace(variant, latency=replace(variant.latency, speedup=speedup, **changes))


def test_the_fastest_and_the_smallest_lead_with_their_doubt() -> None:
    fastest, smallest = facts(only_tflite())
    assert (fastest.title, fastest.file) == ("Among the fastest", "mobile-int8.tflite")
    assert fastest.words == (
        "3.12× [3.07, 3.17] faster than the reference; too close to tell apart from it: mobile-int8-channels.tflite"
    )
    assert smallest.sentence == "mobile-int8.tflite is the smallest: 3,737,312 bytes, 3.7× smaller than the reference"
    assert reason(REPORT) == NO_VALIDATION


def test_a_clear_winner_is_called_the_fastest() -> None:
    base, _, fast, other = only_tflite().variants
    slower = with_speed(other, Speedup(2.0, (1.9, 2.1), "better"))
    fastest = facts(only_tflite(base, fast, slower))[0]
    assert (fastest.title, fastest.words) == ("Fastest", "3.12× [3.07, 3.17] faster than the reference")
    doubtful = with_speed(fast, fast.latency.speedup, doubts=[NOT_QUIET])
    assert "its times are in doubt" in facts(only_tflite(base, doubtful, slower))[0].sentence


def test_no_file_is_called_faster_on_a_difference_that_cannot_be_measured() -> None:
    base, half, *_ = only_tflite().variants
    low = with_speed(half, Speedup(1.01, (0.99, 1.03), "no measurable difference"), p50_us=base.latency.p50_us - 1)
    fastest = facts(only_tflite(base, low))[0]
    assert fastest.title == "Lowest p50"
    assert fastest.sentence == "no file is measurably faster than mobile.tflite"
    slower = with_speed(low, replace(low.latency.speedup, verdict="worse"), p50_us=base.latency.p50_us - 1)
    assert "measurably slower" in facts(only_tflite(base, slower))[0].words


def test_the_reference_is_not_called_the_fastest_of_equals() -> None:
    base, half, *_ = only_tflite().variants
    fastest = facts(only_tflite(base, half))[0]
    assert (fastest.title, fastest.file) == ("Among the fastest", "mobile.tflite")
    slower = with_speed(half, Speedup(0.5, (0.4, 0.6), "worse"))
    assert facts(only_tflite(base, slower))[0].title == "Fastest"


def test_a_single_file_is_compared_with_nothing() -> None:
    assert [(fact.title, fact.words) for fact in facts(single_file())] == [("Time", ""), ("Size", "")]
    assert headings(facts(single_file())) == [("", "mobile-int8.tflite", ": ", "3,015 µs a call")]


def test_headings_are_one_line_a_format() -> None:
    assert headings(facts(REPORT)) == [
        ("", "mobile-int8.tflite", " is among the fastest and the smallest"),
        ("", "mobile-qdq.onnx", " is the fastest and the smallest"),
        ("", "mobile.keras", ": ", "41.4 ms a call"),
    ]
    base, _, fast, _ = only_tflite().variants
    heavy = replace(fast, size=replace(fast.size, file_bytes=10**9))
    assert headings(facts(only_tflite(base, heavy))) == [
        ("", "mobile-int8.tflite", " is the fastest, ", "mobile.tflite", " the smallest")
    ]


def test_with_test_data_the_cost_in_accuracy_stands_beside_the_claim() -> None:
    smallest = next(fact for fact in facts(sample_benchmark(data=True)) if fact.file == "mobile-qdq.onnx")
    assert "measurably less accurate, by -1.50 points (36 lost, 6 gained of 2,000)" in smallest.sentence


def test_with_validation_data_no_choice_is_a_failure_and_not_a_result() -> None:
    report = replace(sample_report(), recommendation=None)
    assert facts(report) == []
    assert reason(report).startswith("No file is recommended: none passed all checks")
    assert "the fp32 file" in reason(report)


def test_failed_files_win_nothing() -> None:
    base, _, fast, _ = only_tflite().variants
    assert "mobile-int8.tflite" not in {fact.file for fact in facts(only_tflite(base, replace(fast, status="failed")))}
