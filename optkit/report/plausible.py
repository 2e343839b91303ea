"""Whether the figures of a report can be: a file that was changed or damaged by hand must not be drawn or judged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit import registry
from optkit.errors import InputError
from optkit.report.reference import baseline_of
from optkit.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from optkit.schema import Report, Variant

# No machine does more calls a second; a ratio beyond it is no measurement.
FASTEST = 1e9


def check_plausible(report: Report) -> None:
    """Stop at the first figure that optkit cannot have written.

    Raises:
        InputError: What was expected and found.
    """
    wrong = _wrong_in_report(report) or next((w for v in report.variants if (w := _wrong_in_file(v))), "")
    if wrong:
        raise InputError(f"{wrong}; the file was damaged or changed, run optkit again")


def _wrong_in_report(report: Report) -> str:
    if report.schema_version != SCHEMA_VERSION:
        return f"expected report.json of version {SCHEMA_VERSION}, found version {report.schema_version}"
    floors = [value for floor in report.noise_floor for value in (floor.low, floor.high)]
    if min(floors, default=1.0) <= 0:
        return f"expected a noise floor over 0, found {min(floors):g}"
    known = {registry.load("runtimes", name).FORMAT for name in registry.names("runtimes")}
    seen: set[tuple[str, str]] = set()
    for variant in report.variants:
        name = f"{variant.name}.{variant.format}"
        if variant.format not in known:
            return f"expected a format among {', '.join(sorted(known))}, found {name}"
        if (variant.name, variant.format) in seen:
            return f"expected each file once, found {name} twice"
        seen.add((variant.name, variant.format))
        compared = variant.latency is not None and variant.latency.speedup is not None
        if compared and baseline_of(report.variants, variant.format) is None:
            return f"expected a reference for the speed-up of {name}, found none"
    return ""


def _wrong_quality(variant: Variant, name: str) -> str:
    accuracy = variant.accuracy
    if accuracy is not None and not 0 <= accuracy.correct <= max(accuracy.total, 1) <= accuracy.total:
        return f"expected an accuracy of {name} from 0 to all images, found {accuracy.correct} of {accuracy.total}"
    for errors in (variant.errors, variant.errors_validation):
        if errors is None:
            continue
        low, high = (0.0, math.inf) if errors.mae_ci95 is None else errors.mae_ci95
        # The root of the mean square is never under the mean; rounding may make it seem so.
        if not (errors.total >= 1 and 0 <= low <= errors.mae <= high and errors.mae <= errors.rmse * (1 + 1e-6)):
            return f"expected errors of {name} from 0 on, the mean within its interval, found {errors.mae:g}"
    return ""


def _wrong_in_file(variant: Variant) -> str:
    name = f"{variant.name}.{variant.format}"
    size, latency = variant.size, variant.latency
    wrong = _wrong_quality(variant, name)
    if wrong:
        return wrong
    if size is not None and min(size.file_bytes, size.gzip_bytes) < 1:
        return f"expected bytes of {name} over 0, found {size.file_bytes} and {size.gzip_bytes} compressed"
    if latency is None:
        return ""
    times = [latency.p50_us, latency.min_us, *(block for process in latency.blocks_us for block in process)]
    if min(times) <= 0 or not all(latency.blocks_us) or not latency.blocks_us:
        return f"expected times of {name} over 0 in every process, found {min(times):g} µs as the least"
    speedup = latency.speedup
    if speedup is not None and not 1 / FASTEST < speedup.ci95[0] <= speedup.ratio <= speedup.ci95[1] < FASTEST:
        return f"expected a speed-up of {name} over 0 and within its interval, found {speedup.ratio:g}"
    return ""
