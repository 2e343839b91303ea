"""How one open model file is timed: warm-up, blocks, groups of calls, single calls, calls with conversion.

Design, section 7. What is timed is any object with ``to_native``, ``feed``, ``invoke``, ``fetch`` and ``from_native``.
"""

from __future__ import annotations

import math
import resource
import time
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

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
# The asking process takes a worker that says nothing for some seconds to hang.
LONG_CALL_SECONDS = 1.0


@dataclass
class Timed:
    """An open file and what was timed so far: times in µs per call unless named otherwise."""

    index: int
    session: Any
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


def opened(
    index: int, open_session: Callable[[], Any], images: Callable[[Any], np.ndarray], batch: int
) -> tuple[Timed, float, float]:
    """Open a file and run it once.

    Args:
        index: Which of the files it is.
        open_session: Opens it.
        images: Gives real images float32 [n, …] for the open session.
        batch: Images in a call.

    Returns:
        The open file, the time to open it in ms, and the time of its first inference in ms (invoke alone).
    """
    start = time.perf_counter_ns()
    session = open_session()
    done = time.perf_counter_ns()
    timed = Timed(index, session, images(session), batch)
    native = session.to_native(timed.real(0))
    # Setting another shape makes the runtime plan its memory anew, which is no part of an inference.
    session.feed(native)
    fed = time.perf_counter_ns()
    session.invoke()
    first = time.perf_counter_ns()
    return timed, (done - start) / 1e6, (first - fed) / 1e6


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


def measure_cycles(
    files: list[Timed],
    share_seconds: float,
    least_calls: int,
    order: random.Random,
    *,
    attempt: Callable[..., Any] = lambda _, action, *arguments: action(*arguments),
    alive: Callable[[], object] = lambda: None,
    on_progress: Callable[[float], object] = lambda _: None,
) -> None:
    """Measure cycles of one block of each file in random order, until every file has its share.

    Args:
        files: Warm ones.
        share_seconds: Measured time of each file in this process.
        least_calls: Calls of each file in this process.
        order: Shuffles the files of each cycle.
        attempt: Does something with a file; what goes wrong is that file's failure.
        alive: Called after a file whose calls take long.
        on_progress: Gets the share of the cycles that is done, 0 to 1.
    """
    cycles = plan_cycles([timed.call_seconds for timed in files], share_seconds, least_calls)
    with_conversion = {round(step * cycles / CONVERSION_CYCLES) for step in range(CONVERSION_CYCLES)}

    def enough() -> bool:
        return all(one.measured_seconds >= share_seconds and one.measured_calls >= least_calls for one in files)

    cycle = 0
    while cycle < cycles or (cycle < cycles * MOST_CYCLES_FACTOR and not enough()):
        order.shuffle(files)
        for timed in files:
            native = attempt(timed, timed.session.to_native, timed.real(cycle))
            attempt(timed, measure_block, timed, native, share_seconds / cycles)
            if cycle in with_conversion:
                attempt(timed, measure_conversion, timed, cycle)
            if timed.call_seconds > LONG_CALL_SECONDS:
                alive()
        cycle += 1
        on_progress(min(1.0, cycle / cycles))
