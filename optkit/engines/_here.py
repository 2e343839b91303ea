"""What engines of this machine share."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from optkit.workers import Workers

if TYPE_CHECKING:
    from optkit.engines import OnMessage, Surroundings
    from optkit.workers import Job


def pool(surroundings: Surroundings) -> Workers:
    """A server process for the run's jobs, which starts with the first one."""
    preload = [
        entry if ":" not in entry else f"{entry}:{surroundings.preload_argument}" for entry in surroundings.preload
    ]
    return Workers(preload, dict(surroundings.environment), surroundings.log)


def alone(job: Job, on_event: OnMessage) -> Any:
    """Run a job in this process."""
    module, _, function = job.function.partition(":")

    def tell(event: dict[str, Any]) -> None:
        on_event(job, {"event": "progress", **event, "job": job.name})

    return getattr(importlib.import_module(module), function)(tell, **job.arguments)
