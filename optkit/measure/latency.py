"""Times files against each other, interleaved in random order over several fresh processes (design, part 7).

All files of one format are open in one process at a time, with a second copy of the baseline: what that copy
seems to gain or lose is the noise floor. ``latency_worker`` does the timing; raw values come back and are
summarized here.
"""

from __future__ import annotations

import math
import struct
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from optkit import statistics
from optkit.errors import EnvironmentFailedError, InputError
from optkit.measure.fresh_process import SILENCE_SECONDS, WorkerDiedError, converse
from optkit.schema import Latency, NoiseFloor, Speedup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Design, section 7: at least so many calls of each file, over all processes.
LEAST_CALLS = 50
# Below this share of a core's time something else was running; the figures are then worth a warning.
BUSY_BELOW = 0.95
# A noise floor wider than 5 % hides differences that people care about.
WIDE_FLOOR = 1.05
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


class LatencyResult(Struct, frozen=True):
    """What ``measure_latency`` saw; paths as they were given.

    ``copy`` is the baseline opened a second time in each process; ``failures`` has the reason for each file
    without times; ``processor_share`` is each process's own processor time over the time that passed while it
    measured.
    """

    baseline: str
    threads: int
    batch: int
    seed: int
    times: dict[str, FileTimes]
    copy: FileTimes | None
    failures: dict[str, str]
    processor_share: list[float]


class _FileFailedError(Exception):
    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def measure_latency(
    files: Sequence[Path],
    baseline: Path,
    images_npy: Path,
    *,
    log: Path,
    threads: int = 1,
    batch: int = 1,
    processes: int = 3,
    seconds_per_file: float = 1.0,
    seed: int = 0,
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
        images_npy: Real images float32 [n, …], values 0 to 1, as .npy; the first 256 batches are rotated
            through.
        log: Gets what the runtimes print.
        threads: Threads of the runtime.
        batch: Images in a call.
        processes: Fresh processes, one after another.
        seconds_per_file: Measured time of each file over all processes; also at least 50 calls.
        seed: Of the orders and of the bootstrap.
        on_progress: Gets the share that is done, 0 to 1.
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
    tell = on_progress or (lambda _: None)
    paths = list(dict.fromkeys(str(path) for path in [*files, baseline]))
    failures: dict[str, str] = {}
    rounds: list[list[dict[str, Any]]] = []
    processor_share = []
    job = {
        "opener": opener,
        "images": str(images_npy),
        "threads": threads,
        "batch": batch,
        "seconds": seconds_per_file / processes,
        "calls": math.ceil(LEAST_CALLS / processes),
    }
    while len(rounds) < processes:
        good = [path for path in paths if path not in failures]
        if not good:
            break
        # The copy of the baseline comes last.
        opened = [*good, *([str(baseline)] if str(baseline) in good else [])]
        done = len(rounds) / processes
        try:
            records, share = _one_process(
                {**job, "files": opened, "seed": seed * 1000 + len(rounds)},
                log,
                lambda part, done=done: tell(done + part / processes),  # type: ignore[misc]  # bound now
                silence_seconds,
            )
        except _FileFailedError as error:
            failures[opened[error.index]] = str(error)
            continue
        rounds.append([{"path": path, **record} for path, record in zip(opened, records, strict=True)])
        processor_share.append(share)
    has_baseline = str(baseline) not in failures
    return LatencyResult(
        baseline=str(baseline),
        threads=threads,
        batch=batch,
        seed=seed,
        times={path: _collect(rounds, path, copy=False) for path in paths if path not in failures},
        copy=_collect(rounds, str(baseline), copy=True) if has_baseline else None,
        failures=failures,
        processor_share=processor_share,
    )


def _one_process(
    job: dict[str, Any], log: Path, on_progress: Callable[[float], object], silence_seconds: float
) -> tuple[list[dict[str, Any]], float]:
    """Run one worker.

    Returns:
        What it said of each file, and its share of a processor.

    Raises:
        _FileFailedError: A file failed, or was being run when the process ended.
        EnvironmentFailedError: The process ended at no file.
    """
    records: list[dict[str, Any]] = [{} for _ in job["files"]]
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


def _collect(rounds: list[list[dict[str, Any]]], path: str, *, copy: bool) -> FileTimes:
    """One file's times over all processes; where it was opened twice, the last is the copy."""
    mine = [[record for record in records if record["path"] == path][-1 if copy else 0] for records in rounds]
    return FileTimes(
        load_ms=[record["load_ms"] for record in mine],
        first_ms=[record["first_ms"] for record in mine],
        blocks_us=[record["blocks_us"] for record in mine],
        singles_us=[record["singles_us"] for record in mine],
        conversion_us=[record["conversion_us"] for record in mine],
    )


def summarize(result: LatencyResult, path: Path | str) -> Latency:
    """The figures of one file.

    Args:
        result: Of ``measure_latency``.
        path: A file that it measured.

    Returns:
        The headline, ``p50_us``, is the median over processes of the medians over blocks. Percentiles come
        from calls that were timed singly, and are ``None`` without enough of them. The speed-up is ``None``
        for the baseline, and for every file when the baseline failed.

    Raises:
        KeyError: The file has no times; ``result.failures`` says why.
    """
    times = result.times[str(path)]
    singles = [value for process in times.singles_us for value in process]
    speedup = None
    if str(path) != result.baseline and result.baseline in result.times:
        reference = result.times[result.baseline].blocks_us
        ratio, low, high = statistics.ratio_interval(reference, times.blocks_us, result.seed)
        verdict = statistics.speed_verdict((low, high), _floor(result))
        speedup = Speedup(ratio, (low, high), verdict)
    return Latency(
        p50_us=_headline(times.blocks_us),
        p90_us=statistics.percentile_or_none(singles, 90),
        p99_us=statistics.percentile_or_none(singles, 99),
        # A single call has the reading of the clock in it, a group of calls has not.
        min_us=min(*singles, *(value for process in times.blocks_us for value in process)),
        p50_with_conversion_us=_headline(times.conversion_us),
        samples=len(singles),
        processes=len(times.blocks_us),
        threads=result.threads,
        batch=result.batch,
        load_ms=median(times.load_ms),
        first_ms=median(times.first_ms),
        blocks_us=times.blocks_us,
        speedup=speedup,
    )


def noise_floor(result: LatencyResult) -> NoiseFloor | None:
    """The speed ratios that mean nothing on this machine now; ``None`` when the baseline failed."""
    floor = _floor(result)
    if floor is None:
        return None
    return NoiseFloor(Path(result.baseline).suffix.lstrip("."), *floor)


def doubts(result: LatencyResult) -> list[str]:
    """What makes the figures less sure than they look, in sentences for the reader."""
    found = []
    # With several threads a process can have more than one core's time, and waits for the slowest in any
    # case.
    share = min(result.processor_share, default=1.0)
    if result.threads == 1 and share < BUSY_BELOW:
        found.append(
            f"other work took the core {1 - share:.0%} of the time while speed was measured; "
            "repeat on an idle machine for narrower intervals"
        )
    floor = _floor(result)
    if floor is not None and floor[1] > WIDE_FLOOR:
        found.append(
            f"noisy machine: the baseline measured against itself gives a speed ratio between {floor[0]:.2f} "
            f"and {floor[1]:.2f}; smaller differences cannot be told"
        )
    return found


def _headline(blocks: list[list[float]]) -> float:
    return median(median(process) for process in blocks)


def _floor(result: LatencyResult) -> tuple[float, float] | None:
    if result.copy is None:
        return None
    reference = result.times[result.baseline].blocks_us
    _, low, high = statistics.ratio_interval(reference, result.copy.blocks_us, result.seed)
    return statistics.noise_floor(low, high)
