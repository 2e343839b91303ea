"""Jobs run in fresh processes; what goes wrong there is a message here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
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


def _run(tmp_path: Path, *jobs: Job, cores: int = 1) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    with Workers(["json"], environment, tmp_path / "log.txt") as pool:
        results = pool.run(jobs, cores=cores, on_event=lambda _, event: events.append(event))
    return results, events


def _job(name: str, **arguments: object) -> Job:
    return Job(f"{name}{arguments or ''}", f"test_workers:{name}", arguments)


def test_each_job_has_a_process_of_its_own_and_tells(tmp_path: Path) -> None:
    jobs = [_job("add", one=1, two=number) for number in range(4)]
    results, events = _run(tmp_path, *jobs, cores=2)
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
        pool.run([_job("add", one=1, two=1)], cores=1, on_event=lambda *_: None)


def sleep(tell: Tell, *, path: str) -> None:  # noqa: ARG001
    """Says who it is and stays."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(120)


def test_workers_die_with_a_killed_run(tmp_path: Path) -> None:
    code = (
        "import sys, json; from pathlib import Path; from optkit.workers import Workers, Job\n"
        "a = json.loads(sys.argv[1])\n"
        "with Workers([], {'PYTHONPATH': a['here']}, Path(a['log'])) as pool:\n"
        "    pool.run([Job('s', 'test_workers:sleep', {'path': a['pid']})], cores=1, on_event=lambda *_: None)\n"
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
        pool.run([late, early], cores=2, on_event=lambda job, event: events.append((job.name, event["event"])))
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
    results, _ = _run(tmp_path, *jobs, cores=2)
    assert results["first"] == results["second"] == results["third"] == Failure("InputError", "expected a, found b", 2)
    assert results["other"]["sum"] == 2


def test_jobs_share_the_cores_and_small_ones_do_not_overtake(tmp_path: Path) -> None:
    numbers = {"one": 1, "two": 1}
    jobs = [
        Job("small", "test_workers:add", numbers),
        Job("large", "test_workers:add", numbers, threads=2),
        Job("after", "test_workers:add", numbers),
    ]
    running: dict[str, int] = {}
    most: list[int] = []
    order: list[str] = []

    def on_event(job: Job, event: dict[str, Any]) -> None:
        if event["event"] == "started":
            running[job.name] = job.threads
            order.append(job.name)
            most.append(sum(running.values()))
        elif event["event"] == "returned":
            del running[job.name]

    with Workers([], {"PYTHONPATH": str(Path(__file__).parent)}, tmp_path / "log.txt") as pool:
        pool.run(jobs, cores=2, on_event=on_event)
    assert order == ["small", "large", "after"]
    assert max(most) == 2


def leave_behind(tell: Tell) -> str:  # noqa: ARG001
    """Makes a temporary file and forgets it."""
    with tempfile.NamedTemporaryFile(delete=False) as left:
        return left.name


def test_temporary_files_of_jobs_go_with_the_server(tmp_path: Path) -> None:
    with Workers([], {"PYTHONPATH": str(Path(__file__).parent)}, tmp_path / "log.txt") as pool:
        results = pool.run([_job("leave_behind")], cores=1, on_event=lambda *_: None)
        assert Path(results["leave_behind"]).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_an_error_in_the_callback_ends_everything(tmp_path: Path) -> None:
    def on_event(job: Job, event: dict[str, Any]) -> None:
        if event["event"] == "started":
            raise InputError(job.name)

    started = time.monotonic()
    with (
        pytest.raises(InputError, match="sleep"),
        Workers([], {"PYTHONPATH": str(Path(__file__).parent)}, tmp_path / "log.txt") as pool,
    ):
        pool.run([_job("sleep", path=str(tmp_path / "pid"))], cores=1, on_event=on_event)
    assert time.monotonic() - started < 60


def test_a_preloaded_call_is_made_once_before_jobs_start(tmp_path: Path) -> None:
    with Workers(
        ["test_workers:remember:what"], {"PYTHONPATH": str(Path(__file__).parent)}, tmp_path / "log.txt"
    ) as pool:
        results = pool.run([_job("recall")], cores=1, on_event=lambda *_: None)
    assert results["recall"] == ["what"]


_REMEMBERED: list[str] = []


def remember(what: str) -> None:
    """Called in the server."""
    _REMEMBERED.append(what)


def recall(tell: Tell) -> list[str]:  # noqa: ARG001
    """What the server remembers."""
    return _REMEMBERED
