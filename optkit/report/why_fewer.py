"""Surprises of files with fewer weights or less arithmetic than the reference: other things do not fall as much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report.wording import count, listed, microseconds, speedup, times
from optkit.schema import Why

if TYPE_CHECKING:
    from optkit.readback import ModelFacts
    from optkit.schema import Variant

# A ratio that is smaller than another by less than this is about what one would expect.
_CLEARLY = 1.5
_WEIGHTS = {"weights", "biases"}


def rest_stays(variant: Variant, baseline: Variant | None) -> Why | None:
    """The file falls less than its weights, because most of it is something else."""
    if baseline is None or variant.size is None or baseline.size is None:
        return None
    now, before = variant.size, baseline.size
    if now.file_bytes >= before.file_bytes or now.overhead_bytes <= now.weight_bytes or now.weight_bytes == 0:
        return None
    of_weights, of_file = before.weight_bytes / now.weight_bytes, before.file_bytes / now.file_bytes
    if of_weights < _CLEARLY * of_file:
        return None
    others = sorted(((n, kind) for kind, n in now.bytes_by_kind.items() if kind not in _WEIGHTS and n), reverse=True)
    parts = listed([f"{kind.replace('_', ' ')} {count(n)}" for n, kind in others])
    return Why(
        "most of the file is not weights",
        f"Weights went from {count(before.weight_bytes)} to {count(now.weight_bytes)} bytes ({times(of_weights)} "
        f"smaller), the file from {count(before.file_bytes)} to {count(now.file_bytes)} ({times(of_file)}): "
        f"{count(now.overhead_bytes)} bytes of it are {parts}, which fewer weights do not make smaller.",
    )


def less_than_arithmetic(variant: Variant, baseline: Variant | None, facts: ModelFacts, slow: float) -> Why | None:
    """The time falls less than the multiply-accumulates.

    Args:
        variant: The file.
        baseline: What it is compared with.
        facts: Of the file.
        slow: Multiply-accumulates per microsecond below which the call itself takes most of the time.
    """
    if baseline is None or variant.compute is None or baseline.compute is None or variant.latency is None:
        return None
    now, before, value = variant.compute.macs, baseline.compute.macs, variant.latency.speedup
    # Where the arithmetic is about the same, it is no cause.
    if not now or not before or value is None or before / now < _CLEARLY * max(1.0, value.ci95[1]):
        return None
    rate = now / variant.latency.p50_us
    if rate < slow and value.verdict != "better":
        # The call that costs more than the arithmetic is a cause of its own.
        return None
    if rate < slow:
        rest = f"most of what is left goes to the call and its {len(facts.operators)} operators, not fewer"
    else:
        widths = [one.values.shape[one.channel_axis] for one in facts.constants if one.channel_axis is not None]
        rest = (
            f"narrow layers use a processor's vectors less (the narrowest of {len(widths)} has {min(widths)} channels)"
            if widths
            else "smaller operators keep a processor less busy"
        )
    return Why(
        "time falls less than arithmetic",
        f"Multiply-accumulates went from {count(before)} to {count(now)} ({times(before / now)} fewer), the time to "
        f"{microseconds(variant.latency.p50_us)} ({speedup(value)} of the reference's speed): {rest}.",
    )
