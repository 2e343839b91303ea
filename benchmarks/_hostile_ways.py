"""The ways in which a file reaches optkit: its commands, and where a start costs seconds its functions, forked."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from benchmarks import _guarded
from benchmarks._guarded import MOST_BYTES, MOST_SECONDS, Place
from optkit.workers import Failure, Job, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ACCEPTED, REFUSED, FAULT = "accepted", "refused", "fault"
# A file that passes for sound is worked on: training and measuring take their time.
WORK_SECONDS = 240.0


class Result(NamedTuple):
    """What became of one file on one way."""

    path: Path
    way: str
    verdict: str
    seconds: float
    peak_bytes: int
    detail: str


class Bench(NamedTuple):
    """What all ways share: a folder to work in, the sound files, and a folder that nothing may touch."""

    scratch: Path
    samples: Path
    outside: Path
    servers: Servers


class Way(NamedTuple):
    """A way in.

    Attributes:
        name: As printed.
        go: Takes files along it.
        every: Of the mutated files only each so-many-th goes this way.
        traps: Whether the traps do, and whether accepting one is a fault (``judged``).
        per_start: How many files one command takes.
    """

    name: str
    go: Callable[[Sequence[Path], Bench], Iterator[Result]]
    every: int = 1
    traps: bool = True
    judged: bool = False
    per_start: int = 1


def command(name: str, arguments: str, *, every: int = 1, judged: bool = False) -> Way:
    """One start of ``optkit`` for each file.

    Args:
        name: As printed.
        arguments: Parted by spaces, with FILE, OUT (the run folder; OUT.tflite: a file in its place) and SOUND (the
            folder of sound files) in them.
        every: See ``Way``.
        judged: See ``Way``.
    """

    def go(paths: Sequence[Path], bench: Bench) -> Iterator[Result]:
        for path in paths:
            with _guarded.place(bench.scratch) as at:
                given = [_filled(word, path, bench, at) for word in arguments.split()]
                outcome = _guarded.run(given, at, [bench.outside, path.parent], seconds=WORK_SECONDS)
            faults = list(outcome.faults)
            if outcome.exit_code in {2, 4} and outcome.seconds > MOST_SECONDS:
                faults.append(f"took {outcome.seconds:.0f} s to refuse it")
            verdict = FAULT if faults else ACCEPTED if outcome.exit_code == 0 else REFUSED
            detail = "; ".join(faults) if faults else outcome.stderr.strip()[-300:]
            yield Result(path, name, verdict, outcome.seconds, outcome.peak_bytes, detail)

    return Way(name, go, every=every, judged=judged)


def _filled(word: str, path: Path, bench: Bench, at: Place) -> str:
    if word == "FILE":
        return str(path)
    # A file is written beside where the run folder would be, with its ending.
    name, _, ending = word.partition(".")
    if name == "OUT":
        return f"{at.out}.{ending}" if ending else str(at.out)
    return word.replace("SOUND", str(bench.samples))


def benchmark(*, per_start: int) -> Way:
    """``optkit benchmark FILE...``: several files in one command, with a verdict on each in report.json."""

    def go(paths: Sequence[Path], bench: Bench) -> Iterator[Result]:
        for start in range(0, len(paths), per_start):
            yield from _benchmark_some(paths[start : start + per_start], bench)

    return Way("benchmark", go, judged=True, per_start=per_start)


def _benchmark_some(paths: Sequence[Path], bench: Bench) -> Iterator[Result]:
    quick = ["--min-time", "0.05", "--max-time", "0.05"]
    with _guarded.place(bench.scratch) as at:
        outcome = _guarded.run(
            ["benchmark", *map(str, paths), *quick, "--out", str(at.out)],
            at,
            [bench.outside, *{path.parent for path in paths}],
            seconds=WORK_SECONDS if len(paths) == 1 else MOST_SECONDS * len(paths),
        )
        found = _verdicts(at.out / "report.json") if outcome.exit_code in {0, 4} and not outcome.faults else {}
    whole = outcome.faults or any("sign of life" in reason for _, reason in found.values())
    if len(paths) > 1 and (whole or "sign of life" in outcome.stderr):
        # Whose fault it was, and how long each takes, only shows when each is alone.
        for path in paths:
            yield from _benchmark_some([path], bench)
        return
    for path in paths:
        faults = list(outcome.faults)
        ok, reason = found.get(path.resolve(), (False, outcome.stderr.strip()[-300:]))
        if not ok and outcome.seconds > MOST_SECONDS and len(paths) == 1:
            faults.append(f"took {outcome.seconds:.0f} s to refuse it")
        if not ok and not reason:
            faults.append("refused without a reason")
        verdict = FAULT if faults else ACCEPTED if ok else REFUSED
        seconds = outcome.seconds / len(paths)
        yield Result(path, "benchmark", verdict, seconds, outcome.peak_bytes, "; ".join(faults) or reason)


def _verdicts(report: Path) -> dict[Path, tuple[bool, str]]:
    """By the file's path: whether it was measured, and the reason if not."""
    variants = json.loads(report.read_text(encoding="utf-8"))["variants"]
    return {Path(one["path"]): (one["status"] == "ok", " ".join(one["failures"])) for one in variants}


class Servers:
    """Forking servers by what they have imported; use as a context manager."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._open: dict[tuple[str, ...], Workers] = {}
        # Pid of a child by the time at which it was first seen: who is there too long is ended.
        self._seen: dict[int, float] = {}
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._end_those_that_hang, daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._done.set()
        self._watch.join()
        for workers in self._open.values():
            workers.__exit__(*reason)

    def workers(self, preload: tuple[str, ...]) -> Workers:
        """The server with these modules."""
        if preload not in self._open:
            home = self._scratch / f"home-{len(self._open)}"
            home.mkdir()
            quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
            log = self._scratch / f"server-{len(self._open)}.log"
            self._open[preload] = Workers(list(preload), {"HOME": str(home), **quiet}, log)
        return self._open[preload]

    def _end_those_that_hang(self) -> None:
        while not self._done.wait(0.5):
            # Servers are children of this process, and each file has a child of theirs.
            alive = {child for server in _children(os.getpid()) if _is_server(server) for child in _children(server)}
            self._seen = {pid: self._seen.get(pid, time.monotonic()) for pid in alive}
            for pid, since in self._seen.items():
                if time.monotonic() - since > MOST_SECONDS:
                    os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in thread.read_text().split()]
        except OSError:
            continue
    return found


def _is_server(pid: int) -> bool:
    try:
        return b"optkit.workers" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def worker(name: str, function: str, preload: tuple[str, ...], *, every: int = 1, judged: bool = False) -> Way:
    """A function of ``_hostile_jobs`` in a forked child for each file, under the product's own limits."""

    def go(paths: Sequence[Path], bench: Bench) -> Iterator[Result]:
        server = bench.servers.workers(preload)
        for path in paths:
            at = Place(bench.scratch, bench.scratch, bench.scratch / "none")
            before = _guarded.listing(at._replace(root=bench.outside), [path.parent])
            peak, started = 0, time.monotonic()

            def note(_: Job, message: dict[str, object]) -> None:
                nonlocal peak
                peak = max(peak, int(str(message.get("peak_bytes", 0))))

            job = Job("file", f"benchmarks._hostile_jobs:{function}", {"path": str(path)}, opens=str(path))
            found = server.run([job], cores=1, on_event=note)["file"]
            seconds = time.monotonic() - started
            faults = _guarded.changes(before, _guarded.listing(at._replace(root=bench.outside), [path.parent]))
            if isinstance(found, Failure) and found.exit_code not in {2, 4}:
                hung = found.kind == "Crash" and seconds > MOST_SECONDS
                faults.append("hangs" if hung else f"{found.kind}: {found.message}"[:300])
            if peak > MOST_BYTES:
                faults.append(f"took {peak / 2**30:.1f} GiB of memory")
            refused = isinstance(found, Failure)
            verdict = FAULT if faults else REFUSED if refused else ACCEPTED
            detail = "; ".join(faults) or (found.message if isinstance(found, Failure) else str(found["what"]))
            yield Result(path, name, verdict, seconds, peak, detail)

    return Way(name, go, every=every, judged=judged)


def counted(results: Sequence[Result]) -> dict[str, int]:
    """How many of each verdict."""
    counts = Counter(result.verdict for result in results)
    return {verdict: counts[verdict] for verdict in (ACCEPTED, REFUSED, FAULT)}
