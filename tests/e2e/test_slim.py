"""``optkit slim`` and ``optkit compress --slim`` on files of a real run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SMALL, Result, optkit, report_of

from optkit import readback

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def slim_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished run whose files were slimmed, with a layer left in float, which is found by its name."""
    folder = tmp_path_factory.mktemp("slim") / "run"
    recipes = ("--recipe", "int8", "--skip-layer", "probabilities")
    return folder, optkit("compress", *SMALL, *recipes, "--slim", "--out", str(folder))


def test_slim_files_are_verified_and_measured_as_any_others(
    slim_run: tuple[Path, Result], small_run: tuple[Path, Result]
) -> None:
    folder, result = slim_run
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(folder)
    assert {f"{v['name']}.{v['format']}" for v in report["variants"]} == {
        f"{name}.{suffix}" for name in ("fp32", "int8") for suffix in ("tflite", "onnx")
    }
    for variant in report["variants"]:
        assert variant["status"] == "ok", variant["failures"]
        assert all(check["passed"] for check in variant["checks"])
        assert {"names kept"} <= {check["name"] for check in variant["checks"]}
        (note,) = (one["reason"] for one in variant["layers"] if "slimmed" in one["reason"])
        assert "the same bit for bit" in note
        assert variant["latency"]["p50_us"] > 0
    for suffix, least in (("tflite", 800), ("onnx", 30)):
        # The same network, seed and training, as another run exports it. Names are kept, for the layer in float.
        slim, other = (path / "artifacts" / f"fp32.{suffix}" for path in (folder, small_run[0]))
        assert slim.stat().st_size < other.stat().st_size - least
        weights = [
            [c.values.tobytes() for c in readback.read(one).constants if c.role == "weight"] for one in (slim, other)
        ]
        assert weights[0] == weights[1]


def slimmed(path: Path, out: Path, *more: str) -> tuple[dict[str, Any], str]:
    """What the command told about a file, with the validation images of MNIST, as JSON and on the screen."""
    before, told = path.read_bytes(), out.with_suffix(".json")
    fed = ("--data", "mnist", "--scale", "1/255", "--json", str(told))
    result = optkit("slim", str(path), "--out", str(out), *fed, *more)
    assert (result.returncode, result.stderr) == (0, "")
    assert path.read_bytes() == before
    record: dict[str, Any] = json.loads(told.read_text())
    assert (record["identity"]["inputs"], record["identity"]["difference"]) == (1000, None)
    assert record["file_bytes_after"] == out.stat().st_size
    assert f"{len(before):,} → {out.stat().st_size:,} bytes" in result.stdout
    return record, result.stdout


def test_a_file_of_a_run_with_its_own_data(small_run: tuple[Path, Result], tmp_path: Path) -> None:
    path = small_run[0] / "artifacts" / "prune+cluster+qat+int8.tflite"
    record, _ = slimmed(path, tmp_path / "slim.tflite")
    assert path.stat().st_size - record["file_bytes_after"] == sum(record["saved_bytes"].values()) > 1000


def test_scales_of_a_real_file_are_merged(slim_run: tuple[Path, Result], tmp_path: Path) -> None:
    path = slim_run[0] / "artifacts" / "int8.tflite"
    record, screen = slimmed(path, tmp_path / "slim.tflite", "--merge-scales")
    merge = record["merge"]
    assert merge["merged"]
    assert (merge["examples"], merge["versus"]["verdict"]) == (5000, "no measurable difference")
    assert merge["bytes"] > 500
    saved = sum(record["saved_bytes"].values()) + merge["bytes"]
    assert path.stat().st_size - record["file_bytes_after"] == saved
    assert f"{merge['versus']['lost']} lost, {merge['versus']['gained']} gained" in " ".join(screen.split())
