"""Same seed, same bytes; a run that is killed at any moment continues and ends with the same artifacts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import OPTKIT, SMALL, SMALL_RECIPES, Result, artifact_hashes, optkit, report_of

# A line of the log after which the run is killed.
MOMENTS = (
    "train baseline: started",
    "train prune: returned",
    "export fp32.onnx: returned",
    "measure latency of onnx",
)


def _start_and_stop(folder: Path, moment: str, signal_number: int) -> int:
    """Start a run, send the signal as soon as the log has the line, and give the exit code."""
    command = [*OPTKIT, "compress", *SMALL, *SMALL_RECIPES, "--out", str(folder)]
    log = folder / "log.txt"
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # A shell that starts the tests in the background has them ignore SIGINT, and their children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads here
    ) as process:
        while not (log.exists() and moment in log.read_text(errors="replace")):
            assert process.poll() is None, f"ended before {moment!r}"
            time.sleep(0.01)
        process.send_signal(signal_number)
        return process.wait(timeout=60)


def test_the_small_run_has_what_was_asked_for(small_run: tuple[Path, Result]) -> None:
    folder, result = small_run
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(folder)
    assert {v["name"] for v in report["variants"]} == {"fp32", "prune+cluster+qat+int8"}
    stages = [training["stage"] for training in report["training"]]
    assert stages == ["baseline", "prune", "prune+cluster", "prune+cluster+qat"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    small_run: tuple[Path, Result], tmp_path: Path
) -> None:
    folder, _ = small_run
    again, other = tmp_path / "again", tmp_path / "other"
    # From the recipe file that the first run left, and with another hash seed.
    result = optkit(
        "compress",
        "--recipe",
        str(folder / "recipe.toml"),
        "--out",
        str(again),
        environment={"PYTHONHASHSEED": "7"},
    )
    assert result.returncode == 0, result.stderr
    assert artifact_hashes(again) == artifact_hashes(folder)
    result = optkit("compress", *SMALL, "--recipe", "fp32", "--formats", "tflite", "--seed", "1", "--out", str(other))
    assert result.returncode == 0, result.stderr
    name = "artifacts/fp32.tflite"
    assert artifact_hashes(other)[name] != artifact_hashes(folder)[name]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_continues_and_ends_with_the_same_artifacts(
    small_run: tuple[Path, Result], tmp_path: Path, moment: str
) -> None:
    folder = tmp_path / "run"
    assert _start_and_stop(folder, moment, signal.SIGKILL) == -signal.SIGKILL
    log = (folder / "log.txt").read_text(errors="replace")
    finished = {
        path: path.stat().st_mtime_ns
        for path in (folder / "models").glob("[!.]*.h5")
        if f"train {path.stem}: returned" in log
    }
    result = optkit("compress", *SMALL, *SMALL_RECIPES, "--out", str(folder))
    assert result.returncode == 0, result.stdout + result.stderr
    assert artifact_hashes(folder) == artifact_hashes(small_run[0])
    assert not list(folder.rglob(".optkit-tmp-*"))
    assert len(finished) >= ("export" in moment) + 4 * ("measure" in moment)
    assert all(path.stat().st_mtime_ns == made for path, made in finished.items())


def test_models_and_checks_that_are_gone_are_made_again_in_order(
    small_run: tuple[Path, Result], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(small_run[0], folder)
    for path in (folder / "models").iterdir():
        path.unlink()
    records = [path for path in (folder / "cache").glob("*.json") if '"stage": "check ' in path.read_text()]
    assert len(records) >= 4
    for path in records:
        path.unlink()
    result = optkit("compress", *SMALL, *SMALL_RECIPES, "--out", str(folder))
    assert result.returncode == 0, result.stdout + result.stderr
    assert artifact_hashes(folder) == artifact_hashes(small_run[0])


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_so_and_leaves_no_process(tmp_path: Path, signal_number: int, code: int) -> None:
    folder = tmp_path / "run"
    assert _start_and_stop(folder, "train prune: started", signal_number) == code
    time.sleep(0.5)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
        except OSError:
            continue
        assert str(folder) not in command or process.name == str(os.getpid())
    assert (folder / "models" / "baseline.h5").exists()
    assert not list(folder.rglob("artifacts/*"))


def test_two_runs_at_once_the_second_stops(small_run: tuple[Path, Result], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [*OPTKIT, "compress", *SMALL, *SMALL_RECIPES, "--out", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not (folder / "log.txt").exists():
            time.sleep(0.05)
        second = optkit("compress", *SMALL, *SMALL_RECIPES, "--out", str(folder))
        first.kill()
    assert second.returncode == 2
    assert f"in use by another run (process {first.pid})" in second.stderr
    assert small_run[1].returncode == 0
