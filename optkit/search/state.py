"""What a search knows, kept in its run folder after every round, so that the same command goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from optkit import store
from optkit.pipeline.plan import CHECK_SOURCES, CHOOSING_PARTS, EXPORT_SOURCES, MEASURE_SOURCES, make_plan
from optkit.search import candidates
from optkit.search.probes import Known
from optkit.search_record import SearchRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optkit.schema import Recipe
    from optkit.search.rounds import Place

NAME = "search.json"


class State(Struct, frozen=True):
    """All recipes tried so far, and the seconds that took.

    ``partial`` are those of a round that the time ended: they are made again, from what is kept, when there is more.
    """

    known: list[Known] = []
    partial: list[Known] = []
    seconds: float = 0.0


def key_of(place: Place, given: Sequence[Recipe]) -> str:
    """What decides what a search finds; more time goes on with the same search."""
    least = make_plan(place.settings, candidates.least().recipes, place.data_sha256, CHOOSING_PARTS)
    return store.digest(
        {
            "stage": "search",
            "files": [file.check_key for file in least.files],
            "budget": msgspec.structs.replace(place.budget, seconds=None),
            "given": list(given),
            "batch": place.batch,
            # Times of different machines are not held against each other.
            "timed_on": [place.engine.timed_on, place.cpu_model] if place.budget.times_matter else None,
            "settings": place.settings,
            "code": store.source_digest((*EXPORT_SOURCES, *CHECK_SOURCES, *MEASURE_SOURCES, "search", "recipes.py")),
        }
    )


def load(place: Place, key: str) -> State:
    """What is known from earlier runs; a trial whose files are gone is known all the same."""
    made = store.load_stage(place.folder, key)
    return State() if made is None else msgspec.convert(made.result, State)


def save(place: Place, key: str, state: State) -> None:
    """Keep what is known."""
    result: dict[str, Any] = msgspec.to_builtins(state)
    store.save_stage(place.folder, store.StageRecord(key, "search", [], result, state.seconds))


def nearest_so_far(folder: Path) -> str | None:
    """The file that would be delivered now, and what it is beyond, in words; ``None`` before there is one."""
    try:
        record = msgspec.json.decode((folder / NAME).read_bytes(), type=SearchRecord)
    except (OSError, msgspec.MsgspecError):
        return None
    name = f"{record.delivered}.{record.delivered_format}"
    path = folder / "artifacts" / name
    if record.delivered is None or not path.is_file():
        return None
    return f"{path} ({'within all limits' if record.met else '; '.join(record.missed)})"
