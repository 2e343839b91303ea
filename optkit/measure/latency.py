"""Times files against each other, interleaved in random order over several fresh processes (design, part 7).

All files of one format are open in one process at a time, with a second copy of the baseline: what that copy
seems to gain or lose is the noise floor. ``latency_worker`` does the timing; raw values come back, and
``latency_figures`` summarizes them.
"""

from __future__ import annotations

import math
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from optkit.errors import EnvironmentFailedError, InputError
from optkit.measure.fresh_process import SILENCE_SECONDS, WorkerDiedError, converse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Design, section 7: at least so many calls of each file, over all processes.
LEAST_CALLS = 50
_WORKER = "optkit.measure.latency_worker"
_NOWHERE = -1


class FileTimes(Struct, frozen=True):
    """Raw times of one file in the order of the processes; block i of every file is of the same cycle.

    ``blocks_us`` are mean times of a call in each block, ``singles_us`` times of single calls,
    ``conversion_us`` mean times of a call with quantizing, feeding, fetching and dequantizing.
    """

    load_ms: list[float]
    first_ms: list[float]
    blocks_us: list[list[float]]
    singles_us: list[list[float]]
    conversion_us: list[list[float]]


class ScaledTimes(Struct, frozen=True):
    """Raw times of one file with other threads or another batch, paired with its own headline blocks."""

    path: str
    threads: int
    batch: int
    times: FileTimes


class LatencyResult(Struct, frozen=True):
    """What ``measure_latency`` saw; paths as they were given.

    ``copy`` is the baseline opened a second time in each process; ``failures`` has the reason for each file
    without times; ``scaling_failures`` (path, threads, batch, reason) for what cannot run with that batch or those
    threads. ``processor_share`` is each process's own processor time over the time that passed while it measured;
    ``seconds`` is the wall time of all.
    """

    baseline: str
    threads: int
    batch: int
    seed: int
    times: dict[str, FileTimes]
    copy: FileTimes | None
    failures: dict[str, str]
    processor_share: list[float]
    scaled: list[ScaledTimes] = []
    scaling_failures: list[tuple[str, int, int, str]] = []
    seconds: float = 0.0


class _Opened(NamedTuple):
    """One open session of a process."""

    path: str
    threads: int
    batch: int
    copy: bool = False


class _FileFailedError(Exception):
    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def measure_latency(
    files: Sequence[Path],
    baseline: Path,
    images_npy: Path | None,
    *,
    log: Path,
    threads: int = 1,
    batch: int = 1,
    scaling: Sequence[tuple[int, int]] = (),
    processes: int = 3,
    seconds_per_file: float = 1.0,
    seed: int = 0,
    substitute: bool = False,
    go_on: Callable[[LatencyResult], bool] | None = None,
    on_progress: Callable[[float], object] | None = None,
    opener: str = "optkit.runtimes:open_model",
    silence_seconds: float = SILENCE_SECONDS,
) -> LatencyResult:
    """Time files of one format.

    Each process opens every file, warms it (5 runs and 0.5 s) and measures it in cycles; a file that fails,
    or that crashes the process, is listed with the reason, and that process's round is done again without it.

    Args:
        files: The files; the baseline is added when it is not among them.
        baseline: The file that speed-ups are relative to.
        images_npy: Real images float32 [n, …] as .npy; the first 256 batches are rotated through. ``None``: each
            file gets generated inputs of its own shape.
        log: Gets what the runtimes print.
        threads: Threads of the runtime.
        batch: Images in a call.
        scaling: Further (threads, batch) that every file is opened and timed with as well, in the same cycles.
        processes: Fresh processes, one after another: the least number where ``go_on`` is given.
        seconds_per_file: Measured time of each file over ``processes`` processes; also at least 50 calls.
        seed: Of the orders and of the bootstrap.
        substitute: Whether the next file becomes the baseline when the baseline fails; else nothing is.
        go_on: Looks at the result after the last of the processes, and again after each that it asks for.
        on_progress: Gets the share of ``processes`` that is done, 0 to 1.
        opener: ``module:function`` that opens a file, as ``optkit.runtimes.open_model`` does.
        silence_seconds: When a process that says nothing is held to hang.

    Raises:
        InputError: A number is out of range.
        EnvironmentFailedError: A process failed before it touched any file.
    """
    for name, value in (("threads", threads), ("batch", batch), ("processes", processes)):
        if value < 1:
            raise InputError(f"expected {name} of at least 1, found {value}")
    if not (math.isfinite(seconds_per_file) and seconds_per_file > 0):
        raise InputError(f"expected a time to measure over 0 s, found {seconds_per_file:g}")
    paths = list(dict.fromkeys(str(path) for path in [*files, baseline]))
    # The headline of each file comes first, the copy of the baseline last.
    wanted = [_Opened(path, threads, batch) for path in paths]
    wanted += [_Opened(path, *other) for other in scaling if other != (threads, batch) for path in paths]
    wanted.append(_Opened(str(baseline), threads, batch, copy=True))
    run = _Measuring(wanted, str(baseline), (threads, batch), seed, substitute=substitute)
    job = {
        "opener": opener,
        "images": None if images_npy is None else str(images_npy),
        "seconds": seconds_per_file / processes,
        "calls": math.ceil(LEAST_CALLS / processes),
    }
    tell = on_progress or (lambda _: None)
    while run.open and (len(run.rounds) < processes or (go_on is not None and go_on(run.result()))):
        done = min(1.0, len(run.rounds) / processes)
        run.add(
            job,
            log,
            lambda part, done=done: tell(min(1.0, done + part / processes)),  # type: ignore[misc]  # bound now
            silence_seconds,
        )
    return run.result()


class _Measuring:
    """The processes so far."""

    def __init__(
        self, wanted: list[_Opened], baseline: str, headline: tuple[int, int], seed: int, *, substitute: bool
    ) -> None:
        self._substitute = substitute
        self.open = wanted
        self.rounds: list[dict[_Opened, dict[str, Any]]] = []
        self._baseline, self._headline, self._seed = baseline, headline, seed
        self._failures: dict[str, str] = {}
        self._scaling_failures: list[tuple[str, int, int, str]] = []
        self._share: list[float] = []
        self._started = time.perf_counter()

    def add(
        self, job: dict[str, Any], log: Path, on_progress: Callable[[float], object], silence_seconds: float
    ) -> None:
        """Measure in one more process; a file that fails is left out from then on, and nothing is added."""
        sessions = [{"path": one.path, "threads": one.threads, "batch": one.batch} for one in self.open]
        whole = {**job, "sessions": sessions, "seed": self._seed * 1000 + len(self.rounds)}
        try:
            records, share = _one_process(whole, log, on_progress, silence_seconds)
        except _FileFailedError as error:
            self._leave_out(self.open[error.index], str(error))
            return
        self.rounds.append(dict(zip(self.open, records, strict=True)))
        self._share.append(share)

    def _leave_out(self, failed: _Opened, reason: str) -> None:
        if (failed.threads, failed.batch) == self._headline:
            self._failures[failed.path] = reason
            self.open = [one for one in self.open if one.path != failed.path]
            if self._substitute and failed.path == self._baseline and self.open:
                # Without times of the new baseline's copy, what was measured so far has no noise floor.
                self._baseline = self.open[0].path
                self.open.append(_Opened(self._baseline, *self._headline, copy=True))
                self.rounds.clear()
                self._share.clear()
        else:
            self._scaling_failures.append((failed.path, failed.threads, failed.batch, reason))
            self.open = [one for one in self.open if one != failed]

    def result(self) -> LatencyResult:
        """What was seen so far; files that failed in any process have no times."""
        times = {one: self._collect(one) for one in self.open} if self.rounds else {}
        plain = {one: found for one, found in times.items() if not one.copy}
        headline = {one.path: found for one, found in plain.items() if (one.threads, one.batch) == self._headline}
        return LatencyResult(
            baseline=self._baseline,
            threads=self._headline[0],
            batch=self._headline[1],
            seed=self._seed,
            times=headline,
            copy=next((found for one, found in times.items() if one.copy), None),
            failures=dict(self._failures),
            processor_share=list(self._share),
            scaled=[
                ScaledTimes(one.path, one.threads, one.batch, found)
                for one, found in plain.items()
                if (one.threads, one.batch) != self._headline
            ],
            scaling_failures=list(self._scaling_failures),
            seconds=round(time.perf_counter() - self._started, 3),
        )

    def _collect(self, opened: _Opened) -> FileTimes:
        mine = [records[opened] for records in self.rounds]
        return FileTimes(
            load_ms=[record["load_ms"] for record in mine],
            first_ms=[record["first_ms"] for record in mine],
            blocks_us=[record["blocks_us"] for record in mine],
            singles_us=[record["singles_us"] for record in mine],
            conversion_us=[record["conversion_us"] for record in mine],
        )


def _one_process(
    job: dict[str, Any], log: Path, on_progress: Callable[[float], object], silence_seconds: float
) -> tuple[list[dict[str, Any]], float]:
    """Run one worker.

    Returns:
        What it said of each session, and its share of a processor.

    Raises:
        _FileFailedError: A file failed, or was being run when the process ended.
        EnvironmentFailedError: The process ended at no file.
    """
    records: list[dict[str, Any]] = [{} for _ in job["sessions"]]
    share = math.nan
    with tempfile.NamedTemporaryFile(prefix="optkit-place-") as place:
        place.write(struct.pack("=i", _NOWHERE))
        place.flush()
        try:
            for message in converse(_WORKER, {**job, "place": place.name}, log, silence_seconds):
                match message["event"]:
                    case "progress":
                        on_progress(message["done"])
                    case "failed":
                        raise _FileFailedError(message["index"], message["reason"])
                    case "opened" | "timed":
                        records[message["index"]] |= message
                    case "done":
                        share = message["processor_share"]
        except WorkerDiedError as error:
            (index,) = struct.unpack("=i", Path(place.name).read_bytes())
            if index == _NOWHERE:
                raise EnvironmentFailedError(f"the measuring process failed: {error}; see {log}") from error
            raise _FileFailedError(index, str(error)) from error
    return records, share
