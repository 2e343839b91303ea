"""Figures of timed files: medians, speed-ups with their intervals, noise floor, and what makes them doubtful."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from optkit import registry, statistics
from optkit.schema import Latency, NoiseFloor, ScalingPoint, Speedup, Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.measure.latency import FileTimes, LatencyResult

# Below this share of a core's time something else was running; the figures are then worth a warning.
BUSY_BELOW = 0.95
# A noise floor wider than 5 % hides differences that people care about.
WIDE_FLOOR = 1.05
# The same file's blocks at the start and the end of a process, or in two processes: beyond this the clock of the
# processor, or other load, has changed.
DRIFT = 1.10


def summarize(result: LatencyResult, path: Path | str, *, wanted_width: float | None = None) -> Latency:
    """The figures of one file.

    Args:
        result: Of ``measure_latency``.
        path: A file that it measured.
        wanted_width: Relative half width that was wanted of the speed-up's interval; a wider one is a doubt.

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
        speedup = _speedup(result.times[result.baseline], times, result)
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
        doubts=_own_doubts(times, speedup, wanted_width),
    )


def scaling(result: LatencyResult, path: Path | str) -> list[ScalingPoint]:
    """Images per second of one file at every batch and number of threads, the headline's first.

    Ratios are of blocks in the same cycles. The interval of ``images_per_second`` is that of a file's own blocks,
    resampled over processes and blocks as a ratio's.
    """
    headline = result.times[str(path)]
    others = [other for other in result.scaled if other.path == str(path)]
    return [
        _point(headline, result.threads, result.batch, result, None),
        *(_point(other.times, other.threads, other.batch, result, headline) for other in others),
    ]


def _point(
    times: FileTimes, threads: int, batch: int, result: LatencyResult, headline: FileTimes | None
) -> ScalingPoint:
    # Against a clock that ticks once for every image: its blocks take exactly ``batch`` seconds.
    clock = [[batch * 1e6] * len(process) for process in times.blocks_us]
    rate, low, high = statistics.ratio_interval(clock, times.blocks_us, result.seed)
    throughput = None
    if headline is not None:
        per_image = [[block * batch / result.batch for block in process] for process in headline.blocks_us]
        ratio, least, most = statistics.ratio_interval(per_image, times.blocks_us, result.seed)
        throughput = Speedup(ratio, (least, most), statistics.speed_verdict((least, most), _floor(result)))
    return ScalingPoint(batch, threads, _headline(times.blocks_us), rate, (low, high), throughput)


def noise_floor(result: LatencyResult) -> NoiseFloor | None:
    """The speed ratios that mean nothing on this machine now; ``None`` when the baseline failed."""
    floor = _floor(result)
    if floor is None:
        return None
    return NoiseFloor(registry.format_of(Path(result.baseline)), *floor)


def widest(result: LatencyResult) -> float | None:
    """The widest relative half width of the speed-ups' intervals, the baseline against its copy among them.

    ``None`` when the baseline failed, so that nothing was compared.
    """
    if result.copy is None or result.baseline not in result.times:
        return None
    base = result.times[result.baseline]
    others = [times for path, times in result.times.items() if path != result.baseline]
    found = [statistics.ratio_interval(base.blocks_us, one.blocks_us, result.seed) for one in (result.copy, *others)]
    return max(half_width(low, high) for _, low, high in found)


def half_width(low: float, high: float) -> float:
    """Relative half width of a ratio's interval: 0.02 for [0.98, 1.02] as for [1.96, 2.04]."""
    return math.exp(math.log(high / low) / 2) - 1


def until_narrow(width: float, most_seconds: float) -> Callable[[LatencyResult], bool]:
    """Measure on while an interval is wider than wanted and there is time for one more process."""

    def go_on(result: LatencyResult) -> bool:
        reached = widest(result)
        if reached is None or reached <= width:
            return False
        processes = len(next(iter(result.times.values())).blocks_us)
        return result.seconds * (processes + 1) / processes <= most_seconds

    return go_on


def stopping(result: LatencyResult, wanted_width: float | None) -> Stopping:
    """Why measuring ended."""
    reached = widest(result)
    processes = max((len(times.blocks_us) for times in result.times.values()), default=0)
    file_format = registry.format_of(Path(result.baseline))
    if wanted_width is None:
        return Stopping(file_format, "fixed", processes, result.seconds, None, reached)
    narrow = reached is not None and reached <= wanted_width
    reason = "narrow enough" if narrow else "time is up"
    return Stopping(file_format, reason, processes, result.seconds, wanted_width, reached)  # type: ignore[arg-type]  # a literal


def doubts(result: LatencyResult) -> list[str]:
    """What makes all figures of a run less sure than they look, in sentences for the reader."""
    found = []
    # With several threads a process can have more than one core's time, and waits for the slowest in any
    # case.
    share = min(result.processor_share, default=1.0)
    if result.threads == 1 and not result.scaled and share < BUSY_BELOW:
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
    drift = _drift(result)
    if drift > DRIFT:
        found.append(
            f"the machine's speed changed while it was measured, by {drift - 1:.0%} for the very same file "
            "(the processor's frequency, or other load): times are less certain than speed-ups, which are of "
            "paired blocks"
        )
    return found


def _own_doubts(times: FileTimes, speedup: Speedup | None, wanted_width: float | None) -> list[str]:
    """What makes the figures of one file doubtful."""
    found = []
    if wanted_width is not None and speedup is not None:
        reached = half_width(*speedup.ci95)
        if reached > wanted_width:
            found.append(
                f"too few samples for the wanted width: ±{reached:.1%} where ±{wanted_width:.1%} was wanted; "
                "measure longer"
            )
    medians = [median(process) for process in times.blocks_us]
    if max(medians) > DRIFT * min(medians):
        found.append(
            f"its time differs by {max(medians) / min(medians) - 1:.0%} between processes "
            f"({_three_digits(min(medians))} to {_three_digits(max(medians))} µs)"
        )
    return found


def _three_digits(time_us: float) -> str:
    """A time as ``39.1``, ``125`` or ``2,340``: more digits are noise of the machine."""
    return f"{time_us:,.{2 if time_us < 10 else 1 if time_us < 100 else 0}f}"


def _drift(result: LatencyResult) -> float:
    """Largest ratio between the speeds of the baseline in the thirds of the processes: 1.0 for a steady machine."""
    base = result.times.get(result.baseline)
    if base is None:
        return 1.0
    thirds = []
    for process in base.blocks_us:
        size = max(1, len(process) // 3)
        thirds += [median(process[start : start + size]) for start in range(0, len(process) - size + 1, size)]
    return max(thirds) / min(thirds)


def _headline(blocks: Sequence[Sequence[float]]) -> float:
    return median(median(process) for process in blocks)


def _speedup(reference: FileTimes, times: FileTimes, result: LatencyResult) -> Speedup:
    ratio, low, high = statistics.ratio_interval(reference.blocks_us, times.blocks_us, result.seed)
    return Speedup(ratio, (low, high), statistics.speed_verdict((low, high), _floor(result)))


def _floor(result: LatencyResult) -> tuple[float, float] | None:
    if result.copy is None or result.baseline not in result.times:
        return None
    reference = result.times[result.baseline].blocks_us
    _, low, high = statistics.ratio_interval(reference, result.copy.blocks_us, result.seed)
    return statistics.noise_floor(low, high)
