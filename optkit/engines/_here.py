"""What engines of this machine share."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from optkit.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optkit.engines import OnMessage, Surroundings
    from optkit.workers import Job


def pool(surroundings: Surroundings) -> Workers:
    """A server process for the run's jobs, which starts with the first one."""
    preload = with_argument(surroundings.preload, surroundings.preload_argument)
    return Workers(preload, dict(surroundings.environment), surroundings.log)


def with_argument(preload: Iterable[str], argument: str) -> list[str]:
    """What a server imports, with the argument of what it calls."""
    return [f"{entry}:{argument}" if ":" in entry else entry for entry in preload]


def alone(job: Job, on_event: OnMessage) -> Any:
    """Run a job in this process."""
    module, _, function = job.function.partition(":")

    def tell(event: dict[str, Any]) -> None:
        on_event(job, {"event": "progress", **event, "job": job.name})

    return getattr(importlib.import_module(module), function)(tell, **job.arguments)
