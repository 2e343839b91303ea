"""The benchmark of the lessons' experiments on a few hundred images: trained, judged, written, and taken up again."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import lessons
from benchmarks._lessons_experiments import Arm, Experiment
from benchmarks._lessons_rules import best

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL: dict[str, Any] = {"baseline": "mlp-128", "train_samples": 300, "epochs": 2}
EXPERIMENTS = (
    Experiment(
        "rate",
        "Rate",
        "a rate that moves nothing does worse",
        (Arm("0.001", SMALL), Arm("tiny", {**SMALL, "learning_rate": 1e-9}), Arm("first epoch", SMALL, at=1)),
        "300 images",
        best("0.001", "tiny"),
        test_images=200,
        curve="validation_accuracy",
        seeds=3,
    ),
    Experiment("never", "Never", "is not run", (Arm("one", SMALL), Arm("two", SMALL)), "", best("one", "two")),
)


def test_one_experiment_is_trained_judged_written_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, cache = tmp_path / "results", tmp_path / "cache"
    given: dict[str, Any] = {"only": ["rate"], "experiments": EXPERIMENTS, "cache": cache}
    assert lessons.run(results, [], **given) == []
    assert "[6/6] 100%" in capsys.readouterr().out
    written = json.loads((results / "lessons.json").read_text())
    [outcome] = written["experiments"]
    assert outcome["name"] == "rate"
    assert outcome["verdict"] == "held"
    assert [len(setting["values"]) for setting in outcome["settings"]] == [3, 3, 3]
    assert [setting["epoch"] for setting in outcome["settings"]] == [2, 2, 1]
    # Of the same training, one epoch earlier.
    assert outcome["settings"][0]["values"] != outcome["settings"][2]["values"]
    assert len(set(outcome["settings"][0]["values"])) > 1
    assert written["environment"]["cpu_model"]
    page = (results / "lessons.md").read_text()
    assert "a rate that moves nothing does worse | ✓ held | 0.001 less tiny: +" in page
    assert "(lessons/rate.svg)" in page
    ET.parse(results / "lessons" / "rate.svg")  # noqa: S314  # written right here

    # As if killed before the last one was finished, and in the middle of writing another.
    finished = sorted(cache.glob("*.json"))
    assert len(finished) == 6
    finished[0].unlink()
    finished[1].write_bytes(finished[1].read_bytes()[:100])
    stamps = {path: path.stat().st_mtime_ns for path in finished[2:]}
    assert lessons.run(results, [], **given) == []
    assert "6 trainings, 4 of them kept" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in finished[2:]} == stamps
    again = json.loads((results / "lessons.json").read_text())["experiments"][0]
    assert again["settings"] == outcome["settings"]


def test_an_unknown_experiment_stops_before_any_work() -> None:
    command = [sys.executable, "-m", "benchmarks", "lessons", "--only", "structur"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "unknown experiment 'structur'" in ended.stderr
    assert "structure" in ended.stderr
    assert "Traceback" not in ended.stderr
