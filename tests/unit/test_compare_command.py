"""The command on real files: exit codes, what is refused, and files measured again."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare_reports_made import faster, file_of, replace, small_report, with_file
from model_files import network, write_onnx, write_tflite

from optkit import data
from optkit.errors import InputError
from optkit.pipeline import compare as module
from optkit.pipeline.compare import compare
from optkit.report import json_file

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.report.compare import Outcome, ReportComparison
    from optkit.schema import Report

OLD = small_report()
SLOWER = faster(OLD, 1.7, 1.67, 1.73)


def written(folder: Path, name: str, report: Report) -> Path:
    path = folder / name / "report.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json_file.to_json(report))
    return path.parent


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "optkit.cli.main", "compare", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_broken_condition_ends_with_1_and_one_line(tmp_path: Path) -> None:
    old, new = written(tmp_path, "old", OLD), written(tmp_path, "new", SLOWER)
    done = run(old, new / "report.json", "--fail-on", "p50>+5%", "--json", tmp_path / "out.json")
    assert done.returncode == 1
    assert done.stderr == "Error: broken beyond doubt: p50>+5% (int8.tflite)\n"
    assert "1 of 2 conditions is broken beyond doubt" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["exit_code"] == 1


def test_what_is_only_in_doubt_ends_with_0_and_with_strict_with_1(tmp_path: Path) -> None:
    old, new = written(tmp_path, "old", OLD), written(tmp_path, "new", faster(OLD, 1.9, 1.85, 1.95))
    done = run(old, new, "--fail-on", "p50>+5%")
    assert (done.returncode, done.stderr) == (0, "")
    assert "in doubt" in done.stdout
    done = run(old, new, "--fail-on", "p50>+5%", "--strict")
    assert done.returncode == 1
    assert "--strict" in done.stderr


BAD: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "No such file"),
    "no JSON": (b"not JSON", "not JSON"),
    "no text": (b"\xff\xfe\x00{", "not JSON"),
    "cut off": (json_file.to_json(OLD)[:-500], "not JSON"),
    "other JSON": (b"[]", "schema_version"),
    "later version": (json_file.to_json(replace(OLD, schema_version=2)), "later optkit"),
    "no version": (json_file.to_json(replace(OLD, schema_version=0)), "found version 0"),
    "missing key": (b'{"schema_version": 1}', "does not fit"),
    "file named twice": (json_file.to_json(replace(OLD, variants=OLD.variants * 2)), "twice"),
    "speed-up of 0": (json_file.to_json(faster(OLD, 0.0, 0.0, 1.0)), "over 0"),
    "speed-up beyond all bounds": (json_file.to_json(faster(OLD, 2.0, 1.9, 1e300)), "over 0"),
    "more right than there are": (
        json_file.to_json(
            with_file(OLD, accuracy=replace(file_of(OLD).accuracy, correct=10_001))  # type: ignore[type-var]
        ),
        "10001 of 10000",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("label", ["OLD", "NEW"])
def test_what_is_no_report_is_refused(tmp_path: Path, case: str, label: str) -> None:
    content, message = BAD[case]
    good, bad = written(tmp_path, "good", OLD), tmp_path / "bad.json"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(InputError, match=message) as found:
        compare(*((bad, good) if label == "OLD" else (good, bad)))
    assert label in str(found.value)
    assert "\n" not in str(found.value)


def test_bad_input_ends_with_2_and_says_one_line(tmp_path: Path) -> None:
    old = written(tmp_path, "old", OLD)
    for arguments, message in (
        ((old, tmp_path / "none"), "NEW expects a run folder"),
        ((old, old, "--fail-on", "acuracy<0pt"), "did you mean accuracy"),
        ((old, old, "--strict"), "give --fail-on"),
        ((old, old, "--json", tmp_path / "none" / "out.json"), "no such folder"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1


def test_reports_that_share_no_file_cannot_pass_a_gate(tmp_path: Path) -> None:
    empty = written(tmp_path, "empty", replace(OLD, variants=[]))
    new = written(tmp_path, "new", OLD)
    assert compare(empty, new).exit_code == 0
    with pytest.raises(InputError, match="share a file"):
        compare(empty, new, fail_on=["file_bytes>0"])
    assert compare(new, empty, fail_on=["file_bytes>0"]).exit_code == 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure shortly: here it matters what is measured and not how narrow the interval is."""
    monkeypatch.setattr(module, "PROCESSES", 1)
    monkeypatch.setattr(module, "SECONDS_PER_FILE", 0.1)
    monkeypatch.setattr(module, "MOST_SECONDS", 0.0)


def real(folder: Path, name: str, files: dict[tuple[str, str], bytes], **facts: Any) -> Path:
    """A run folder with these files in place of the sample's, named in its report."""
    report = replace(OLD, variants=[v for v in OLD.variants if (v.name, v.format) in files], **facts)
    (folder / name / "artifacts").mkdir(parents=True)
    for (file, file_format), content in files.items():
        path = f"artifacts/{file}.{file_format}"
        (folder / name / path).write_bytes(content)
        report = with_file(report, file, file_format, path=path, sha256=hashlib.sha256(content).hexdigest())
    return written(folder, name, report)


def models(folder: Path) -> dict[str, bytes]:
    made = [write_tflite(folder, network(), precision) for precision in ("fp32", "int8")]
    made += [write_onnx(folder, network(), precision) for precision in ("fp32", "fp16")]
    return {path.name: path.read_bytes() for path in made}


def outcomes(comparison: ReportComparison, metric: str) -> dict[str, Outcome]:
    return {f"{one.name}.{one.format}": one.outcome for one in comparison.judgements if one.metric == metric}


@pytest.mark.usefixtures("quick")
def test_files_are_measured_again_and_answer_again(tmp_path: Path) -> None:
    made = models(tmp_path)
    assert OLD.data is not None
    facts = {"data": replace(OLD.data, sha256=data.load("mnist").sha256)}
    first = {("fp32", "tflite"): made["fp32.tflite"], ("int8", "tflite"): made["fp32.tflite"]}
    old = real(tmp_path, "old", {**first, ("fp32", "onnx"): made["fp32.onnx"]}, **facts)
    second = {("fp32", "tflite"): made["fp32.tflite"], ("int8", "tflite"): made["int8.tflite"]}
    # Elsewhere, so that the reports alone could not be compared.
    elsewhere = replace(OLD.environment, cpu_model="Other")
    new = real(tmp_path, "new", {**second, ("fp32", "onnx"): made["fp16.onnx"]}, **facts, environment=elsewhere)
    asked: list[str] = []
    fail_on = ["p50>+900%,accuracy<-50pt"]
    found = compare(old, new, fail_on=fail_on, remeasure=True, on_pair=asked.append)
    assert asked == ["int8.tflite", "fp32.onnx"]
    assert found.measured_in is not None
    pairs = {f"{pair.name}.{pair.format}": pair for pair in found.pairs}
    again = pairs["int8.tflite"].remeasured
    assert again is not None
    assert again.speedup is not None
    assert again.noise is not None
    assert (again.inputs, again.total) == ("mnist test images", 10_000)
    assert again.old_p50_us is not None
    assert again.old_p50_us > 0
    # The two files were really run: int8 answers some images otherwise, but not many.
    assert again.answers is not None
    assert 0 < again.answers.lost + again.answers.gained < 500
    assert pairs["int8.tflite"].changes["accuracy"].how.startswith("answered again")
    assert pairs["fp32.tflite"].changes["p50"].value == 0
    assert set(outcomes(found, "p50").values()) == {"fine"}
    assert outcomes(compare(old, new, fail_on=fail_on), "p50")["int8.tflite"] == "cannot be judged"


@pytest.mark.usefixtures("quick")
def test_without_data_inputs_are_generated_and_what_is_slower_breaks(tmp_path: Path) -> None:
    made = models(tmp_path)
    slow = with_more_work(tmp_path)
    old = real(tmp_path, "old", {("fp32", "onnx"): made["fp32.onnx"]}, data=None)
    new = real(tmp_path, "new", {("fp32", "onnx"): slow}, data=None)
    found = compare(old, new, fail_on=["p50>+5%"], remeasure=True)
    again = found.pairs[0].remeasured
    assert again is not None
    assert again.inputs == "generated inputs"
    assert again.answers is None
    assert outcomes(found, "p50") == {"fp32.onnx": "broken"}
    assert outcomes(compare(new, old, fail_on=["p50>+5%"], remeasure=True), "p50") == {"fp32.onnx": "fine"}


def with_more_work(folder: Path) -> bytes:
    """The network with a product of large matrices added, some hundred times its work."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(write_onnx(folder, network(), "fp32"))
    for node in model.graph.node:
        node.output[:] = ["first" if name == "digit" else name for name in node.output]
    large = np.zeros((10, 200_000), np.float32)
    model.graph.initializer.extend(
        [numpy_helper.from_array(large, "wide"), numpy_helper.from_array(large.T.copy(), "narrow")]
    )
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["first", "wide"], ["many"]),
            helper.make_node("MatMul", ["many", "narrow"], ["few"]),
            helper.make_node("Add", ["few", "first"], ["digit"]),
        ]
    )
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.usefixtures("quick")
def test_files_that_are_not_those_of_the_report_cannot_be_judged(tmp_path: Path) -> None:
    made = models(tmp_path)
    files = {("fp32", "tflite"): made["fp32.tflite"], ("int8", "tflite"): made["int8.tflite"]}
    old = real(tmp_path, "old", files)
    new = real(tmp_path, "new", {("fp32", "tflite"): made["int8.tflite"], ("int8", "tflite"): made["fp32.tflite"]})
    (old / "artifacts" / "fp32.tflite").unlink()
    (new / "artifacts" / "int8.tflite").write_bytes(b"changed")
    found = compare(old, new, fail_on=["p50>+900%"], remeasure=True)
    assert outcomes(found, "p50") == {"fp32.tflite": "cannot be judged", "int8.tflite": "cannot be judged"}
    reasons = {one.name: one.reason for one in found.judgements if one.metric == "p50"}
    assert "No such file" in reasons["fp32"]
    assert "has changed since its report" in reasons["int8"]


@pytest.mark.usefixtures("quick")
def test_a_file_that_cannot_run_cannot_be_judged(tmp_path: Path) -> None:
    made = models(tmp_path)
    old = real(tmp_path, "old", {("fp32", "tflite"): made["fp32.tflite"]}, data=None)
    new = real(tmp_path, "new", {("fp32", "tflite"): made["fp32.tflite"][:200]}, data=None)
    found = compare(old, new, fail_on=["p50>+900%"], remeasure=True)
    assert outcomes(found, "p50") == {"fp32.tflite": "cannot be judged"}
    assert "fp32.tflite" in found.pairs[0].changes["p50"].how
