"""``optkit compress --quick`` end to end: eight files, each proved and measured, one recommended."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import jsonschema
import msgspec
import pytest
from conftest import Result, artifact_hashes, report_of
from conftest import optkit as run

import optkit

FILES = {f"{name}.{suffix}" for name in ("fp32", "int8", "prune+int8", "qat+int8") for suffix in ("tflite", "onnx")}
PRECISION_LIMIT_PT = 0.3


def test_it_ends_well_and_says_little(quick_run: tuple[Path, Result]) -> None:
    folder, result = quick_run
    assert result.returncode == 0, result.stderr
    # Not a terminal: no progress, and none of TensorFlow's start-up noise.
    assert result.stderr == ""
    assert "tensorflow" not in result.stdout.lower()
    assert "recommended" in result.stdout
    assert "cuda" in (folder / "log.txt").read_text(errors="replace").lower()


def test_the_run_folder_is_complete(quick_run: tuple[Path, Result]) -> None:
    folder, _ = quick_run
    assert {path.name for path in (folder / "artifacts").iterdir()} == FILES
    for name in ("report.json", "report.md", "report.html", "recipe.toml", "manifest.json", "log.txt"):
        assert (folder / name).stat().st_size > 0
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert not list(folder.rglob(".optkit-tmp-*"))


def test_report_json_fits_the_shipped_schema(quick_run: tuple[Path, Result]) -> None:
    folder, _ = quick_run
    report = report_of(folder)
    schema = json.loads((Path(optkit.__file__).parent / "report" / "report.schema.json").read_text())
    jsonschema.validate(report, schema)
    del report["recommendation"]["rule"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, schema)


def test_every_file_is_proved_and_measured(quick_run: tuple[Path, Result]) -> None:
    folder, _ = quick_run
    report = report_of(folder)
    assert {f"{v['name']}.{v['format']}" for v in report["variants"]} == FILES
    for variant in report["variants"]:
        assert variant["status"] == "ok", variant["failures"]
        assert len(variant["checks"]) > 5
        assert all(check["passed"] for check in variant["checks"])
        assert variant["accuracy"]["total"] == 10_000
        assert variant["accuracy_validation"]["total"] == 5_000
        assert variant["latency"]["p50_us"] > 0
        assert variant["memory"]["peak_rss_bytes"] > 0
        assert variant["compute"]["macs"] == 2_293_000
        assert (variant["latency"]["speedup"] is None) == (variant["name"] == "fp32")


def test_int8_is_small_and_as_accurate(quick_run: tuple[Path, Result]) -> None:
    folder, _ = quick_run
    by_file = {(v["name"], v["format"]): v for v in report_of(folder)["variants"]}
    for suffix in ("tflite", "onnx"):
        whole, small = by_file["fp32", suffix], by_file["int8", suffix]
        assert whole["accuracy"]["top1"] > 0.95
        assert abs(whole["accuracy"]["top1"] - small["accuracy"]["top1"]) * 100 <= PRECISION_LIMIT_PT
        assert small["size"]["file_bytes"] <= 0.27 * whole["size"]["file_bytes"]
        pruned = by_file["prune+int8", suffix]
        assert pruned["size"]["gzip_bytes"] * 14 <= whole["size"]["gzip_bytes"]


def test_the_same_command_again_redoes_nothing(quick_run: tuple[Path, Result]) -> None:
    folder, _ = quick_run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".txt"}
    lines = (folder / "log.txt").read_text(errors="replace").count("started")
    result = run("compress", "--quick", "--out", str(folder))
    assert result.returncode == 0
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".txt"}
    changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {".lock"}
    assert (folder / "log.txt").read_text(errors="replace").count("started") == lines


def test_a_damaged_file_is_noticed_and_made_again(quick_run: tuple[Path, Result], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(quick_run[0], folder)
    before = artifact_hashes(folder)
    damaged = folder / "artifacts" / "int8.tflite"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    assert run("compress", "--quick", "--out", str(folder)).returncode == 0
    assert hashlib.sha256(damaged.read_bytes()).hexdigest() == before["artifacts/int8.tflite"]
    assert artifact_hashes(folder) == before
    # New bytes are proved anew.
    assert (folder / "log.txt").read_text(errors="replace").count("check int8.tflite: started") == 2


def test_one_call_from_python_returns_the_report(quick_run: tuple[Path, Result]) -> None:
    folder, _ = quick_run
    report = optkit.compress(quick=True, out=folder, command="optkit compress --quick --out " + str(folder))
    assert report.recommendation is not None
    assert len(report.variants) == 8
    assert json.loads(msgspec.json.encode(report)) == report_of(folder)
