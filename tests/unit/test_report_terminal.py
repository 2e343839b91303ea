from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec
import pytest
from sample_benchmark import NOT_QUIET, SPREAD, sample_benchmark, single_file
from sample_report import failed_variant, sample_report

from optkit.report.terminal import MARK, show
from optkit.schema import Skipped

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.schema import Report

replace = msgspec.structs.replace
REPORT = sample_report()
BENCHMARK = sample_benchmark()


def shown(report: Report = REPORT, *, width: int = 100, folder: Path | None = None) -> str:
    stream = io.StringIO()
    show(report, folder, stream=stream, width=width)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, shown(width=width).splitlines())) <= width


def test_every_file_is_one_line_in_100_columns_with_its_figures() -> None:
    lines = shown().splitlines()
    for variant in REPORT.variants:
        assert any(f" {variant.name} " in f"{line} " for line in lines), variant.name
    row = next(line for line in lines if "  int8 " in line)
    assert row.split() == [
        "int8",
        "99.01",
        "9/7",
        "no",
        "diff",
        "449",
        "3.86×",
        "4.07×",
        "37.4",
        "2.0×",
        "[2.0,",
        "2.1]",
        "faster",
    ]


@pytest.mark.parametrize("width", [40, 48, 60, 70, 80, 90, 100])
def test_narrow_terminals_get_fewer_columns_and_never_a_cut_figure(width: int) -> None:
    doubtful = [
        replace(v, latency=replace(v.latency, doubts=[SPREAD])) if v.latency and v.format == "tflite" else v
        for v in REPORT.variants
    ]
    for report in (REPORT, replace(REPORT, variants=doubtful), BENCHMARK, sample_benchmark(data=True)):
        text = shown(report, width=width)
        lines = text.splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in text
        heads = [line[2:].partition(" ")[0] for line in lines]
        for variant in report.variants:
            # A name may go on in the next line.
            rows = [line for line, head in zip(lines, heads, strict=True) if head in (variant.name, variant.name[:14])]
            assert rows or any(len(head) >= 12 and variant.name.startswith(head) for head in heads), variant.name
        verdicts = [line.split()[-1] for line in lines if line.endswith(("faster", "slower", "diff"))]
        assert len(verdicts) >= sum(bool(v.latency and v.latency.speedup) for v in report.variants)


def test_narrow_terminals_keep_the_verdicts() -> None:
    row = next(line for line in shown(width=80).splitlines() if "  int16x8 " in line)
    assert row.split() == [
        "int16x8",
        "99.04",
        "4/5",
        "no",
        "diff",
        "3.84×",
        "4.05×",
        "1,306",
        "0.058×",
        "slower",
    ]


def test_the_recommended_file_is_marked_without_colour_and_the_rule_stands_under_it() -> None:
    lines = shown().splitlines()
    marked = [line for line in lines if line.startswith(MARK)]
    assert len(marked) == 2
    assert "prune+qat+int8 " in marked[0]
    assert "3.9× smaller, 2.0× [2.0, 2.1] faster, no measurable change in accuracy" in marked[1]
    assert any("this is the smallest" in line for line in lines[lines.index(marked[1]) :])


def test_failures_and_warnings_are_told() -> None:
    text = shown()
    assert "failed: prune+cluster+qat+int8.onnx: answers class 3" in text
    assert "warning: load average 1.9" in text


def test_what_is_not_made_is_told_with_its_reason_once() -> None:
    many = [Skipped(name, "tflite", "no [layer] for it") for name in ("qat+int8", "prune+qat+int8")]
    lines = shown(replace(REPORT, skipped=[*REPORT.skipped, *many]), width=140).splitlines()
    assert [line for line in lines if line.startswith("not made:")] == [
        "not made: int16x8.onnx: ONNX Runtime has no int16 activation kernels",
        "not made: qat+int8.tflite, prune+qat+int8.tflite: no [layer] for it",
    ]
    assert "not made" not in shown(replace(REPORT, skipped=[]))


def test_only_files_that_are_there_are_named_and_a_long_path_is_not_broken(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 150)
    folder.mkdir()
    (folder / "report.md").touch()
    (folder / "artifacts").mkdir()
    named = [line for line in shown(folder=folder).splitlines() if line.startswith("wrote ")]
    assert named == [f"wrote {folder / 'report.md'}", f"wrote {folder / 'artifacts'}"]


def test_no_colour_codes_where_it_is_no_terminal() -> None:
    assert "\x1b" not in shown()


def test_colour_where_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(REPORT, stream=stream, width=100)
    assert "\x1b[" in stream.getvalue()


def test_a_stream_without_unicode_gets_ascii() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(REPORT, stream=stream, width=100)
    stream.seek(0)
    text = stream.read()
    assert "> prune+qat+int8.tflite: 3.9x smaller" in text
    assert "?" not in text


def test_names_are_not_markup() -> None:
    odd = replace(REPORT.variants[0], name="[red]x[/red]")
    assert "[red]x[/red]" in shown(replace(REPORT, variants=[odd]))


def test_no_choice_is_said_to_be_none() -> None:
    assert "No file is recommended" in shown(replace(REPORT, recommendation=None))
    assert MARK not in shown(replace(REPORT, recommendation=None))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("report", [BENCHMARK, sample_benchmark(data=True), single_file()])
def test_a_benchmark_fits_as_well(report: Report, width: int) -> None:
    assert max(map(len, shown(report, width=width).splitlines())) <= width


def test_without_data_the_columns_on_accuracy_give_way_to_more_on_time() -> None:
    text = shown(BENCHMARK)
    assert "acc. %" not in text
    assert "gained" not in text
    row = next(line for line in text.splitlines() if line.startswith("  mobile-int8 "))
    assert row.split() == [
        "mobile-int8",
        "3,737",
        "3.74×",
        "4.17×",
        "23.6",
        "3,015",
        "3,292",
        "11.2",
        "3.12×",
        "[3.07,",
        "3.17]",
        "faster",
    ]
    assert "acc. %" in shown(sample_benchmark(data=True))


def test_without_validation_data_what_was_measured_leads_and_nothing_failed() -> None:
    text = " ".join(shown(BENCHMARK).split())
    assert "mobile-int8.tflite is among the fastest: 3,015 µs a call, 3.12× [3.07, 3.17] faster" in text
    assert "mobile-qdq.onnx is the smallest: 3,690,021 bytes" in text
    assert "Nothing is recommended: that is decided on validation data, and there were none." in text
    assert "No file is recommended" not in text


def test_a_time_in_doubt_has_a_mark_and_its_sentence_below() -> None:
    lines = shown(BENCHMARK).splitlines()
    assert "9,508 ?1 " in next(line for line in lines if line.startswith("  mobile-fp16 "))
    assert "4,482 ?1,2 " in next(line for line in lines if line.startswith("  mobile-qdq "))
    assert "?" not in next(line for line in lines if line.startswith("  mobile-int8 "))
    assert f"?1 {SPREAD}" in lines
    assert f"?2 {NOT_QUIET}" in lines
    assert "?" not in shown()


def test_why_measuring_ended_is_one_line_a_format() -> None:
    lines = shown(BENCHMARK).splitlines()
    assert "tflite: measured in 5 processes until every interval was within ±2 %." in lines
    assert "onnx: time was up after 60 s: the widest interval is ±4.1 % where ±2 % was wanted (7 processes)." in lines


def test_other_batches_and_threads_are_a_table() -> None:
    lines = shown(BENCHMARK).splitlines()
    rows = lines[lines.index("onnx: batches and threads") + 3 :]
    assert rows[0].split() == ["mobile", "1", "1", "6,102", "164", "–", "–"]
    assert rows[5].split() == ["2", "32", "94,112", "340", "2.1×", "[2.0,", "2.1]", "more"]
    assert "keras: batches and threads" not in lines
    assert "batches and threads" not in shown()


def test_the_reference_is_called_by_its_name_where_that_is_not_fp32() -> None:
    text = " ".join(shown(BENCHMARK).split())
    assert "against the reference (mobile.tflite, mobile.onnx, mobile.keras) of the same format" in text
    assert "fp32" not in text
    assert "against fp32 of the same format" in " ".join(shown().split())


def test_a_failed_file_is_marked_in_a_table_without_accuracy_too() -> None:
    failed = replace(failed_variant(), recipe=None, name="broken")
    row = next(
        line
        for line in shown(replace(BENCHMARK, variants=[*BENCHMARK.variants, failed])).splitlines()
        if line.startswith("  broken ")
    )
    assert row.split()[1] == "FAILED"


def test_ascii_has_a_plus_and_a_minus() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(BENCHMARK, stream=stream, width=100)
    stream.seek(0)
    assert "within +/-2 %" in stream.read()
