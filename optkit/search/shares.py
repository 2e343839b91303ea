"""How much of a network can go: the share that is left is bisected between too little and too much."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from optkit import recipes, registry
from optkit.search.probes import Known, Probe, params_of, probes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Recipe
    from optkit.search.budget import Budget

STAGE = "amounts"
ROUNDS = 3
LARGEST, LEAST = 0.95, 0.002
# Shares that are nearer to each other than this give networks of nearly the same size.
NEAR = 1.25


def next_recipes(known: Sequence[Known], budget: Budget, batch: int) -> list[Recipe]:
    """The next amounts to try, ``batch`` of them; none when the boundary is known well enough."""
    if "shrink" not in registry.names("techniques"):
        return []
    axis = axis_of(budget)
    found = probes(known, axis, stage=STAGE)
    if len(found) >= ROUNDS * batch:
        return []
    most = LARGEST if budget.limit("size") is None else largest_share(known, budget)
    wanted = next_shares(found, prefer=budget.prefer, start=start_share(known, budget), most=most, batch=batch)
    return [recipes.parse(f"shrink:{axis}={share}+int8") for share in wanted]


def axis_of(budget: Budget) -> str:
    """What shares are of: arithmetic where only time is limited, else weights."""
    return "macs" if budget.limit("latency") is not None and budget.limit("size") is None else "parameters"


def next_shares(
    found: Sequence[Probe], *, prefer: str, start: float, most: float = LARGEST, batch: int = 2
) -> list[float]:
    """The next shares to try.

    The smaller the share, the smaller and faster the file, and the larger its drop. Where the most accurate file is
    wanted, the boundary looked for is the largest share that is small and fast enough; else it is the smallest that is
    still good enough. Each round cuts what is between the two sides in equal ratios, one more than it tries.

    Args:
        found: What is known, by growing share.
        prefer: What is wanted.
        start: Where to begin: about the largest share that can be within the limits.
        most: About the largest share whose file is small enough: more than that is not worth trying.
        batch: How many.
    """
    if not found:
        least = start / 4 if prefer != "accuracy" else start * 0.7
        steps = max(1, batch - 1)
        return _apart([start * (least / start) ** (step / steps) for step in range(batch)])
    if any(one.made and not one.small_enough and not one.good_enough for one in found):
        # What is small enough is not good enough, and here it is neither: only training otherwise may help.
        return []
    if prefer == "accuracy":
        good = [one.share for one in found if one.small_enough and one.made]
        low = max(good, default=LEAST)
        high = min((one.share for one in found if one.share > low and not one.small_enough), default=most)
    else:
        good = [one.share for one in found if one.good_enough and one.small_enough]
        high = min(good, default=most)
        low = max((one.share for one in found if one.share < high and not one.good_enough), default=LEAST)
    if high / low <= NEAR:
        return []
    ratio = (high / low) ** (1 / (batch + 1))
    known = [one.share for one in found]
    return [one for one in _apart([low * ratio**step for step in range(1, batch + 1)]) if one not in known]


def start_share(known: Sequence[Known], budget: Budget) -> float:
    """The share of weights whose int8 file has about the size that is allowed; a half where no size is limited."""
    limit = budget.limit("size")
    sizes = {(one.name, one.format): one.file_bytes for known_one in known for one in known_one.files if one.file_bytes}
    for (name, file_format), small in sizes.items():
        if limit is not None and name == "int8" and ("fp32", file_format) in sizes:
            whole = sizes["fp32", file_format]
            # A weight takes four bytes and one: of two files of the same network that leaves what is no weight.
            weights = max(1.0, (whole - small) / 3)
            rest = max(0.0, small - weights)
            # Most of the rest are biases and scales of channels, of which there are as many as the root of weights.
            root = (math.sqrt(rest**2 + 4 * weights * limit.limit) - rest) / (2 * weights)
            return min(LARGEST, max(LEAST, root**2 * 0.97))
    return 0.5


def largest_share(known: Sequence[Known], budget: Budget) -> float:
    """As ``start_share``, from the files of shrunk networks where there are some on both sides of the limit."""
    limit, axis = budget.limit("size"), axis_of(budget)
    sizes = sorted(
        (float(params[axis]), float(best.file_bytes))
        for one in known
        if (params := params_of(one.recipe, "shrink")) is not None
        and params.get(axis) is not None
        and (best := one.best) is not None
        and best.file_bytes
    )
    if limit is not None:
        for (low, small), (high, large) in pairwise(sizes):
            if small <= limit.limit < large:
                return low + (high - low) * (limit.limit - small) / (large - small) * 0.98
        for share, size in reversed(sizes):
            if size <= limit.limit:
                # A file grows by no more than its network does.
                return min(LARGEST, max(start_share(known, budget), share * limit.limit / size * 0.98))
    return start_share(known, budget)


def _apart(shares: Sequence[float]) -> list[float]:
    """Shares in two digits, within what can be asked for, each once."""
    rounded = [min(LARGEST, max(LEAST, _two_digits(one))) for one in shares]
    return sorted(dict.fromkeys(rounded))


def _two_digits(share: float) -> float:
    return float(f"{share:.2g}") if share > 0 and math.isfinite(share) else LEAST
