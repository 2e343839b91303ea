"""What validation data can show of a drop, and how a file stands to each limit: by intervals, not by luck."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit import drop as drops
from optkit.search.budget import DROP_OPTION, Budget
from optkit.search_record import Limit, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.drop import Drop
    from optkit.quality import Interval


def evidence(budget: Budget, examples: int) -> tuple[float | None, str]:
    """The smallest drop that the data can show, and the sentence about it.

    Raises:
        InputError: The limit is smaller.
    """
    return drops.evidence(DROP_OPTION, budget.limit("drop"), examples)


def standings(
    limits: Sequence[Limit], drop: Drop | None, file_bytes: int, p50_ci95_us: Interval | None
) -> list[Standing]:
    """How a file stands to each limit; what was not measured is not met.

    Args:
        limits: The limits.
        drop: Its drop; that of the reference itself is 0 without doubt.
        file_bytes: Its size.
        p50_ci95_us: The interval of its time.
    """
    held: dict[str, float | None] = {
        "drop": None if drop is None else drop.ci95[1],
        "size": float(file_bytes),
        "latency": None if p50_ci95_us is None else p50_ci95_us[1],
    }
    found = []
    for limit in limits:
        value = held[limit.name]
        if value is None or not math.isfinite(value):
            found.append(Standing(limit.name, None, None, met=False))
        else:
            found.append(Standing(limit.name, value, max(0.0, value) / limit.limit, met=value <= limit.limit))
    return found
