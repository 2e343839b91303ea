"""Small networks of optkit's own that the model teaches: the smallest that is still good enough is bisected."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from optkit import recipes, registry
from optkit.search.probes import Known, params_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Recipe
    from optkit.search.budget import Budget

STAGE = "students"
# The KiB that the int8 files of these networks are made for, with pictures of 28x28 and ten classes, is in their names.
FAMILY = "tiny-"
# Mild enough for any picture; the teacher is asked once about each of four rounds.
TRAINING = "epochs=12,copies=4,learning_rate=0.006,rotation=10.0,shift=0.055,zoom=0.1"


class _Tried(NamedTuple):
    """A student's file: whether it is within the limits of size and time, and within that of the drop."""

    small_enough: bool
    good_enough: bool


def next_recipes(known: Sequence[Known], budget: Budget, batch: int) -> list[Recipe]:
    """The next students to teach, at most ``batch``; none when the boundary is known, or none fits the data.

    Args:
        known: All recipes tried.
        budget: What is wanted.
        batch: How many.
    """
    if "distill" not in registry.names("techniques"):
        return []
    tried: dict[str, _Tried] = {}
    for one in known:
        if one.stage != STAGE:
            continue
        best = one.best
        if best is None:
            # Another size takes these data no better.
            return []
        met = {standing.name: standing.met for standing in best.standings}
        student = str((params_of(one.recipe, "distill") or {}).get("student"))
        tried[student] = _Tried(met.get("size", True) and met.get("latency", True), met.get("drop", True))
    wanted = _next(_family(budget), tried, accurate=budget.prefer == "accuracy", batch=batch)
    return [recipes.parse(f"distill:student={name},{TRAINING}+int8") for name in wanted]


def _family(budget: Budget) -> list[str]:
    """Students by growing size, those that can be small enough."""
    limit = budget.limit("size")
    kib = {int(name.removeprefix(FAMILY)[:-1]): name for name in registry.names("baselines") if name.startswith(FAMILY)}
    return [kib[size] for size in sorted(kib) if limit is None or size << 10 <= limit.limit]


def _next(family: Sequence[str], tried: dict[str, _Tried], *, accurate: bool, batch: int) -> list[str]:
    """The next of a family to try.

    A larger student is better and slower. Where the most accurate is wanted, the boundary looked for is the largest
    that is small and fast enough; else it is the smallest that is good enough.
    """
    places = {name: place for place, name in enumerate(family)}
    low, high = -1, len(family)
    for name, found in tried.items():
        if name not in places:
            continue
        if found.small_enough if accurate else not found.good_enough:
            low = max(low, places[name])
        else:
            high = min(high, places[name])
    between = [name for name in family[low + 1 : high] if name not in tried]
    return between[-batch:] if accurate else _spread(between, batch)


def _spread(names: Sequence[str], count: int) -> list[str]:
    """So many of them, the last one and others at equal distances below it."""
    if len(names) <= count:
        return list(names)
    return [names[round((step + 1) * len(names) / count) - 1] for step in range(count)]
