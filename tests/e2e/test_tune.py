"""``optkit tune`` on real images: it finds the better knob, loses nothing when it is killed, and shares a database."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from conftest import OPTKIT, Result, optkit

if TYPE_CHECKING:
    from collections.abc import Iterator

# A perceptron of 16 units and 1,000 images: a second a trial.
SMALL = ("--baseline", "mlp-128", "--layers", "dense:16", "--train-samples", "1000", "--epochs", "2")
RATES = ("--search", "learning_rate=0.00001,0.01")


def report_of(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "tune.json").read_text(encoding="utf-8"))
    return report


def trained(folder: Path) -> set[str]:
    """Records of trials that are finished."""
    return {path.name for path in (folder / "cache").glob("*.json") if '"stage": "trial ' in path.read_text()}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished search over two rates, one of them hopeless."""
    folder = tmp_path_factory.mktemp("tune") / "run"
    return folder, optkit("tune", *SMALL, *RATES, "--sampler", "grid", "--out", str(folder))


def test_the_better_rate_is_found_and_judged_once(grid: tuple[Path, Result]) -> None:
    folder, result = grid
    assert result.returncode == 0, result.stderr
    report = report_of(folder)
    values = {trial["settings"]["learning_rate"]: trial["values"]["accuracy"] for trial in report["trials"]}
    assert values["0.01"] > values["0.00001"] + 0.2
    assert report["trials"][report["chosen"]]["settings"]["learning_rate"] == "0.01"
    final = report["final"]
    assert (final["trained_on"], final["tested_on"]) == (6_000, 10_000)
    assert final["accuracy"] > 0.8
    assert "learning_rate = 0.01" in (folder / "best.toml").read_text()
    assert {path.name for path in (folder / "models").iterdir()} == {"best.h5", "best.keras"}
    assert "0.01" in result.stdout
    page = (folder / "tune.html").read_text()
    assert page.count("<tr") == 1 + len(report["trials"])
    assert "http" not in page.replace("http-equiv", "")


def test_the_best_settings_are_what_train_takes(grid: tuple[Path, Result], tmp_path: Path) -> None:
    result = optkit("train", "--recipe", str(grid[0] / "best.toml"), "--out", str(tmp_path / "train"))
    assert result.returncode == 0, result.stderr


def test_the_same_command_again_trains_nothing(grid: tuple[Path, Result]) -> None:
    folder = grid[0]
    before = {path: path.stat().st_mtime_ns for path in [*(folder / "cache").iterdir(), *(folder / "models").iterdir()]}
    result = optkit("tune", *SMALL, *RATES, "--sampler", "grid", "--out", str(folder))
    assert result.returncode == 0, result.stderr
    assert len(report_of(folder)["trials"]) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*RATES[:1], "learning_rate=0.001,0.01"), "exists with another search space"),
        ((*RATES, "--epochs", "3"), "exists with another fixed settings"),
        ((*RATES, "--validation", "kfold:3"), "exists with another validation"),
        ((*RATES, "--objective", "parameters"), "exists with another objectives"),
    ],
)
def test_a_study_about_something_else_is_refused(
    grid: tuple[Path, Result], arguments: tuple[str, ...], words: str
) -> None:
    result = optkit("tune", *SMALL, *arguments, "--out", str(grid[0]))
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert len(report_of(grid[0])["trials"]) == 2


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    for arguments in (
        (),
        ("--search", "foo=1,2"),
        (*RATES, "--storage", f"sqlite:///{tmp_path}/none/study.db"),
        (*RATES, "--storage", "postgresql+psycopg://nobody@127.0.0.1:1/none"),
        (*RATES, "--storage", "nonsense"),
    ):
        result = optkit("tune", *SMALL, *arguments, "--out", str(tmp_path / "run"))
        assert result.returncode == 2, result.stderr
        assert result.stderr.startswith("Error: ")
        assert len(result.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "run").exists()


def test_layers_that_do_not_fit_fail_alone(tmp_path: Path) -> None:
    search = ("--search", "layers=dense:8|conv:4x5,flatten,dense:8")
    result = optkit("tune", *SMALL[:2], *SMALL[4:], *search, "--sampler", "grid", "--out", str(tmp_path / "run"))
    assert result.returncode == 0, result.stderr
    states = {trial["settings"]["layers"]: trial["state"] for trial in report_of(tmp_path / "run")["trials"]}
    assert states == {"dense:8": "complete", "conv:4x5,flatten,dense:8": "failed"}


def test_folds_pruning_and_two_workers(tmp_path: Path) -> None:
    arguments = (*SMALL, "--search", "learning_rate=1e-5..0.1 log", "--jobs", "2", "--trials", "6")
    result = optkit(
        "tune", *arguments, "--validation", "iterated:2x2", "--pruner", "median", "--out", str(tmp_path / "run")
    )
    assert result.returncode == 0, result.stderr
    report = report_of(tmp_path / "run")
    assert 6 <= len(report["trials"]) <= 7
    complete = [trial for trial in report["trials"] if trial["state"] == "complete"]
    assert complete
    for trial in complete:
        assert len(trial["scores"]) == 4
        assert trial["spread"] > 0
        assert trial["mean"] == pytest.approx(sum(trial["scores"]) / 4)
    for trial in report["trials"]:
        assert trial["state"] == "complete" or len(trial["reported"]) < 4


def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    search = ("--search", "layers=dense:4|dense:64", "--objective", "accuracy", "--objective", "parameters")
    arguments = (*SMALL[:2], *SMALL[4:], *search, "--objective", "latency", "--sampler", "grid")
    result = optkit("tune", *arguments, "--out", str(tmp_path / "run"))
    assert result.returncode == 0, result.stderr
    report = report_of(tmp_path / "run")
    assert sorted(report["front"]) == [0, 1]
    small, large = sorted(report["trials"], key=lambda trial: trial["parameters"])
    assert small["values"]["parameters"] < large["values"]["parameters"]
    assert small["time"]["p50_us"] < large["time"]["p50_us"]
    low, high = large["time"]["ratio_ci95"]
    assert low <= large["values"]["latency"] <= high


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    search = ("--search", "learning_rate=1e-4..0.1 log", "--sampler", "random", "--trials", "6")
    return subprocess.Popen(
        [*OPTKIT, "tune", *SMALL, *search, *arguments, "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _until_trained(folder: Path, count: int, run: subprocess.Popen[str]) -> set[str]:
    started = time.monotonic()
    while len(trained(folder)) < count:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() - started < 300
        time.sleep(0.02)
    return trained(folder)


def test_a_killed_search_goes_on_and_trains_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = _start(folder)
    known = {path: (folder / "cache" / path).stat().st_mtime_ns for path in _until_trained(folder, 3, run)}
    run.send_signal(signal.SIGKILL)
    run.communicate()
    again = _start(folder)
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, output + errors
    assert len(report_of(folder)["trials"]) == 6
    assert all((folder / "cache" / path).stat().st_mtime_ns == made for path, made in known.items())
    assert len(trained(folder)) == 6


class Server(NamedTuple):
    """A PostgreSQL server of the test's own."""

    url: str
    control: tuple[str, ...]

    def turn(self, *words: str) -> None:
        subprocess.run([*self.control, *words], check=True, capture_output=True, timeout=60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Started on a free port of this machine; it does not run as root, so it runs as its package's user there."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not binaries:
        pytest.skip("no PostgreSQL server on this machine (Debian: apt install postgresql)")
    home = Path("/tmp") / f"optkit-postgresql-{os.getpid()}"  # noqa: S108  # a socket's path must be short
    home.mkdir(mode=0o755)
    become: tuple[str, ...] = ()
    if os.getuid() == 0:
        shutil.chown(home, "postgres")
        become = ("runuser", "-u", "postgres", "--")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    initdb = binaries[-1].with_name("initdb")
    data = home / "data"
    command = [*become, str(initdb), "-D", str(data), "-A", "trust", "-U", "optkit", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd=home)
    options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = (*become, str(binaries[-1]), "-D", str(data), "-w", "-l", str(home / "log"), "-o", options)
    made = Server(f"postgresql+psycopg://optkit@127.0.0.1:{port}/postgres", control)
    try:
        made.turn("start")
        yield made
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def test_two_processes_share_a_study_and_a_lost_connection_loses_no_trial(server: Server, tmp_path: Path) -> None:
    shared = ("--storage", server.url, "--study", "shared")
    first, second = _start(tmp_path / "a", *shared), _start(tmp_path / "b", *shared)
    for run in (first, second):
        output, errors = run.communicate(timeout=300)
        assert run.returncode == 0, output + errors
    reports = [report_of(tmp_path / name) for name in ("a", "b")]
    assert max(len(report["trials"]) for report in reports) in {6, 7}
    assert trained(tmp_path / "a")
    assert trained(tmp_path / "b")

    alone = ("--storage", server.url, "--study", "alone")
    run = _start(tmp_path / "c", *alone)
    known = _until_trained(tmp_path / "c", 2, run)
    server.turn("-m", "immediate", "stop")
    output, errors = run.communicate(timeout=300)
    assert run.returncode == 2, output + errors
    assert errors.startswith("Error: the study's database postgresql+psycopg://optkit@127.0.0.1")
    assert len(errors.strip().splitlines()) == 1
    made = {path: (tmp_path / "c" / "cache" / path).stat().st_mtime_ns for path in known}
    server.turn("start")
    run = _start(tmp_path / "c", *alone)
    output, errors = run.communicate(timeout=300)
    assert run.returncode == 0, output + errors
    assert len(report_of(tmp_path / "c")["trials"]) == 6
    assert all((tmp_path / "c" / "cache" / path).stat().st_mtime_ns == one for path, one in made.items())
