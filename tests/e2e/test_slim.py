"""``optkit slim`` and ``optkit compress --slim`` on files of a real run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

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


def test_a_file_of_a_run_with_its_own_data(small_run: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = small_run
    path, out = folder / "artifacts" / "prune+cluster+qat+int8.tflite", tmp_path / "slim.tflite"
    before = path.read_bytes()
    told = tmp_path / "told.json"
    result = optkit(
        *("slim", str(path), "--out", str(out), "--data", "mnist", "--scale", "1/255", "--merge-scales"),
        *("--json", str(told)),
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert path.read_bytes() == before
    record = json.loads(told.read_text())
    assert record["identity"]["inputs"] == 1000
    assert record["identity"]["difference"] is None
    assert record["merge"]["examples"] == 5000
    assert record["merge"]["versus"]["verdict"] in {"no measurable difference", "better"}
    assert record["file_bytes_after"] == out.stat().st_size
    saved = sum(record["saved_bytes"].values()) + record["merge"]["bytes"] * record["merge"]["merged"]
    assert len(before) - out.stat().st_size == saved > 1000
    assert f"{len(before):,} → {out.stat().st_size:,} bytes" in result.stdout
