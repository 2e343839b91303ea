"""Times files in this process: ``python -m optkit.measure.latency_worker``, started fresh by ``latency``.

The job is one JSON object on standard input. Answers are JSON lines on what was standard output; whatever the
runtimes print goes to standard error. The place where the worker is at stands in a small shared file, so that
the parent knows which file was running when the process crashed. Nothing is written between blocks: a line to
the parent would wake it, perhaps on this core.
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import mmap
import os
import random
import resource
import struct
import sys
import time
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.measure.one_answer import in_one_line
from optkit.runtimes._ports import generated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.runtimes import Session

# Design, section 7: warm-up is at least so many runs and so long, for each file in each process.
WARM_UP_RUNS = 5
WARM_UP_SECONDS = 0.5
# Long beside the 0.1 µs that reading the clock takes, and short enough that drift hits all files of a cycle
# alike.
BLOCK_SECONDS = 5e-3
# Calls from this time on are timed singly. Below it the clock, the count of interruptions and what both push out of
# the caches would be about a per cent of a call.
SINGLY_FROM_SECONDS = 1e-3
# Faster calls are timed in groups of this length, short beside the 3 ms and more that a process keeps a core:
# most groups are then whole even when another process wants it. They fill three quarters of a block, single
# calls the rest.
GROUP_SECONDS = 0.5e-3
GROUP_SHARE = 0.75
# 200 blocks of 50 are 10,000 samples, enough for a 99.9th percentile (6,636).
SINGLES_PER_BLOCK = 50
# Another file's block has emptied the caches: so much of untimed calls fills them again. A call that is
# longer than this fills its own.
REFILL_SECONDS = 0.3e-3
# The figure with conversion comes from this many cycles of each process.
CONVERSION_CYCLES = 5
# Blocks are planned from the time in the warm-up; when calls turn out faster, cycles are added, up to so many
# times the plan.
MOST_CYCLES_FACTOR = 3
# Batches that are rotated through; more would only take memory.
MOST_IMAGES = 256
# The asking process takes a worker that says nothing for some seconds to hang.
LONG_CALL_SECONDS = 1.0
# Generated ones hold nothing that a kernel could treat otherwise: few are enough.
GENERATED_IMAGES = 16


class FileFailedError(Exception):
    """A file could not be opened, fed or run; ``index`` says which."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


@dataclass
class Timed:
    """An open file and what was timed so far: times in µs per call unless named otherwise."""

    index: int
    session: Session
    images: np.ndarray
    batch: int
    call_seconds: float = 0.0
    measured_seconds: float = 0.0
    measured_calls: int = 0
    blocks_us: list[float] = field(default_factory=list)
    singles_us: list[float] = field(default_factory=list)
    conversion_us: list[float] = field(default_factory=list)

    def real(self, position: int) -> np.ndarray:
        """Images [batch, …] from ``position`` batches on, starting again at the first when they run out."""
        wanted = np.arange(position * self.batch, (position + 1) * self.batch)
        return self.images[wanted % len(self.images)]


class Place:
    """Tells the parent, through shared memory, which file is being run; -1 for none."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as stream:
            self._memory = mmap.mmap(stream.fileno(), 4)

    def set(self, index: int) -> None:
        """Say that the file with this index is run from now on."""
        self._memory[:] = struct.pack("=i", index)


def interruptions() -> int:
    """How often the kernel has taken the core away from a thread of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def time_groups(action: Callable[[], object], groups: int, calls: int) -> tuple[list[int], list[bool]]:
    """Time groups of calls, the clock read only before and after each.

    Returns:
        Time of each group in ns, and whether it passed without an interruption.
    """
    clock, each = time.perf_counter_ns, repeat
    times, clean = [0] * groups, [False] * groups
    for group in range(groups):
        before = interruptions()
        rounds = each(None, calls)
        start = clock()
        for _ in rounds:
            action()
        times[group] = clock() - start
        clean[group] = interruptions() == before
    return times, clean


def clean_mean_us(times: list[int], clean: list[bool], calls: int) -> float:
    """Mean time of a call in µs over the groups that were not interrupted, or over all when every one was.

    A mean, since a median would not see work that only some calls do. What other processes do to the machine
    is no part of the file's time, and is told from the kernel's count of interruptions, not from how long a
    group took: leaving out the long ones would leave out calls that are long of themselves. Single calls, for
    percentiles, are all kept.
    """
    chosen = [time for time, good in zip(times, clean, strict=True) if good] or times
    return round(sum(chosen) / len(chosen) / calls / 1e3, 4)


def open_timed(
    index: int, wanted: dict[str, Any], open_model: Callable[..., Session], images: np.ndarray | None
) -> tuple[Timed, float, float]:
    """Open a file and run it once; without images, on generated ones of its own shape.

    Returns:
        The open file, the time to open it in ms, and the time of its first inference in ms (invoke alone).
    """
    start = time.perf_counter_ns()
    session = open_model(Path(wanted["path"]), threads=wanted["threads"])
    opened = time.perf_counter_ns()
    if images is None:
        images = generated(session.inputs, GENERATED_IMAGES * wanted["batch"])
    timed = Timed(index, session, images, wanted["batch"])
    native = session.to_native(timed.real(0))
    # Setting another shape makes the runtime plan its memory anew, which is no part of an inference.
    session.feed(native)
    fed = time.perf_counter_ns()
    session.invoke()
    first = time.perf_counter_ns()
    return timed, (opened - start) / 1e6, (first - fed) / 1e6


def warm_up(timed: Timed, alive: Callable[[], object] = lambda: None) -> None:
    """Run a file until it is warm, and note the time of a call (median of the later half).

    Args:
        timed: The open file.
        alive: Called after each call that takes long.
    """
    times: list[int] = []
    start = time.perf_counter_ns()
    while len(times) < WARM_UP_RUNS or time.perf_counter_ns() - start < WARM_UP_SECONDS * 1e9:
        timed.session.feed(timed.session.to_native(timed.real(len(times))))
        before = time.perf_counter_ns()
        timed.session.invoke()
        times.append(time.perf_counter_ns() - before)
        if times[-1] > LONG_CALL_SECONDS * 1e9:
            alive()
    timed.call_seconds = float(np.median(times[len(times) // 2 :])) / 1e9


def plan_cycles(call_seconds: Sequence[float], share_seconds: float, least_calls: int) -> int:
    """In how many cycles (blocks of every file) a process measures.

    As many as blocks of ``BLOCK_SECONDS`` fill each file's share of time; fewer and longer ones where a file
    is so slow that one call a block would take longer than its share; never fewer than the calls wanted of
    each file.
    """
    by_time = share_seconds / max(BLOCK_SECONDS, *call_seconds)
    return max(least_calls, 1, math.ceil(by_time))


def measure_block(timed: Timed, native: np.ndarray, block_seconds: float) -> None:
    """Time one block on one image (or batch): the mean time of a call, and single calls for percentiles."""
    invoke, call_seconds = timed.session.invoke, timed.call_seconds
    timed.session.feed(native)
    if call_seconds < REFILL_SECONDS:
        time_groups(invoke, 1, round(REFILL_SECONDS / call_seconds))
    if call_seconds < SINGLY_FROM_SECONDS:
        calls = math.ceil(GROUP_SECONDS / call_seconds)
        groups = math.ceil(block_seconds * GROUP_SHARE / (calls * call_seconds))
        times, clean = time_groups(invoke, groups, calls)
        timed.blocks_us.append(clean_mean_us(times, clean, calls))
        timed.measured_calls += groups * calls
        timed.measured_seconds += sum(times) / 1e9
        count = min(SINGLES_PER_BLOCK, math.ceil(block_seconds * (1 - GROUP_SHARE) / call_seconds))
        singles, _ = time_groups(invoke, count, 1)
    else:
        singles, clean = time_groups(invoke, math.ceil(block_seconds / call_seconds), 1)
        timed.blocks_us.append(clean_mean_us(singles, clean, 1))
    timed.singles_us.extend(time / 1e3 for time in singles)
    timed.measured_calls += len(singles)
    timed.measured_seconds += sum(singles) / 1e9


def measure_conversion(timed: Timed, cycle: int) -> None:
    """Time calls that quantize and feed a real image, run, fetch and dequantize: the mean of a block."""
    session = timed.session
    calls = max(1, min(SINGLES_PER_BLOCK, round(BLOCK_SECONDS / timed.call_seconds)))
    real = iter([timed.real(cycle + step) for step in range(calls)])

    def convert() -> None:
        session.feed(session.to_native(next(real)))
        session.invoke()
        session.from_native(session.fetch())

    timed.conversion_us.append(clean_mean_us(*time_groups(convert, calls, 1), 1))


class Run:
    """One job: the files of a process, opened, warmed and measured."""

    def __init__(self, job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        self.job, self.tell = job, tell
        self.order = random.Random(job["seed"])
        self.place = Place(job["place"])
        # Read into memory, so that no page of the file is fetched while something is timed.
        most = MOST_IMAGES * max(session["batch"] for session in job["sessions"])
        self.images = None if job["images"] is None else np.array(np.load(job["images"], mmap_mode="r")[:most])
        self.files: list[Timed] = []

    def attempt(self, index: int, action: Callable[..., Any], *arguments: Any) -> Any:
        """Do something with a file; what goes wrong is that file's failure."""
        self.place.set(index)
        try:
            return action(*arguments)
        except Exception as error:
            raise FileFailedError(index, in_one_line(error)) from error

    def alive(self) -> None:
        """Say that the work goes on."""
        self.tell({"event": "alive"})

    def open_all(self) -> None:
        """Open every file in random order, and tell load time and the time of the first inference."""
        module, _, function = self.job["opener"].partition(":")
        open_model = getattr(importlib.import_module(module), function)
        sessions = self.job["sessions"]
        indices = list(range(len(sessions)))
        self.order.shuffle(indices)
        # Whatever is opened first pays for importing the runtime: one file is opened before, untimed.
        self.attempt(indices[0], open_timed, indices[0], sessions[indices[0]], open_model, self.images)
        self.alive()
        for index in indices:
            timed, load_ms, first_ms = self.attempt(index, open_timed, index, sessions[index], open_model, self.images)
            self.files.append(timed)
            self.tell({"event": "opened", "index": index, "load_ms": load_ms, "first_ms": first_ms})

    def warm_all(self) -> None:
        """Warm every file."""
        for done, timed in enumerate(self.files):
            self.attempt(timed.index, warm_up, timed, self.alive)
            # Warming takes longer than measuring.
            self.tell({"event": "progress", "done": 0.6 * (done + 1) / len(self.files)})

    def measure_all(self) -> None:
        """Measure cycles of one block of each file in random order, until every file has its share."""
        share, least_calls = self.job["seconds"], self.job["calls"]
        cycles = plan_cycles([timed.call_seconds for timed in self.files], share, least_calls)
        with_conversion = {round(step * cycles / CONVERSION_CYCLES) for step in range(CONVERSION_CYCLES)}
        cycle = 0
        while cycle < cycles or (cycle < cycles * MOST_CYCLES_FACTOR and not self.enough()):
            self.order.shuffle(self.files)
            for timed in self.files:
                native = self.attempt(timed.index, timed.session.to_native, timed.real(cycle))
                self.attempt(timed.index, measure_block, timed, native, share / cycles)
                if cycle in with_conversion:
                    self.attempt(timed.index, measure_conversion, timed, cycle)
                if timed.call_seconds > LONG_CALL_SECONDS:
                    self.alive()
            cycle += 1
            self.tell({"event": "progress", "done": min(1.0, 0.6 + 0.4 * cycle / cycles)})

    def enough(self) -> bool:
        """Whether every file has its share of time and calls."""
        seconds, calls = self.job["seconds"], self.job["calls"]
        return all(one.measured_seconds >= seconds and one.measured_calls >= calls for one in self.files)

    def tell_times(self) -> None:
        """Tell what was measured."""
        for timed in self.files:
            self.tell(
                {
                    "event": "timed",
                    "index": timed.index,
                    "blocks_us": timed.blocks_us,
                    "singles_us": timed.singles_us,
                    "conversion_us": timed.conversion_us,
                    "calls": timed.measured_calls,
                    "seconds": timed.measured_seconds,
                }
            )


def run(job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Open, warm and measure all files of the job.

    Raises:
        FileFailedError: One of them cannot be opened, fed or run.
    """
    one = Run(job, tell)
    gc.disable()
    one.open_all()
    one.warm_all()
    gc.collect()
    gc.freeze()
    # Into the log, as everything on standard error.
    sys.stderr.write(f"{len(one.files)} sessions are warm, measuring begins\n")
    sys.stderr.flush()
    processor, wall = time.process_time(), time.perf_counter()
    one.measure_all()
    share = (time.process_time() - processor) / (time.perf_counter() - wall)
    one.tell_times()
    tell({"event": "done", "processor_share": share})


def main() -> int:
    """Run the job on standard input; 0 when all files were measured, 1 when one failed (which, is told)."""
    channel = os.fdopen(os.dup(1), "w")
    # Whatever the runtimes print goes to the log, not into the conversation.
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    try:
        run(json.load(sys.stdin), tell)
    except FileFailedError as error:
        tell({"event": "failed", "index": error.index, "reason": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    # Without the interpreter's own clean-up: some runtimes crash in it, and the measurements are all told.
    status = main()
    sys.stderr.flush()
    os._exit(status)
