"""What a search knows: the recipes tried with their files, and what the shrunk ones among them say of amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from optkit import recipes
from optkit.search.select import excess
from optkit.search_record import TriedFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Recipe, Step


class Known(Struct, frozen=True):
    """A recipe that was tried, as text, with the files that came of it (also those that could not be made)."""

    recipe: str
    stage: str
    files: list[TriedFile]

    @property
    def best(self) -> TriedFile | None:
        """Of its files the one that is nearest to all limits."""
        able = [one for one in self.files if one.state in {"within", "beyond"}]
        return min(able, key=lambda one: (excess(one), one.file_bytes or 0), default=None)


class Probe(NamedTuple):
    """A shrunk network: what share is left, and whether that is small enough, and still good enough.

    ``made`` is false where so little cannot be left.
    """

    share: float
    small_enough: bool
    good_enough: bool
    made: bool


def text_of(recipe: Recipe) -> str:
    """A recipe as it is given on the command line, with the parameters that differ from the defaults."""
    return "+".join(_step(step) for step in recipe.steps)


def _step(step: Step) -> str:
    usual = recipes.defaults(step.name)
    given = ",".join(f"{key}={_value(value)}" for key, value in step.params.items() if value != usual[key])
    return f"{step.name}:{given}" if given else step.name


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else str(value)


def params_of(recipe: str, technique: str) -> dict[str, Any] | None:
    """Parameters of a technique in a recipe; ``None`` where it is not in it."""
    return next((step.params for step in recipes.parse(recipe).steps if step.name == technique), None)


def probes(known: Sequence[Known], axis: str, *, stage: str | None = None) -> list[Probe]:
    """What shrunk networks say, by growing share.

    Args:
        known: All recipes tried.
        axis: The goal that shares are of.
        stage: Of one stage alone.
    """
    found = []
    for one in known:
        params = params_of(one.recipe, "shrink")
        if params is None or params.get(axis) is None or (stage is not None and one.stage != stage):
            continue
        best = one.best
        if best is None:
            found.append(Probe(params[axis], small_enough=True, good_enough=False, made=False))
            continue
        met = {standing.name: standing.met for standing in best.standings}
        small = met.get("size", True) and met.get("latency", True)
        found.append(Probe(params[axis], small, met.get("drop", True), made=True))
    return sorted(found)
