"""What runs on a machine of a cluster: a trial in a folder of its own, whose files go back with their SHA-256.

The stages run as on the asking machine, in processes that a server forks (``optkit.workers``). The server stays for the
next trial, since TensorFlow takes seconds to import; it ends with the process that it belongs to.
"""

from __future__ import annotations

import functools
import json
import math
import os
import platform
import queue
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optkit import environment, store, workers
from optkit.engines import _folders, _here, _trials
from optkit.engines._folders import Entry
from optkit.workers import Failure, Job, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# What stages print is kept; of what a loop prints, the end.
LOG_BYTES = 200_000
# The asking machine hears of many trials: of each no more often than a person looks.
TELL_SECONDS = 1.0
# Set by Ray to the CPUs of a task: then BLAS would add in another order than on the asking machine.
THREADS_VARIABLE = "OMP_NUM_THREADS"
PREFIX = "optkit-node-"

# The server of this process, and what it was started for.
_SERVER: dict[str, Workers] = {}


def same() -> dict[str, Any]:
    """What must be the same on all machines for their files to be the same."""
    return {
        "machine": platform.machine(),
        "Python": platform.python_version(),
        **environment.package_versions(),
        "optkit's code": _code()[:12],
    }


@functools.cache
def _code() -> str:
    return store.source_digest(("",))


def differences(wanted: Mapping[str, Any]) -> str:
    """What is another here, in words; empty where nothing is."""
    mine = same()
    return ", ".join(
        f"{name} {mine.get(name, 'none')} instead of {wanted.get(name, 'none')}"
        for name in dict.fromkeys([*wanted, *mine])
        if mine.get(name) != wanted.get(name)
    )


def run_trial(spec: dict[str, Any], reads: list[Any], fetch: Callable[[Any], Any], *contents: bytes) -> Iterator[Any]:
    """Run a trial's jobs.

    Args:
        spec: See ``optkit.engines.ray``.
        reads: Of each of the user's files that jobs read, its contents, to be fetched when they are needed.
        fetch: Fetches them.
        contents: Of the files of the run folder that the jobs read, in the order of ``spec["files"]``.

    Yields:
        ``began``, then what the jobs tell, and at last ``done`` with results, entries and contents of what was made,
        or ``refused`` with the reason.
    """
    refused = differences(spec["same"])
    if refused:
        yield {"event": "refused", "message": refused}
        return
    _same_variables(spec)
    home = _home()
    described = environment.describe()
    yield {"event": "began", "cpu_model": described.cpu_model}
    folder = Path(tempfile.mkdtemp(dir=home))
    try:
        store.prepare_folder(folder)
        _folders.unpack(folder, [Entry(*one) for one in spec["files"]], contents)
        paths = {spec["folder"]: str(folder)}
        for one, content in zip(spec["reads"], reads, strict=True):
            paths[one["path"]] = _kept(home, one, content, fetch)
        jobs = [Job(**_trials.replaced(job, paths)) for job in spec["jobs"]]
        argument = json.dumps(_trials.replaced(json.loads(spec["preload_argument"]), paths))
        server = _server(home, spec, argument)
        log, peak, told_at, results = home / "log.txt", 0, -math.inf, {}
        before = log.stat().st_size if log.exists() else 0
        run = functools.partial(server.run, jobs, cores=spec["cores"])
        for message in _told(lambda tell: run(on_event=lambda job, event: tell({**event, "job": job.name}))):
            if message["event"] == "result":
                results = message["value"]
                break
            peak = max(peak, message.get("peak_bytes", 0))
            # How it ended is told when its files are there.
            if message["event"] == "started":
                yield message
            elif message["event"] == "progress" and time.monotonic() - told_at >= TELL_SECONDS:
                told_at = time.monotonic()
                yield message
        good = [job.arguments["key"] for job in jobs if not isinstance(results[job.name], Failure)]
        entries = _folders.stages(folder, good)
        with log.open("rb") as stream:
            stream.seek(max(before, log.stat().st_size - LOG_BYTES))
            printed = stream.read().decode(errors="replace")
        yield {
            "event": "done",
            "results": {
                name: {"failure": list(one)} if isinstance(one, Failure) else {"value": one}
                for name, one in results.items()
            },
            "entries": [list(entry) for entry in entries],
            "contents": _folders.read(folder, entries),
            "peak_bytes": peak,
            "log": printed,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_alone(spec: dict[str, Any], *contents: bytes) -> Iterator[Any]:
    """Run one job in this process, on copies of the files that it reads.

    Args:
        spec: ``job``, ``files``, ``folder``, ``same`` and ``variables``.
        contents: Of the files.

    Yields:
        What it tells, and at last ``returned`` or ``failed``, or ``refused`` with the reason.
    """
    refused = differences(spec["same"])
    if refused:
        yield {"event": "refused", "message": refused}
        return
    _same_variables(spec)
    folder = Path(tempfile.mkdtemp(dir=_home()))
    try:
        _folders.unpack(folder, [Entry(*one) for one in spec["files"]], contents)
        job = Job(**_trials.replaced(spec["job"], {spec["folder"]: str(folder)}))
        for message in _told(lambda tell: _here.alone(job, lambda _, event: tell(event)), errors=True):
            if message["event"] == "result":
                yield {"event": "returned", "value": message["value"]}
                return
            yield message
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _told(work: Callable[[Callable[[Any], None]], Any], *, errors: bool = False) -> Iterator[dict[str, Any]]:
    """What work tells while it is at it, and at last its ``result``.

    ``errors``: An error comes as a ``failed`` message.
    """
    said: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def go() -> None:
        try:
            said.put({"event": "result", "value": work(said.put)})
        except BaseException as error:  # noqa: BLE001  # raised again below, in the thread that listens
            said.put(error)

    threading.Thread(target=go, daemon=True).start()
    while True:
        message = said.get()
        if isinstance(message, BaseException):
            if not errors:
                raise message
            message = {"event": "failed", **workers.as_failure(message)._asdict()}
        yield message
        if message["event"] in {"result", "failed"} and "job" not in message:
            return


def _same_variables(spec: Mapping[str, Any]) -> None:
    for name, value in spec["variables"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _home() -> Path:
    """The folder of this process; those of processes that are gone are removed."""
    parent = Path(tempfile.gettempdir())
    home = parent / f"{PREFIX}{os.getpid()}"
    home.mkdir(exist_ok=True)
    for left in parent.glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX)
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)
    return home


def _kept(home: Path, one: Mapping[str, Any], content: Any, fetch: Callable[[Any], Any]) -> str:
    """Where the copy of a file or folder of the user's own is; it is fetched once."""
    folder = home / "reads" / store.digest(one["files"])
    if not folder.exists():
        new = Path(tempfile.mkdtemp(dir=home))
        _folders.unpack(new, [Entry(*entry) for entry in one["files"]], fetch(content))
        folder.parent.mkdir(exist_ok=True)
        new.rename(folder)
    return _folders.in_folder(one["named"], folder)


def _server(home: Path, spec: Mapping[str, Any], argument: str) -> Workers:
    """The server with the frameworks and these data in memory; another one ends."""
    key = store.digest([spec["preload"], argument, spec["environment"]])
    if key not in _SERVER:
        for other in _SERVER.values():
            other.stop()
        _SERVER.clear()
        preload = _here.with_argument(spec["preload"], argument)
        _SERVER[key] = Workers(preload, dict(spec["environment"]), home / "log.txt")
    return _SERVER[key]
