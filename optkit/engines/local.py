"""This machine: stages side by side in forked processes of one server, as many as there are cores for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from optkit.engines import _here

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from optkit.engines import OnMessage, Surroundings, Wishes
    from optkit.workers import Job

SUMMARY = "this machine, as many stages at once as there are cores for"
SOURCE = "optkit.workers: a server that has TensorFlow in memory forks a process for each stage"
OPTIONS = ()


class Local:
    """See ``optkit.engines.Engine``."""

    timed_on: str | None = None

    def __init__(self, surroundings: Surroundings) -> None:
        self._pool = _here.pool(surroundings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, jobs: Iterable[Job], *, on_event: OnMessage) -> dict[str, Any]:
        """See ``optkit.engines.Engine``."""
        return self._pool.run(jobs, cores=len(os.sched_getaffinity(0)), on_event=on_event)

    def alone(self, job: Job, files: Sequence[Path], on_event: OnMessage) -> Any:  # noqa: ARG002  # they are here
        """See ``optkit.engines.Engine``."""
        return _here.alone(job, on_event)

    def stop(self) -> None:
        """See ``optkit.engines.Engine``."""
        self._pool.stop()

    def facts(self) -> list[str]:
        """See ``optkit.engines.Engine``."""
        return []


def open_engine(surroundings: Surroundings, wishes: Wishes) -> Local:  # noqa: ARG001  # it takes none
    """See ``optkit.engines``."""
    return Local(surroundings)
