"""What runs a search's trials, read from the command line and refused before any work."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit import engines, registry
from optkit.errors import InputError, nearest
from optkit.search.budget import read_bytes
from optkit.search.candidates import BATCH, MOST_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "local"
MOST_WORKERS = 1_024
NAMES = ("engine", "workers", "trial_memory", "address", "latency_node", "batch")


class EngineChoice(NamedTuple):
    """The engine's name, what is asked of it, and how many recipes are drawn at once."""

    name: str
    wishes: engines.Wishes
    batch: int


def read_engine(given: Mapping[str, Any]) -> EngineChoice:
    """The engine from what the user gave.

    Args:
        given: Some of ``NAMES``; ``None`` for what was not given.

    Raises:
        InputError: There is no such engine, it does not take something, what it needs is missing, or a number is out
            of range.
    """
    for name in given:
        if name not in NAMES:
            raise InputError(f"unknown choice of an engine {name!r}: {nearest(name, list(NAMES))}")
    kind = DEFAULT if given.get("engine") is None else str(given["engine"])
    if kind not in registry.names("engines"):
        raise InputError(
            f"--engine expects one of {', '.join(registry.names('engines'))}, found {kind!r}: "
            f"{nearest(kind, list(registry.names('engines')))}"
        )
    memory = given.get("trial_memory")
    wishes = engines.Wishes(
        workers=_within("--workers", given.get("workers"), MOST_WORKERS),
        trial_memory_bytes=None if memory is None else int(read_bytes("--trial-memory", memory, "2GB")),
        address=given.get("address"),
        latency_node=given.get("latency_node"),
    )
    engines.check_wishes(kind, wishes)
    return EngineChoice(kind, wishes, _within("--batch", given.get("batch"), MOST_AT_ONCE) or BATCH)


def idle_words(choice: EngineChoice) -> str | None:
    """What to say where more may run at once than is ever drawn at once."""
    workers = choice.wishes.workers or (len(os.sched_getaffinity(0)) if choice.name == "processes" else None)
    if workers is None or workers <= choice.batch:
        return None
    return (
        f"At most {choice.batch} recipes that train are drawn at once (--batch), so that no more than {choice.batch} "
        f"of {workers} worker processes are busy for long; a larger --batch is another search, with other trials."
    )


def _within(option: str, value: int | None, most: int) -> int | None:
    if value is not None and not 1 <= value <= most:
        raise InputError(f"{option} expects a number from 1 to {most:,}, found {value}")
    return value
