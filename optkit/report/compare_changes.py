"""What changed between two files of two reports, each change with its doubt, or with why it cannot be known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct

from optkit import statistics
from optkit.report.reference import baseline_of
from optkit.schema import Comparison, Interval, Speedup

if TYPE_CHECKING:
    from optkit.schema import Environment, Report, Variant

# Files of equal structure differed by up to 2.8 % and 135 kB in peak memory between two runs on one machine: the
# kernel counts pages, and allocators round.
MEMORY_SHARE = 0.05
MEMORY_LEAST_BYTES = 262_144.0
SAME_FILE = "same file (equal SHA-256)"
_REMEASURE = "--remeasure times both files here"


class Change(Struct, frozen=True):
    """New less old.

    Attributes:
        value: A fraction for accuracy and p50 (p50: of the old time), the unit of the values for the mean absolute
            error, bytes or a count for the rest; ``None`` when it cannot be known.
        ci95: Interval of ``value``; ``None`` when it is exact.
        old: The old figure that a relative limit refers to; ``None`` for accuracy and p50.
        noise: Values that mean nothing on the machine that measured, where they were looked for.
        how: How the change is known, or why it is not.
    """

    value: float | None
    ci95: Interval | None
    how: str
    old: float | None = None
    noise: Interval | None = None


class Remeasured(Struct, frozen=True):
    """Old and new file measured here, interleaved.

    Attributes:
        speedup: Old file's time / new file's time; ``None`` when measuring failed.
        noise: Speed ratios that mean nothing: the old file against itself.
        inputs: What the files were run on.
        answers: Paired comparison on the test set, old file as the reference; ``None`` where it could not be made.
        failure: Why there are no times.
    """

    speedup: Speedup | None = None
    noise: Interval | None = None
    old_p50_us: float | None = None
    new_p50_us: float | None = None
    inputs: str = ""
    answers: Comparison | None = None
    total: int | None = None
    failure: str | None = None


def same_file(old: Variant | None, new: Variant | None) -> bool:
    """Whether both are known to be the same bytes."""
    return old is not None and new is not None and old.sha256 is not None and old.sha256 == new.sha256


def newcombe_interval(old_correct: int, old_total: int, new_correct: int, new_total: int) -> Interval:
    """95 % interval of the difference of two unpaired proportions (new less old), as fractions.

    Source: Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine
    17 (1998) 873-890, method 10: Wilson's intervals of the two, their distances from the estimates squared and added.
    For answers to the same questions it is too wide, since agreement is not counted on: it errs towards doubt.

    Raises:
        ValueError: The counts are not of that kind.
    """
    old, new = old_correct / old_total, new_correct / new_total
    old_low, old_high = statistics.wilson_interval(old_correct, old_total)
    new_low, new_high = statistics.wilson_interval(new_correct, new_total)
    difference = new - old
    return difference - math.hypot(new - new_low, old_high - old), difference + math.hypot(
        new_high - new, old - old_low
    )


def time_change(old: Speedup, new: Speedup) -> tuple[float, Interval]:
    """Change of time as a fraction of the old time, with its 95 % interval, from speed-ups over one reference.

    The ratio of the speed-ups is the ratio of the times: the reference cancels. Its interval on the log scale adds
    the squared distances of the two intervals from their estimates, side by side, as the two runs are independent:
    Zou and Donner, Construction of confidence limits about effect measures, Statistics in Medicine 27 (2008).

    Args:
        old: Reference's time / old file's time, in the old run; over 0.
        new: Reference's time / new file's time, in the new run; over 0.
    """
    centre = math.log(old.ratio / new.ratio)
    low = centre - math.hypot(math.log(old.ratio / old.ci95[0]), math.log(new.ci95[1] / new.ratio))
    high = centre + math.hypot(math.log(old.ci95[1] / old.ratio), math.log(new.ratio / new.ci95[0]))
    return math.expm1(centre), (math.expm1(low), math.expm1(high))


def changes(
    old: Variant, new: Variant, old_report: Report, new_report: Report, remeasured: Remeasured | None = None
) -> dict[str, Change]:
    """Every change that a condition can name, by metric.

    Args:
        old: A file of the old report.
        new: The file of that name and format in the new one.
        old_report: Where the old file is from.
        new_report: Where the new file is from.
        remeasured: Both files measured here; the times of the reports are then left aside.
    """
    before, after = old.size, new.size
    sizes = None if before is None or after is None else (before, after)
    counted = {
        "file_bytes": None if sizes is None else (sizes[0].file_bytes, sizes[1].file_bytes),
        "gzip_bytes": None if sizes is None else (sizes[0].gzip_bytes, sizes[1].gzip_bytes),
        "macs": _macs(old, new),
    }
    found = {
        metric: _unknown(f"{metric} is not in both reports")
        if values is None
        else Change(values[1] - values[0], None, "exact", old=values[0])
        for metric, values in counted.items()
    }
    found["accuracy"] = _accuracy(old, new, old_report, new_report, remeasured)
    found["mae"] = _error(old, new, old_report, new_report)
    found["p50"] = _time(old, new, old_report, new_report, remeasured)
    found["peak_rss_bytes"] = _memory(old, new, old_report, new_report)
    return found


def _unknown(reason: str) -> Change:
    return Change(None, None, reason)


def _macs(old: Variant, new: Variant) -> tuple[int, int] | None:
    before = None if old.compute is None else old.compute.macs
    after = None if new.compute is None else new.compute.macs
    return None if before is None or after is None else (before, after)


def _accuracy(
    old: Variant, new: Variant, old_report: Report, new_report: Report, remeasured: Remeasured | None
) -> Change:
    if remeasured is not None and remeasured.answers is not None and remeasured.total:
        versus = remeasured.answers
        value = (versus.gained - versus.lost) / remeasured.total
        return Change(value, versus.difference_ci95, f"answered again here, {_flips(versus.lost, versus.gained)}")
    before, after = old.accuracy, new.accuracy
    hindrance = _other_questions(old, new, old_report, new_report)
    if hindrance or before is None or after is None:
        return _unknown(hindrance)
    value = (after.correct - before.correct) / after.total
    if same_file(old, new) and value == 0:
        return Change(0.0, None, SAME_FILE)
    paired = _paired(old, new, old_report, new_report)
    if paired is not None:
        lost, gained = paired
        interval = statistics.difference_interval(lost, gained, after.total)
        return Change(value, interval, f"paired by the flips of both reports, {_flips(lost, gained)}")
    interval = newcombe_interval(before.correct, before.total, after.correct, after.total)
    return Change(value, interval, "from the counts, unpaired (Newcombe)")


def _error(old: Variant, new: Variant, old_report: Report, new_report: Report) -> Change:
    """Change of the mean absolute error; reports do not list each example's error, so it is never paired.

    The interval adds the squared distances of the two intervals from their estimates (Zou and Donner, 2008, as for
    times). For the same examples it is too wide, since errors go together: it errs towards doubt.
    """
    before, after = old.errors, new.errors
    if before is None or after is None:
        return _unknown("the mean absolute error was not measured in both reports")
    hindrance = _other_data(before.total, after.total, old_report, new_report)
    if hindrance:
        return _unknown(hindrance)
    value = after.mae - before.mae
    if same_file(old, new) and value == 0:
        return Change(0.0, None, SAME_FILE, old=before.mae)
    if before.mae_ci95 is None or after.mae_ci95 is None:
        return _unknown("of a single example there is no interval")
    low = value - math.hypot(after.mae - after.mae_ci95[0], before.mae_ci95[1] - before.mae)
    high = value + math.hypot(after.mae_ci95[1] - after.mae, before.mae - before.mae_ci95[0])
    return Change(value, (low, high), "from the two means, unpaired", old=before.mae)


def _other_questions(old: Variant, new: Variant, old_report: Report, new_report: Report) -> str:
    """Why the two accuracies are not of the same images; empty when they are."""
    if old.accuracy is None or new.accuracy is None:
        return "accuracy was not measured in both reports"
    return _other_data(old.accuracy.total, new.accuracy.total, old_report, new_report)


def _other_data(old_total: int, new_total: int, old_report: Report, new_report: Report) -> str:
    """Why two files were not asked the same questions; empty when they were."""
    if old_report.data is None or new_report.data is None or old_report.data.sha256 != new_report.data.sha256:
        return "the reports are of different data (SHA-256)"
    if old_total != new_total:
        return f"the test sets differ: {old_total:,} and {new_total:,} images"
    return ""


def _flips(lost: int, gained: int) -> str:
    return f"{lost:,} lost, {gained:,} gained"


def _paired(old: Variant, new: Variant, old_report: Report, new_report: Report) -> tuple[int, int] | None:
    """Images lost and gained by the new file, where both reports list how each differs from one and the same baseline.

    ``None`` where the baselines are not the same file with the same score, or a list is cut short.
    """
    first, second = baseline_of(old_report.variants, old.format), baseline_of(new_report.variants, new.format)
    if first is None or second is None or not same_file(first, second):
        return None
    if first.accuracy is None or second.accuracy is None or first.accuracy.confusion != second.accuracy.confusion:
        return None
    before, after = _against_baseline(old, first), _against_baseline(new, second)
    if before is None or after is None or old.accuracy is None or new.accuracy is None:
        return None
    steps = [after.get(index, 0) - before.get(index, 0) for index in before.keys() | after.keys()]
    lost, gained = steps.count(-1), steps.count(1)
    # A step of two would be an image that the baseline gets right in one report and wrong in the other.
    if any(abs(step) > 1 for step in steps) or gained - lost != new.accuracy.correct - old.accuracy.correct:
        return None
    return lost, gained


def _against_baseline(variant: Variant, baseline: Variant) -> dict[int, int] | None:
    """1 for an image that the file gets right and its baseline wrong, -1 for the reverse; ``None`` if any lacks."""
    if variant is baseline:
        return {}
    versus = None if variant.accuracy is None else variant.accuracy.versus_baseline
    if versus is None:
        return None
    found = {flip.index: (flip.answer == flip.label) - (flip.baseline == flip.label) for flip in variant.flips}
    kinds = list(found.values())
    # Lists are cut at so many images; the counts are not.
    return found if (kinds.count(-1), kinds.count(1)) == (versus.lost, versus.gained) else None


def _time(old: Variant, new: Variant, old_report: Report, new_report: Report, remeasured: Remeasured | None) -> Change:
    if remeasured is not None:
        return Change(0.0, None, SAME_FILE) if same_file(old, new) else _time_again(remeasured)
    runtime = _other_runtime(old, new)
    if not runtime and same_file(old, new):
        return Change(0.0, None, SAME_FILE)
    first, second = baseline_of(old_report.variants, old.format), baseline_of(new_report.variants, new.format)
    hindrance = (
        runtime
        or _other_setting(old, new)
        or _other_processor(old_report.environment, new_report.environment)
        or _other_reference(first, second)
    )
    if hindrance or first is None or second is None:
        return _unknown(f"{hindrance}; {_REMEASURE}")
    before, after = _speedup(old, first), _speedup(new, second)
    if before is None or after is None:
        return _unknown(f"speed-ups were not measured in both reports; {_REMEASURE}")
    value, interval = time_change(before, after)
    how = f"from the speed-ups over one {first.name}.{first.format}"
    return Change(value, interval, how, noise=_noise(old.format, old_report, new_report))


def _time_again(remeasured: Remeasured) -> Change:
    speedup = remeasured.speedup
    if speedup is None:
        return _unknown(f"not measured again: {remeasured.failure or 'no time'}")
    low, high = speedup.ci95
    noise = None if remeasured.noise is None else (1 / remeasured.noise[1] - 1, 1 / remeasured.noise[0] - 1)
    return Change(
        1 / speedup.ratio - 1, (1 / high - 1, 1 / low - 1), f"measured again here on {remeasured.inputs}", noise=noise
    )


def _speedup(variant: Variant, baseline: Variant) -> Speedup | None:
    if variant is baseline:
        return Speedup(1.0, (1.0, 1.0), "no measurable difference")
    return None if variant.latency is None else variant.latency.speedup


def _noise(file_format: str, old: Report, new: Report) -> Interval | None:
    """Changes of time that mean nothing over both runs: the noise floors are independent, their squares add."""
    widths = []
    for report in (old, new):
        floor = next((floor for floor in report.noise_floor if floor.format == file_format), None)
        if floor is None:
            return None
        widths.append(max(abs(math.log(floor.low)), abs(math.log(floor.high))))
    width = math.hypot(*widths)
    return math.expm1(-width), math.expm1(width)


def _other_reference(old: Variant | None, new: Variant | None) -> str:
    """Why the two speed-ups are not over the same file; empty when they are."""
    if old is None or new is None:
        return "there is no reference file in both reports"
    if old.sha256 is None or new.sha256 is None:
        return f"the reference {old.name}.{old.format} has no SHA-256 in both reports"
    if old.sha256 == new.sha256:
        return ""
    return (
        f"the reference {old.name}.{old.format} is another file in each report "
        f"(SHA-256 {old.sha256[:8]}… and {new.sha256[:8]}…)"
    )


def _other_setting(old: Variant, new: Variant) -> str:
    """Why the two times are not of the same thing; empty when they are."""
    if old.latency is None or new.latency is None:
        return "speed was not measured in both reports"
    one, two = ((latency.threads, latency.batch) for latency in (old.latency, new.latency))
    if one == two:
        return ""
    return f"speed was measured with {one[0]} threads at batch {one[1]} and with {two[0]} at batch {two[1]}"


def _other_runtime(old: Variant, new: Variant) -> str:
    """How the runtimes differ (name and version): what runs a file is then another program, also for the same file."""
    return "" if old.runtime == new.runtime else f"the runtimes differ: {old.runtime} and {new.runtime}"


def _other_processor(old: Environment, new: Environment) -> str:
    if old.cpu_model != new.cpu_model:
        return f"the processors differ: {old.cpu_model} and {new.cpu_model}"
    if set(old.cpu_flags) != set(new.cpu_flags):
        return f"the processors differ: both {old.cpu_model}, but not with the same instructions"
    return ""


def _memory(old: Variant, new: Variant, old_report: Report, new_report: Report) -> Change:
    if old.memory is None or new.memory is None:
        return _unknown("memory was not measured in both reports")
    before, after = old.memory.peak_rss_bytes, new.memory.peak_rss_bytes
    # Kernels and how they arrange weights follow the runtime and the processor.
    reason = _other_runtime(old, new)
    reason = reason or _other_processor(old_report.environment, new_report.environment)
    if reason:
        return _unknown(reason)
    if same_file(old, new):
        return Change(0, None, SAME_FILE, old=before)
    margin = max(MEMORY_SHARE * before, MEMORY_LEAST_BYTES)
    how = "approximate: within 5 % or 256 KiB two runs may differ by chance"
    return Change(after - before, (after - before - margin, after - before + margin), how, old=before)
