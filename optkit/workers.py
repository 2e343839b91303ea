"""Runs stages in fresh processes that start in milliseconds, although TensorFlow takes seconds to import.

One server process imports the heavy packages, runs nothing, and forks a child for every job. So each stage starts
from the same clean state (TensorFlow's name counters and random state end up in artifact bytes), its memory goes
back to the system when it ends, and a crash in native code is an error message here. The server's and children's
screen output goes to the log. When the process that asked dies, also by SIGKILL, the server sees the end of its
input, kills its children and goes.

Jobs are named by ``module:function``; the function gets a ``tell(dict)`` callable for progress and the job's
keyword arguments, and returns something small and JSON-able (what is large goes into a file). All traffic is one
JSON object a line.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from optkit import limits, store
from optkit.errors import EnvironmentFailedError, InputError, InternalError, OptkitError

# linux/prctl.h: a signal for this process when its parent is gone.
_PR_SET_PDEATHSIG = 1

Tell = Callable[[dict[str, Any]], None]

# Errors of these packages about a stranger's model are the model's.
_FRAMEWORKS = {"keras", "tensorflow", "tf_keras"}


class Job(NamedTuple):
    """One call of ``function`` (``module:function``) in a fresh process, after the jobs named in ``after``.

    ``threads`` is the number of cores that it keeps busy. ``opens`` is the path of a stranger's model that it opens:
    then it runs under ``optkit.limits``, and a crash or want of memory is an ``InputError``. It runs some hundred
    examples of ``example_values`` numbers each through the model, which takes its time.

    For those who run it on another machine: ``trial`` is what it is a part of, and ``needs`` are the keys of the
    stages whose files it reads; its own key is its argument ``key``.
    """

    name: str
    function: str
    arguments: dict[str, Any]
    after: tuple[str, ...] = ()
    threads: int = 1
    opens: str = ""
    example_values: int = 0
    trial: str = ""
    needs: tuple[str, ...] = ()


class Failure(NamedTuple):
    """A job that ended in an error; ``kind`` is the exception's name."""

    kind: str
    message: str
    exit_code: int


class Workers:
    """A server process that runs jobs; use as a context manager.

    Args:
        preload: Modules that the server imports before it forks; ``module:function:argument`` is called as well,
            so that every job inherits what it caches.
        environment: Variables set before those imports.
        log: File that receives the screen output of the server and of all jobs. Their temporary files, of which
            TensorFlow leaves many behind, are kept in a folder beside it, which is removed in the end.
    """

    def __init__(self, preload: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._preload = list(preload)
        self._environment = environment
        self._log = log
        self._scratch = log.resolve().with_name(f"{store.TEMPORARY_PREFIX}{os.getpid()}-scratch")
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and what it runs; the next ``run`` starts another."""
        if self._process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]  # opened as a pipe below
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._process = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _server(self) -> subprocess.Popen[str]:
        if self._process is None:
            # -P: a file json.py in the user's folder must not take the place of Python's.
            root = str(Path(__file__).resolve().parent.parent)
            self._scratch.mkdir(exist_ok=True)
            given = {**os.environ, **limits.SURROUNDINGS, **self._environment, "TMPDIR": str(self._scratch)}
            path = os.pathsep.join(filter(None, [root, given.get("PYTHONPATH")]))
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "optkit.workers", *self._preload],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**given, "PYTHONPATH": path},
                    text=True,
                    # Ctrl-C must reach only the asking process, which then ends the server in order.
                    start_new_session=True,
                )
        return self._process

    def run(
        self,
        jobs: Iterable[Job],
        *,
        cores: int | Callable[[], int],
        on_event: Callable[[Job, dict[str, Any]], None],
        weigh: Callable[[Job], int] = lambda job: job.threads,
    ) -> dict[str, Any]:
        """Run jobs side by side: whenever there are cores for it, the first that waits for no other.

        Args:
            jobs: The jobs.
            cores: How many there are; a function is asked whenever a job may start.
            on_event: Receives ``started``, ``progress``, and ``returned`` (with ``peak_bytes``, the job's largest
                resident set) or ``failed``.
            weigh: The cores that a job takes.

        Returns:
            For each job's name what its function returned, or a ``Failure``: its own, or that of a job that it
            comes after.

        Raises:
            EnvironmentFailedError: The server process died.
            Exception: What ``on_event`` raises; jobs that are running end with the server.
        """
        waiting = list(jobs)
        running: dict[str, Job] = {}
        results: dict[str, Any] = {}
        server = self._server()
        while waiting or running:
            for job in list(waiting):
                failure = next((results[name] for name in job.after if isinstance(results.get(name), Failure)), None)
                if failure is not None:
                    waiting.remove(job)
                    results[job.name] = failure
            room = cores() if callable(cores) else cores
            for job in _startable(waiting, list(running.values()), results, room, weigh):
                waiting.remove(job)
                running[job.name] = job
                self._send(server, job)
                on_event(job, {"event": "started"})
            if not running:
                continue
            line = server.stdout.readline()  # type: ignore[union-attr]
            if not line:
                raise EnvironmentFailedError(
                    f"the worker process ended unexpectedly (status {server.wait()}); perhaps memory ran out; "
                    f"see {self._log}, then run the same command again: finished work is kept"
                )
            message = json.loads(line)
            job = running[message["job"]]
            if message["event"] == "returned":
                results[job.name] = message["value"]
            elif message["event"] == "failed":
                results[job.name] = Failure(message["kind"], message["message"], message["exit_code"])
            if message["event"] in {"returned", "failed"}:
                del running[job.name]
            on_event(job, message)
        return results

    @staticmethod
    def _send(server: subprocess.Popen[str], job: Job) -> None:
        try:
            server.stdin.write(json.dumps(job._asdict()) + "\n")  # type: ignore[union-attr]
            server.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError as error:
            raise EnvironmentFailedError(f"the worker process is gone (status {server.wait()})") from error


def _startable(
    waiting: list[Job], running: list[Job], results: dict[str, Any], cores: int, weigh: Callable[[Job], int]
) -> list[Job]:
    """The jobs that can start now, in the order in which they wait."""
    # A job that comes after one that has just failed is left for the next turn.
    held_back = {job.name for job in [*waiting, *running]}
    held_back |= {name for name, result in results.items() if isinstance(result, Failure)}
    busy = sum(weigh(job) for job in running)
    found: list[Job] = []
    for job in waiting:
        if held_back.intersection(job.after):
            continue
        # Smaller jobs do not overtake one that waits for cores: it would never get them.
        if busy and busy + weigh(job) > cores:
            break
        busy += weigh(job)
        found.append(job)
    return found


def as_error(name: str, failure: Failure) -> OptkitError:
    """The error to raise for a job that failed."""
    kinds = {kind.__name__: kind for kind in _all_kinds(OptkitError)}
    kind = kinds.get(failure.kind)
    if kind is not None:
        return kind(failure.message)
    return InternalError(f"{name}: {failure.kind}: {failure.message}")


def as_failure(error: BaseException) -> Failure:
    """What is told of an error."""
    # The pipe takes lines of some length only; the log has all of it.
    text = " ".join(str(error).split())[: 2000 if isinstance(error, OptkitError) else 500]
    return Failure(type(error).__name__, text, getattr(error, "exit_code", 70))


def _all_kinds(root: type[OptkitError]) -> list[type[OptkitError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _all_kinds(child))]


def _say(channel: int, message: dict[str, Any]) -> None:
    """Write one line; several children share the pipe, and only writes of up to PIPE_BUF bytes stay whole."""
    data = (json.dumps(message) + "\n").encode()
    if len(data) > select.PIPE_BUF:
        raise InternalError(f"a message of {len(data)} bytes is too long for the worker pipe; write a file instead")
    os.write(channel, data)


def _child(channel: int, message: dict[str, Any]) -> None:
    """Run one job in a forked child and leave without running the server's clean-up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = message["name"]
    limited = None

    def tell(event: dict[str, Any]) -> None:
        _say(channel, {"event": "progress", **event, "job": job})

    try:
        if message["opens"]:
            limited = limits.for_import(Path(message["opens"]), example_values=message["example_values"])
            limits.set_for(0, limits.beyond_now(limited))
        module, _, function = message["function"].partition(":")
        value = getattr(importlib.import_module(module), function)(tell, **message["arguments"])
        # Linux counts it in KiB.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        _say(channel, {"event": "returned", "job": job, "value": value, "peak_bytes": peak})
    except BaseException as error:  # noqa: BLE001  # whatever happened must reach the asking process
        traceback.print_exc()
        kind, text, code = as_failure(error)
        if limited is not None:
            kind, text, code = _about_the_file(message["opens"], error, (kind, text, code), limited)
        _say(channel, {"event": "failed", "job": job, "kind": kind, "message": text, "exit_code": code})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _about_the_file(
    path: str, error: BaseException, told: tuple[str, str, int], limited: limits.Limits
) -> tuple[str, str, int]:
    """Kind, message and exit code of a failure: bad input where memory ran out or the network itself failed."""
    kind, text, _ = told
    if limits.out_of_memory(f"{kind}: {text}"):
        text = limits.explained(f"{path} needs more memory than it may have: {kind} {text}", limited)
    elif type(error).__module__.partition(".")[0] in _FRAMEWORKS:
        text = f"{path} cannot be run: {kind}: {text[:300]}; save the model again, or get it from its author"
    else:
        return told
    return InputError.__name__, text, InputError.exit_code


def _reap(channel: int, children: dict[int, dict[str, Any]]) -> None:
    """Report children that died without a word (a crash in native code, or killed for want of memory)."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        job = children.pop(pid)
        if os.waitstatus_to_exitcode(status) != 0:
            code = os.waitstatus_to_exitcode(status)
            what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            told = {"kind": "Crash", "message": what, "exit_code": 5}
            if job["opens"]:
                how = "did not come to an end" if code == -signal.SIGXCPU else f"crashed the process ({what})"
                text = f"{job['opens']} {how}; save the model again, or get it from its author"
                told = {"kind": InputError.__name__, "message": text, "exit_code": InputError.exit_code}
            _say(channel, {"event": "failed", "job": job["name"], **told})


def serve(preload: Sequence[str]) -> None:
    """Import the modules, then fork a child for each job line on standard input until it ends."""
    channel = os.dup(1)
    os.set_inheritable(channel, False)  # noqa: FBT003  # the function's signature
    # Whatever libraries print goes to the log, not into the conversation.
    os.dup2(2, 1)
    for entry in preload:
        name, *call = entry.split(":", 2)
        module = importlib.import_module(name)
        if call:
            getattr(module, call[0])(*call[1:])
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)  # the function's signature
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    children: dict[int, dict[str, Any]] = {}
    buffer = b""
    while True:
        ready, _, _ = select.select([0, wake_reader], [], [])
        if wake_reader in ready:
            os.read(wake_reader, 4096)
            _reap(channel, children)
        if 0 not in ready:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            return
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            message = json.loads(line)
            server = os.getpid()
            pid = os.fork()
            if pid == 0:
                _die_with(server)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(0)
                _child(channel, message)
            children[pid] = message


def _die_with(server: int) -> None:
    """End this process when the server is killed alone, as Ray does it: who asked is gone then, and nobody waits."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:
        os._exit(1)


if __name__ == "__main__":
    serve(sys.argv[1:])
