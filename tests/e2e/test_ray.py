"""A search on a Ray cluster of two nodes, both on this machine: what goes wrong is noticed, the result is the same."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import MISSED_SEARCH, OPTKIT, Result, optkit, report_of
from test_search import started

from benchmarks import _ray_nodes
from optkit import store
from optkit.engines import Surroundings, Wishes, _node
from optkit.engines.ray import Cluster
from optkit.errors import EnvironmentFailedError, InputError
from optkit.search.rounds import TimeUpError
from optkit.workers import Failure, Job

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def nodes() -> Iterator[_ray_nodes.Cluster]:
    """The cluster; it can import the jobs of this folder."""
    with _ray_nodes.Cluster(modules=HERE) as made:
        yield made


@pytest.fixture
def join(nodes: _ray_nodes.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an engine that is a driver of the cluster, with a run folder."""
    for name, value in nodes.environment.items():
        monkeypatch.setenv(name, value)
    store.prepare_folder(tmp_path)
    said: list[str] = []

    def make(task: str = "optkit.engines._node:run_trial", node: str | None = None, **around: Any) -> Cluster:
        surroundings = Surroundings(tmp_path, (), "null", {}, say=said.append, **around)
        engine = Cluster(surroundings, Wishes(address=nodes.address, latency_node=node), task)
        engine.said = said  # type: ignore[attr-defined]  # for the test
        return engine

    return make


def job(name: str, folder: Path, *after: str, function: str = "make", **arguments: str) -> Job:
    """A stage that makes one file, in a trial of its own."""
    parents = {"parent": after[0]} if after else {}
    own = {"folder": str(folder), "key": name, "text": name, **parents, **arguments}
    return Job(name, f"ray_jobs:{function}", own, after, trial=name, needs=tuple(after))


def run(engine: Cluster, *jobs: Job) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """Results, and what was told."""
    told: list[tuple[str, dict[str, Any]]] = []
    with engine:
        return engine.run(jobs, on_event=lambda one, message: told.append((one.name, message))), told


def text(folder: Path, name: str) -> str:
    """What a stage has made."""
    return (folder / "models" / f"{name}.txt").read_text()


def test_files_come_back_and_go_to_those_that_need_them(join: Any, tmp_path: Path) -> None:
    (tmp_path / "given.txt").write_text("given ")
    given = str(tmp_path / "given.txt")
    jobs = [
        job("child", tmp_path, "parent", marks=str(tmp_path / "marks")),
        job("parent", tmp_path, reads=given),
        job("refused", tmp_path, "missing", parent=""),
    ]
    results, told = run(join(reads=(given,)), *jobs[:2], jobs[2]._replace(after=(), needs=()))
    assert results == {"parent": "parent", "child": "child", "refused": "refused"}
    assert text(tmp_path, "child") == "given parentchild"
    assert store.load_stage(tmp_path, "child") is not None
    order = [(name, message["event"]) for name, message in told if name in {"parent", "child"}]
    assert order == [(name, event) for name in ("parent", "child") for event in ("started", "progress", "returned")]
    assert {message["place"] for _, message in told if message["event"] == "started"} <= {"one", "two"}
    # Ray gives tasks a number of threads for BLAS, which would add in another order than here.
    assert (tmp_path / "marks").read_text() == "None\n"


def test_what_comes_back_damaged_is_refused_and_made_again(join: Any, tmp_path: Path) -> None:
    engine = join("ray_jobs:damaged_once")
    results, _ = run(engine, job("stage", tmp_path, marks=str(tmp_path / "marks")))
    assert results == {"stage": "stage"}
    assert text(tmp_path, "stage") == "stage"
    assert (tmp_path / "marks").read_text().splitlines() == ["None", "None"]
    (lost,) = [one for one in engine.said if one.startswith("Lost")]
    assert re.search(r"stage on (one|two) \(what came back is damaged: models/stage.txt has the SHA-256", lost)
    assert "1 task was lost with what ran it, and run again." in engine.facts()


def test_a_process_that_is_killed_is_no_failure_of_its_trial(join: Any, tmp_path: Path) -> None:
    engine = join()
    wanted = job("stage", tmp_path, function="killed_once", marks=str(tmp_path / "marks"))
    results, told = run(engine, wanted, job("child", tmp_path, "stage"))
    assert results == {"stage": "stage", "child": "child"}
    assert not any(message["event"] == "failed" for _, message in told)
    assert any("SIGKILL" in one for one in engine.said)


def test_an_error_is_the_trials_and_of_what_comes_after_it(join: Any, tmp_path: Path) -> None:
    wrong = job("wrong", tmp_path, reads=str(tmp_path / "not there"))
    results, told = run(join(), wrong, job("child", tmp_path, "wrong"), job("other", tmp_path))
    assert isinstance(results["wrong"], Failure)
    assert results["wrong"].kind == "FileNotFoundError"
    assert results["child"] == results["wrong"]
    assert results["other"] == "other"
    assert [name for name, message in told if message["event"] == "failed"] == ["wrong"]


def test_a_node_with_other_packages_is_refused(join: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = _node.same()
    monkeypatch.setattr(_node, "same", lambda: mine | {"tensorflow": "1.0"})
    with pytest.raises(EnvironmentFailedError, match=r"the node (one|two) has tensorflow .* instead of 1\.0: install"):
        run(join(), job("stage", tmp_path))


def test_what_is_up_ends_what_runs_there_and_the_cluster_is_free_again(join: Any, tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    def on_event(_: Job, message: dict[str, Any]) -> None:
        if message["event"] == "progress":
            # As the time of a search does, out of a signal.
            signal.setitimer(signal.ITIMER_REAL, 0.5)

    def ring(*_: object) -> None:
        raise TimeUpError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with join() as engine:
            with pytest.raises(TimeUpError):
                engine.run([job("long", tmp_path, function="sleep", marks=str(marks))], on_event=on_event)
            engine.stop()
            # Each needs a core, of which there are two.
            results = engine.run([job("one", tmp_path), job("two", tmp_path)], on_event=lambda *_: None)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert results == {"one": "one", "two": "two"}
    # It gets its signal when its server is gone, which Ray kills when it gets to it.
    deadline = time.monotonic() + 20
    while _is_running(int(marks.read_text())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_running(int(marks.read_text()))


def _is_running(pid: int) -> bool:
    """Whether a process is there and no zombie that nobody has asked about yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_job_alone_has_the_named_node_to_itself(join: Any, tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "file").write_text("bytes")
    alone = Job("busy", "ray_jobs:busy", {"folder": str(tmp_path), "file": "artifacts/file"})
    with join(node="two") as engine:
        assert engine.timed_on == "two"
        told: list[dict[str, Any]] = []
        found = engine.alone(alone, [tmp_path / "artifacts" / "file"], lambda _, message: told.append(message))
    assert found["text"] == "bytes"
    assert {message["node"] for message in told} == {"two"}
    with pytest.raises(InputError, match="--latency-node expects a node of the cluster, found none: did you mean two"):
        join(node="twoo").__enter__()


def test_no_cluster_at_the_address_is_told_before_any_work(tmp_path: Path) -> None:
    command = ("compress", "--max-size", "9KB", "--engine", "ray", "--address")
    for address, words in (("127.0.0.1:1", "found nothing at 127.0.0.1:1"), ("ray://h:1", "expects HOST or HOST:PORT")):
        result = optkit(*command, address, cwd=tmp_path)
        assert result.returncode == 2
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert list(tmp_path.iterdir()) == []


@contextmanager
def driver(nodes: _ray_nodes.Cluster, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A search on the cluster, in a process of its own, which is gone in the end."""
    where = ("--engine", "ray", "--address", nodes.address, "--latency-node", "one", "--out", str(folder))
    with subprocess.Popen(
        [*OPTKIT, *MISSED_SEARCH, *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=nodes.surroundings,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    """Wait until a run's log matches."""
    for _ in range(11_000):
        log = folder / "log.txt"
        if log.is_file() and re.search(pattern, log.read_text(errors="replace"), re.DOTALL):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{pattern!r} did not come")


def told_of(folder: Path) -> list[dict[str, Any]]:
    """Every file of a search, but for times, which are never the same."""
    trials: list[dict[str, Any]] = report_of(folder)["search"]["trials"]
    for one in trials:
        assert (one.pop("p50_us") is None) == (one["state"] == "not made")
        del one["p50_ci95_us"], one["on_front"]
        one["standings"] = [standing for standing in one["standings"] if standing["name"] != "latency"]
    return trials


def test_a_search_with_a_killed_driver_and_a_lost_node_is_the_local_one(
    nodes: _ray_nodes.Cluster, missed_search: tuple[Path, Result], tmp_path: Path
) -> None:
    local, _ = missed_search
    folder = tmp_path / "run"
    with driver(nodes, folder) as process:
        wait_for(process, folder, "train baseline: returned.*: started")
        process.kill()
    with driver(nodes, folder) as process:
        wait_for(process, folder, "INFO run: .*INFO run: .*: on two")
        nodes.kill("two")
        output, errors = process.communicate()
    assert process.returncode == 3, output + errors
    assert re.search(r"Lost: .* on two \(.*It is run again\.", output)
    assert errors.splitlines()[-1].startswith("Error: no file is within all limits; delivered the nearest, int8.tflite")

    assert told_of(folder) == told_of(local)
    here, there = report_of(local)["search"], report_of(folder)["search"]
    for name in ("delivered", "delivered_format", "met"):
        assert here[name] == there[name]
    for trial in here["trials"]:
        if trial["path"] is not None:
            assert store.sha256_file(folder / trial["path"]) == store.sha256_file(local / trial["path"])
    assert (here["latency_node"], there["latency_node"]) == (None, "one")
    assert f"on the machine one ({there['cpu_model']})" in output
    assert "run again." in output
    # What was finished before the kill is not made again.
    assert started(folder).count("train baseline") == 1
    log = (folder / "log.txt").read_text(errors="replace")
    assert re.findall(r"measure latency of tflite files: on (\w+)", log) == ["one", "one"]
