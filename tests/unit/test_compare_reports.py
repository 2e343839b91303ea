"""Every outcome of a condition, and what the terminal says of it."""

from __future__ import annotations

import io
import json

import pytest
from compare_reports_made import OTHER_SHA, faster, file_of, replace, scored, small_report, with_file

from optkit.report.compare import Outcome, ReportComparison, compare_reports, to_json
from optkit.report.compare_changes import Remeasured
from optkit.report.compare_conditions import parse_conditions
from optkit.report.compare_text import failure_line, show
from optkit.schema import Memory, Report, Skipped

OLD = small_report()


def compared(new: Report, text: str = "", *, old: Report = OLD, strict: bool = False) -> ReportComparison:
    conditions = parse_conditions([text] if text else [])
    return compare_reports(old, new, paths=("old.json", "new.json"), conditions=conditions, strict=strict)


def outcome(new: Report, text: str, *, old: Report = OLD) -> Outcome:
    """Of the int8 TFLite file; every other file must be fine."""
    judgements = [one for one in compared(new, text, old=old).judgements if one.condition == text]
    assert {one.outcome for one in judgements if (one.name, one.format) != ("int8", "tflite")} <= {"fine"}
    return next(one.outcome for one in judgements if (one.name, one.format) == ("int8", "tflite"))


def sized(file_bytes: int) -> Report:
    size = file_of(OLD).size
    assert size is not None
    return with_file(OLD, sha256=OTHER_SHA, size=replace(size, file_bytes=file_bytes))


@pytest.mark.parametrize(
    ("correct", "found"), [(9_901, "fine"), (9_871, "fine"), (9_861, "in doubt"), (9_801, "broken"), (9_950, "fine")]
)
def test_accuracy(correct: int, found: Outcome) -> None:
    assert outcome(scored(OLD, correct), "accuracy<-0.3pt") == found


@pytest.mark.parametrize(
    ("speedup", "found"),
    [
        ((2.02, 1.98, 2.06), "fine"),
        ((1.95, 1.92, 1.98), "fine"),
        ((1.90, 1.85, 1.95), "in doubt"),
        ((1.70, 1.67, 1.73), "broken"),
        ((3.0, 2.9, 3.1), "fine"),
    ],
)
def test_time(speedup: tuple[float, float, float], found: Outcome) -> None:
    assert outcome(faster(OLD, *speedup), "p50>+5%") == found


def test_a_time_within_the_noise_floor_is_in_doubt_and_the_limit_is_said_to_be_too_narrow() -> None:
    def told(low: float) -> tuple[Outcome, str]:
        again = {("int8", "tflite"): Remeasured(replace(speedup, ratio=0.99, ci95=(0.985, low)), (0.98, 1.02))}
        found = compare_reports(OLD, new, conditions=parse_conditions(["p50>0%"]), remeasured=again)
        one = next(j for j in found.judgements if (j.metric, j.name, j.format) == ("p50", "int8", "tflite"))
        return one.outcome, one.note

    new = faster(OLD, 1.0, 1.0, 1.0)
    latency = file_of(new).latency
    assert latency is not None
    assert latency.speedup is not None
    speedup = latency.speedup
    assert told(0.995)[0] == "in doubt"
    assert "wider than the limit" in told(0.995)[1]
    comparison = compared(faster(OLD, 1.6, 1.55, 1.65), "p50>+5%")
    assert {one.note for one in comparison.judgements} == {""}


@pytest.mark.parametrize(
    ("text", "file_bytes", "found"),
    [
        ("file_bytes>0", 448_769, "broken"),
        ("file_bytes>0", 448_768, "fine"),
        ("file_bytes>0", 448_000, "fine"),
        ("file_bytes>1kB", 449_768, "fine"),
        ("file_bytes>1kB", 449_769, "broken"),
        ("file_bytes>+50%", 673_152, "fine"),
        ("file_bytes>+50%", 673_153, "broken"),
        ("file_bytes<0", 448_767, "broken"),
    ],
)
def test_sizes_are_broken_by_one_byte(text: str, file_bytes: int, found: Outcome) -> None:
    assert file_of(OLD).size.file_bytes == 448_768  # type: ignore[union-attr]  # it has one
    assert outcome(sized(file_bytes), text) == found


@pytest.mark.parametrize(("grown", "found"), [(0, "fine"), (90_000, "in doubt"), (400_000, "broken")])
def test_memory(grown: int, found: Outcome) -> None:
    old = with_file(OLD, memory=Memory(1_000_000))
    new = with_file(OLD, sha256=OTHER_SHA, memory=Memory(1_000_000 + grown))
    assert outcome(new, "peak_rss_bytes>+8%", old=old) == found


def test_other_data_and_other_references_cannot_be_judged() -> None:
    assert OLD.data is not None
    elsewhere = replace(scored(OLD, 1), data=replace(OLD.data, sha256="11" * 32))
    judgements = compared(elsewhere, "accuracy<-0.3pt").judgements
    assert {one.outcome for one in judgements if one.metric == "accuracy"} == {"cannot be judged"}
    new = with_file(faster(OLD, 1.0, 1.0, 1.0), "fp32", sha256=OTHER_SHA)
    cannot = [one for one in compared(new, "p50>+5%").judgements if one.outcome == "cannot be judged"]
    assert [(one.name, one.format) for one in cannot] == [("fp32", "tflite"), ("int8", "tflite")]
    zero = with_file(OLD, sha256=OTHER_SHA, memory=Memory(0))
    assert outcome(OLD, "peak_rss_bytes>1%", old=zero) == "cannot be judged"


def test_a_file_that_failed_or_is_gone_breaks_whatever_was_asked() -> None:
    failed = with_file(OLD, status="failed", failures=["answers class 3 to all"])
    found = compared(failed, "file_bytes>0")
    assert [(one.condition, one.reason) for one in found.judgements if one.outcome == "broken"] == [
        ("status", "was ok and has failed: answers class 3 to all")
    ]
    judged = [(one.name, one.format) for one in found.judgements if one.metric == "file_bytes"]
    assert judged == [("fp32", "tflite"), ("fp32", "onnx"), ("int8", "onnx")]
    gone = replace(OLD, variants=OLD.variants[:-1], skipped=[Skipped("int8", "onnx", "not asked for")])
    found = compared(gone, "file_bytes>0")
    assert [one.reason for one in found.judgements if one.outcome == "broken"] == ["was ok and is gone: not asked for"]
    assert found.exit_code == 1
    assert compared(gone).exit_code == 0
    # What had failed before, and what is new, breaks nothing.
    assert compared(failed, "file_bytes>0", old=failed).exit_code == 0
    assert compared(gone, "status", old=failed).exit_code == 1
    assert compared(OLD, "status", old=gone).exit_code == 0


@pytest.mark.parametrize(
    ("new", "text", "plain", "strict"),
    [
        (OLD, "p50>+5%", 0, 0),
        (faster(OLD, 1.9, 1.85, 1.95), "p50>+5%", 0, 1),
        (with_file(OLD, runtime="litert 9"), "p50>+5%", 0, 1),
        (faster(OLD, 1.7, 1.67, 1.73), "p50>+5%", 1, 1),
    ],
)
def test_exit_codes(new: Report, text: str, plain: int, strict: int) -> None:
    for found, wanted in ((compared(new, text), plain), (compared(new, text, strict=True), strict)):
        assert found.exit_code == wanted
        assert bool(failure_line(found)) == bool(wanted)
        assert "\n" not in failure_line(found)


def test_the_failure_line_names_conditions_and_files() -> None:
    line = failure_line(compared(faster(scored(OLD, 9_000), 1.0, 0.99, 1.01), "accuracy<-0.3pt,p50>+5%,macs>0"))
    assert line == "broken beyond doubt: accuracy<-0.3pt (int8.tflite), p50>+5% (int8.tflite)"


def test_differences_around_the_figures_are_listed() -> None:
    environment = replace(
        OLD.environment, cpu_model="Other", cpu_flags=["avx2", "amx"], packages={"onnxruntime": "1.32.0"}
    )
    found = {one.what: (one.old, one.new) for one in compared(replace(OLD, environment=environment)).differences}
    assert found == {
        "processor": ("Synthetic CPU 9000", "Other"),
        "instructions": ("avx512_vnni fma sse2", "amx"),
        "ai-edge-litert": ("2.3.0", "none"),
        "onnxruntime": ("1.31.0", "1.32.0"),
        "tensorflow": ("2.21.0", "none"),
    }
    assert compared(OLD).differences == []


def shown(comparison: ReportComparison, width: int = 100) -> str:
    stream = io.StringIO()
    show(comparison, stream=stream, width=width)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    new = replace(faster(scored(OLD, 9_000), 1.0, 0.99, 1.01), environment=replace(OLD.environment, cpu_model="x" * 90))
    text = shown(compared(new, "accuracy<-0.3pt,p50>+5%"), width)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [40, 48, 60, 70, 80, 90, 100])
def test_narrow_terminals_get_fewer_columns_and_never_a_cut_figure(width: int) -> None:
    text = shown(compared(faster(scored(OLD, 9_000), 1.0, 0.99, 1.01)), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    changes = [line.split() for line in text.splitlines() if line.split()[:1] == ["diff"]]
    assert ["diff", "-9.01", "[-9.64,", "-8.40]"] in [words[:4] for words in changes]
    has_memory = any(line.endswith(" MiB") for line in text.splitlines())
    assert ("MiB: peak memory" in " ".join(text.split())) == has_memory


def test_the_table_has_both_reports_and_the_change() -> None:
    text = shown(compared(faster(scored(OLD, 9_000), 1.0, 0.99, 1.01), "accuracy<-0.3pt"))
    lines = [line.split() for line in text.splitlines()]
    assert ["int8", "old", "99.01", "448,768", "393,001", "37.4", "2.0×", "[2.0,", "2.1]", "3.5"] in lines
    assert ["new", "90.00", "448,768", "393,001", "37.4", "1.00×", "[0.99,", "1.01]", "3.5"] in lines
    assert ["diff", "-9.01", "[-9.64,", "-8.40]", "0", "0", "+102", "%", "[+96,", "+108]", "0.0"] in lines
    assert "same file" in text
    assert "1 of 2 conditions is broken beyond doubt" in text


def test_what_differs_and_what_is_alone_is_shown() -> None:
    fewer = replace(OLD, variants=OLD.variants[1:], environment=replace(OLD.environment, cores=64))
    text = shown(compared(fewer))
    assert "only in old: fp32.tflite" in text
    assert "only in new: fp32.tflite" in shown(compared(OLD, old=fewer))
    assert "cores  2  64" in text
    assert "same environment" not in text


def test_processors_of_which_one_may_saturate_int8_sums_are_told_apart() -> None:
    onnx = replace(OLD, variants=[replace(v, format="onnx") for v in OLD.variants])
    flags = {True: ["sse2", "avx2"], False: ["sse2", "avx2", "avx512_vnni"]}
    without, having = (
        replace(onnx, environment=replace(OLD.environment, cpu_flags=flags[without])) for without in (True, False)
    )
    assert any("--reduce-range" in warning for warning in compared(without, old=having).warnings)
    assert not any("--reduce-range" in warning for warning in compared(having, old=having).warnings)
    tflite = replace(without, variants=[v for v in OLD.variants if v.format == "tflite"])
    assert not any("--reduce-range" in warning for warning in compared(tflite, old=having).warnings)


def test_a_stream_without_unicode_gets_ascii_and_names_are_not_markup() -> None:
    odd = replace(OLD, variants=[replace(v, name="[red]" + v.name) for v in OLD.variants])
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(compared(odd, "file_bytes>0", old=odd), stream=stream, width=100)
    stream.seek(0)
    text = stream.read()
    assert "[red]int8" in text
    assert "p50 us" in text
    assert "?" not in text


def test_the_json_is_stable_and_whole() -> None:
    comparison = compared(faster(OLD, 1.6, 1.55, 1.65), "p50>+5%")
    data = to_json(comparison)
    assert data == to_json(comparison)
    plain = json.loads(data)
    assert plain["compare_version"] == 1
    assert plain["exit_code"] == 1
    assert [pair["name"] for pair in plain["pairs"]] == [v.name for v in OLD.variants]
    assert plain["pairs"][1]["changes"]["p50"]["value"] == pytest.approx(2.02 / 1.6 - 1)
