"""Jobs run in fresh processes; what goes wrong there is a message here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from optkit.errors import EnvironmentFailedError, InputError, InternalError
from optkit.workers import Failure, Job, Tell, Workers, as_error


def add(tell: Tell, *, one: int, two: int) -> dict[str, int]:
    """Tells once and returns."""
    tell({"done": 1, "total": 1})
    return {"sum": one + two, "pid": os.getpid()}


def refuse(tell: Tell) -> None:  # noqa: ARG001
    """Bad input in a worker."""
    raise InputError("expected a, found b")


def crash(tell: Tell) -> None:  # noqa: ARG001
    """As native code may."""
    os.kill(os.getpid(), signal.SIGSEGV)


def talk(tell: Tell) -> None:  # noqa: ARG001
    """Prints, as libraries do."""
    sys.stdout.write("noise on stdout\n")
    sys.stderr.write("noise on stderr\n")


def too_long(tell: Tell) -> str:  # noqa: ARG001
    """More than fits one write."""
    return "x" * 10_000


def _run(tmp_path: Path, *jobs: Job, at_once: int = 1) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    with Workers(["json"], environment, tmp_path / "log.txt") as pool:
        results = pool.run(jobs, at_once=at_once, on_event=lambda _, event: events.append(event))
    return results, events


def _job(name: str, **arguments: object) -> Job:
    return Job(f"{name}{arguments or ''}", f"test_workers:{name}", arguments)


def test_each_job_has_a_process_of_its_own_and_tells(tmp_path: Path) -> None:
    jobs = [_job("add", one=1, two=number) for number in range(4)]
    results, events = _run(tmp_path, *jobs, at_once=2)
    assert [results[job.name]["sum"] for job in jobs] == [1, 2, 3, 4]
    assert len({results[job.name]["pid"] for job in jobs}) == 4
    assert sum(event["event"] == "progress" for event in events) == 4


def test_an_error_comes_back_as_the_kind_that_it_was(tmp_path: Path) -> None:
    results, _ = _run(tmp_path, _job("refuse"), _job("add", one=1, two=1))
    failure = results["refuse"]
    assert failure == Failure("InputError", "expected a, found b", 2)
    with pytest.raises(InputError, match="expected a, found b"):
        raise as_error("refuse", failure)
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_a_crash_is_a_message_and_the_next_job_runs(tmp_path: Path) -> None:
    results, _ = _run(tmp_path, _job("crash"), _job("add", one=2, two=2))
    assert isinstance(results["crash"], Failure)
    assert "SIGSEGV" in results["crash"].message
    assert isinstance(as_error("x", results["crash"]), InternalError)
    assert next(value for name, value in results.items() if name.startswith("add"))["sum"] == 4


def test_screen_output_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _run(tmp_path, _job("talk"))
    assert capfd.readouterr() == ("", "")
    log = (tmp_path / "log.txt").read_text()
    assert "noise on stdout" in log
    assert "noise on stderr" in log


def test_a_result_that_is_too_long_for_the_pipe_is_an_error(tmp_path: Path) -> None:
    results, _ = _run(tmp_path, _job("too_long"))
    assert "too long" in results["too_long"].message


def test_a_server_that_dies_is_an_environment_failure(tmp_path: Path) -> None:
    with Workers(["no_such_module"], {}, tmp_path / "log.txt") as pool, pytest.raises(EnvironmentFailedError):
        pool.run([_job("add", one=1, two=1)], at_once=1, on_event=lambda *_: None)


def sleep(tell: Tell, *, path: str) -> None:  # noqa: ARG001
    """Says who it is and stays."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(120)


def test_workers_die_with_a_killed_run(tmp_path: Path) -> None:
    code = (
        "import sys, json; from pathlib import Path; from optkit.workers import Workers, Job\n"
        "a = json.loads(sys.argv[1])\n"
        "with Workers([], {'PYTHONPATH': a['here']}, Path(a['log'])) as pool:\n"
        "    pool.run([Job('s', 'test_workers:sleep', {'path': a['pid']})], at_once=1, on_event=lambda *_: None)\n"
    )
    pid_file = tmp_path / "pid"
    arguments = {"here": str(Path(__file__).parent), "log": str(tmp_path / "log.txt"), "pid": str(pid_file)}
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(arguments)]) as run:
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.05)
        worker = Path("/proc") / pid_file.read_text()
        assert worker.exists()
        run.kill()
    # Where nobody reaps orphans, a dead process stays as a zombie.
    deadline = time.monotonic() + 10
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(process: Path) -> bool:
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except OSError:
        return False


def test_a_job_starts_after_the_jobs_that_it_names(tmp_path: Path) -> None:
    events: list[tuple[str, str]] = []
    late = Job("late", "test_workers:add", {"one": 1, "two": 1}, after=("early",))
    early = Job("early", "test_workers:add", {"one": 1, "two": 2}, after=("made in an earlier run",))
    with Workers([], {"PYTHONPATH": str(Path(__file__).parent)}, tmp_path / "log.txt") as pool:
        pool.run([late, early], at_once=2, on_event=lambda job, event: events.append((job.name, event["event"])))
    assert [event for event in events if event[1] != "progress"] == [
        ("early", "started"),
        ("early", "returned"),
        ("late", "started"),
        ("late", "returned"),
    ]


def test_what_comes_after_a_failure_fails_with_its_reason_and_the_rest_runs(tmp_path: Path) -> None:
    jobs = [
        Job("first", "test_workers:refuse", {}),
        Job("second", "test_workers:add", {"one": 1, "two": 1}, after=("first",)),
        Job("third", "test_workers:add", {"one": 1, "two": 1}, after=("second",)),
        Job("other", "test_workers:add", {"one": 1, "two": 1}),
    ]
    results, _ = _run(tmp_path, *jobs, at_once=2)
    assert results["first"] == results["second"] == results["third"] == Failure("InputError", "expected a, found b", 2)
    assert results["other"]["sum"] == 2
