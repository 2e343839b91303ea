"""``optkit compress`` with limits: the best file within them, else the nearest; also when it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest
from conftest import OPTKIT, SMALL, Result, optkit, report_of

from optkit.report.json_file import json_schema
from optkit.search.budget import LEAST_BYTES

if TYPE_CHECKING:
    from pathlib import Path

SEARCH = ("compress", *SMALL, "--formats", "tflite")


def tried(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file of the search by name."""
    return {one["name"]: one for one in report_of(folder)["search"]["trials"]}


def started(folder: Path) -> list[str]:
    """Stages that the log says were started, in order."""
    lines = (folder / "log.txt").read_text(errors="replace").splitlines()
    return [line.partition(" INFO ")[2].removesuffix(": started") for line in lines if line.endswith(": started")]


def parts_answered(folder: Path) -> list[tuple[str, ...]]:
    """The parts of the data that each checked file has answered."""
    found = []
    for path in (folder / "cache").glob("*.answers.npz"):
        with np.load(path) as archive:
            found.append(tuple(sorted(archive.files)))
    return sorted(found)


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A search that finds a file: the whole network is small enough as int8."""
    folder = tmp_path_factory.mktemp("met") / "run"
    return folder, optkit(*SEARCH, "--max-size", "120KB", "--out", str(folder))


def test_a_file_within_the_limit_is_delivered(met: tuple[Path, Result]) -> None:
    folder, result = met
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert result.stdout.startswith("5,000 validation examples can show a drop of 0.12 points or more")
    report = report_of(folder)
    jsonschema.validate(report, json_schema())
    search = report["search"]
    assert search["met"]
    assert report["recommendation"]["variant"] == search["delivered"]
    files = tried(folder)
    assert {"fp32", "fp16", "dynamic", "int8", "int16x8", "qat+int8"} <= set(files)
    within = [one for one in files.values() if one["state"] == "within"]
    assert all(one["file_bytes"] <= 120_000 for one in within)
    assert all(one["file_bytes"] > 120_000 for one in files.values() if one["state"] == "beyond")
    # Without a limit of the drop, the most accurate one within.
    assert files[search["delivered"]]["correct"] == max(one["correct"] for one in within)
    # Less of the network is no more accurate.
    assert not any("shrink" in name for name in files)
    for page in ("report.md", "report.html"):
        content = (folder / page).read_text()
        assert "The search" in content
        assert "fp16.tflite" in content


def test_the_test_set_is_read_for_the_delivered_file_and_its_reference_alone(met: tuple[Path, Result]) -> None:
    folder, _ = met
    report = report_of(folder)
    names = {one["name"] for one in report["variants"]}
    assert names == {"fp32", report["search"]["delivered"]}
    answered = parts_answered(folder)
    assert answered.count(("test", "validation")) == len(names)
    assert answered.count(("validation",)) == len(tried(folder))
    assert len(answered) == len(names) + len(tried(folder))


def test_the_same_command_again_redoes_nothing(met: tuple[Path, Result]) -> None:
    folder, _ = met
    before, stages = report_of(folder), started(folder)
    assert optkit(*SEARCH, "--max-size", "120KB", "--out", str(folder)).returncode == 0
    assert started(folder) == stages
    after = report_of(folder)
    assert after["search"] == before["search"]
    assert after["created"] == before["created"]


def test_the_nearest_is_delivered_where_none_is_within_all_limits(missed_search: tuple[Path, Result]) -> None:
    folder, result = missed_search
    assert result.returncode == 3, result.stdout + result.stderr
    search = report_of(folder)["search"]
    assert not search["met"]
    files = tried(folder)
    # It goes on where one goal cannot be reached.
    assert files["shrink-0.0001+int8"]["state"] == "not made"
    assert "the least that can be left" in files["shrink-0.0001+int8"]["reason"]
    excess = {
        name: np.prod([max(1.0, one["factor"]) for one in file["standings"]])
        for name, file in files.items()
        if file["state"] == "beyond"
    }
    assert set(excess) == {"fp32", "int8", "shrink-0.1+int8"}
    delivered = files[search["delivered"]]
    assert excess[search["delivered"]] == min(excess.values())
    assert {one["name"]: one["met"] for one in delivered["standings"]}["latency"]
    assert delivered["p50_us"] > 0
    over = delivered["file_bytes"] - 2_000
    message = result.stderr.strip()
    assert message.count("\n") == 0
    assert f"delivered the nearest, {search['delivered']}.tflite" in message
    assert f"size: {delivered['file_bytes']:,} bytes, {over:,} bytes over the limit of 2KB" in message
    assert (folder / "artifacts" / f"{search['delivered']}.tflite").stat().st_size == delivered["file_bytes"]
    assert "on this machine (" in result.stdout


def test_something_is_delivered_when_the_time_is_up_at_once(tmp_path: Path) -> None:
    limits = ("--max-drop", "2pt", "--max-size", "20KB", "--time", "1s")
    result = optkit(*SEARCH, *limits, "--out", str(tmp_path / "run"))
    assert result.returncode == 3, result.stdout + result.stderr
    search = report_of(tmp_path / "run")["search"]
    assert set(tried(tmp_path / "run")) == {"fp32", "int8"}
    assert search["delivered"] == "int8"
    assert search["stopped"] == "the time of 1 s is up"
    assert "over the limit of 20KB" in result.stderr


def wait_for(process: subprocess.Popen[str], folder: Path, text: str) -> None:
    """Wait until a run's log has a line."""
    for _ in range(3_000):
        log = folder / "log.txt"
        if log.is_file() and text in log.read_text(errors="replace"):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"{text!r} did not come")


def test_a_killed_search_goes_on_and_is_not_empty_handed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [*OPTKIT, *SEARCH, "--max-drop", "2pt", "--max-size", "20KB", "--out", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(process, folder, "round int8 training")
        process.kill()
    # What there is to deliver is written down, and is there.
    so_far = json.loads((folder / "search.json").read_text())
    assert (folder / "artifacts" / f"{so_far['delivered']}.tflite").is_file()
    known = {one["name"] for one in so_far["trials"]}
    assert {"fp32", "int8", "fp16"} <= known

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(process, folder, "round amounts")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130
    assert f"The nearest so far is {folder}/artifacts/" in told
    assert "the same command continues" in told

    spent = json.loads((folder / "search.json").read_text())["seconds"]
    result = optkit(*command[len(OPTKIT) :], "--time", f"{spent + 3:.1f}s")
    assert result.returncode in {0, 3}, result.stdout + result.stderr
    assert report_of(folder)["search"]["stopped"].endswith("is up")
    assert known | {"qat+int8"} <= set(tried(folder))
    # Nothing that was finished was begun again, but for what the delivered files are asked on the test part.
    stages = started(folder)
    for stage in ("train baseline", "export fp32.tflite", "export int8.tflite", "check fp16.tflite"):
        assert stages.count(stage) == 1, stage
    assert stages.count("check fp32.tflite") == 2


REFUSED = {
    "a drop that the data cannot show": (["--max-drop", "0.1pt"], "5,000 validation examples can show a drop of 0.12"),
    "percent of accuracy": (["--max-drop", "0.5%"], "percent of what?"),
    "no bytes": (["--max-size", "0B"], "over 0"),
    "less than the smallest file": (["--max-size", "100B", "--formats", "tflite"], "no tflite file is smaller"),
    "threads": (["--max-latency", "1ms", "--threads", "2"], "one thread"),
    "a time alone": (["--time", "5m"], "give --max-drop"),
    "the smallest, right or wrong": (["--max-size", "9KB", "--prefer", "size"], "give --max-drop"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_budget_that_cannot_be_is_refused_before_any_work(tmp_path: Path, case: str) -> None:
    arguments, message = REFUSED[case]
    result = optkit("compress", *SMALL, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


LEAST = """
import sys, keras, numpy as np
model = keras.Sequential([keras.Input((1,), name="x"), keras.layers.Dense(1, use_bias=False, name="y")])
model.set_weights([np.ones((1, 1), np.float32)])
model.save(sys.argv[1])
"""


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the smallest model there is, which predicts values, and its data."""
    folder = tmp_path_factory.mktemp("values")
    subprocess.run([sys.executable, "-c", LEAST, str(folder / "least.keras")], check=True, capture_output=True)
    generator = np.random.default_rng(0)
    examples = generator.normal(size=(1_000, 1)).astype(np.float32)
    labels = examples[:, 0] + generator.normal(0, 0.1, 1_000).astype(np.float32)
    np.savez(folder / "least.npz", images=examples, labels=labels)
    return folder


def test_no_file_is_smaller_than_what_is_refused(values: Path) -> None:
    limits = ("--max-drop", "20%", "--max-size", "1KB")
    result = optkit("compress", "least.keras", "--data", "least.npz", *limits, "--out", "run", cwd=values)
    assert result.returncode == 0, result.stdout + result.stderr
    search = report_of(values / "run")["search"]
    assert search["smallest_drop"] is None
    for suffix, least in LEAST_BYTES.items():
        sizes = [one["file_bytes"] for one in search["trials"] if one["format"] == suffix and one["file_bytes"]]
        assert least <= min(sizes) <= 1.25 * least
    by_file = {(one["name"], one["format"]): one for one in search["trials"]}
    exact, rounded = by_file["fp16", "tflite"], by_file["int8", "tflite"]
    # A weight of 1 is exact; rounding inputs to 256 steps is not.
    assert exact["drop_ci95"][1] < rounded["drop_ci95"][1]
    assert rounded["drop"] > 0
    assert "rise of MAE, % [95 %]" in result.stdout


def test_points_of_accuracy_are_refused_for_values(values: Path) -> None:
    result = optkit("compress", "least.keras", "--data", "least.npz", "--max-drop", "0.5pt", "--out", "no", cwd=values)
    assert result.returncode == 2
    assert "have no accuracy" in result.stderr
    assert not (values / "no").exists()
