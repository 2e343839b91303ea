"""Runs trials: the one interface through which a search reaches whatever computes."""

from __future__ import annotations

import os
import queue
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec

from optkit import workers
from optkit.pipeline.stages import WORKER_ENVIRONMENT
from optkit.pipeline.train_stage import PRELOAD
from optkit.workers import Failure, Job, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from optkit.data import DataSpec


class Executor(Protocol):
    """What a search needs: jobs that run at once, as many as there are ``slots``."""

    slots: int
    threads: int

    def run(self, job: Job, on_message: Callable[[dict[str, Any]], None]) -> Any:
        """Run a job to its end; from several threads at once.

        Returns:
            What its function returned.

        Raises:
            OptkitError: What it raised.
        """


class LocalExecutor:
    """Worker processes of this machine; use as a context manager.

    Args:
        slots: Trials at once; each gets its share of the cores.
        spec: Data that all of them need, loaded once in each server.
        log: See ``Workers``.
    """

    def __init__(self, slots: int, spec: DataSpec, log: Path) -> None:
        self.slots = slots
        self.threads = max(1, len(os.sched_getaffinity(0)) // slots)
        preload = [*PRELOAD, f"optkit.data:preload:{msgspec.json.encode(spec).decode()}"]
        self._pools = [Workers(preload, WORKER_ENVIRONMENT, log) for _ in range(slots)]
        self._idle: queue.SimpleQueue[Workers] = queue.SimpleQueue()
        for pool in self._pools:
            self._idle.put(pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        for pool in self._pools:
            pool.__exit__(*reason)

    @contextmanager
    def _pool(self) -> Iterator[Workers]:
        pool = self._idle.get()
        try:
            yield pool
        finally:
            self._idle.put(pool)

    def run(self, job: Job, on_message: Callable[[dict[str, Any]], None]) -> Any:
        """See ``Executor``."""
        with self._pool() as pool:
            result = pool.run([job], cores=1, on_event=lambda _, message: on_message(message))[job.name]
        if isinstance(result, Failure):
            raise workers.as_error(job.name, result)
        return result
