"""Several worker processes of this machine, as many trials at once as were asked for and memory allows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from optkit.engines import _here, _memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from optkit.engines import OnMessage, Surroundings, Wishes
    from optkit.workers import Job

SUMMARY = "this machine, --workers stages at once, fewer where memory does not allow so many"
SOURCE = "memory: MemAvailable of /proc/meminfo, memory.max of the control group; ru_maxrss of getrusage(2)"
OPTIONS = ("workers", "trial_memory_bytes")


class Processes:
    """See ``optkit.engines.Engine``.

    Each worker process runs one stage. How many there are at once follows from the memory that was free when the
    search began and from what the largest stage so far has taken; until one has, from what was declared.
    """

    timed_on: str | None = None

    def __init__(self, surroundings: Surroundings, wishes: Wishes) -> None:
        self._pool = _here.pool(surroundings)
        self._say = surroundings.say
        self._wanted = wishes.workers or len(os.sched_getaffinity(0))
        self._free = _memory.free_bytes()
        self._declared = wishes.trial_memory_bytes
        self._peak = 0
        self._told = 0
        self._most = 0

    def __enter__(self) -> Self:
        self._slots()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _slots(self) -> int:
        """Stages at once; whenever that changes the user is told why."""
        a_trial = max(self._peak, self._declared or (0 if self._peak else _memory.FIRST_BYTES))
        fitting = _memory.fitting(self._free, a_trial)
        slots = min(self._wanted, fitting)
        if slots != self._told:
            known = "measured" if a_trial == self._peak else "declared" if self._declared else "until one is measured"
            fewer = f", fewer than the {self._wanted} that were asked for" if slots < self._wanted else ""
            self._say(
                f"Worker processes: {slots}{fewer}; {_memory.in_words(self._free)} of memory are free, which is enough "
                f"for {fitting} at {_memory.in_words(a_trial)} each ({known})."
            )
            self._told = slots
        return slots

    def run(self, jobs: Iterable[Job], *, on_event: OnMessage) -> dict[str, Any]:
        """See ``optkit.engines.Engine``."""
        running: set[str] = set()

        def look(job: Job, message: dict[str, Any]) -> None:
            self._peak = max(self._peak, message.get("peak_bytes", 0))
            running.add(job.name)
            self._most = max(self._most, len(running))
            if message["event"] in {"returned", "failed"}:
                running.discard(job.name)
            on_event(job, message)

        return self._pool.run(jobs, cores=self._slots, on_event=look, weigh=lambda _: 1)

    def alone(self, job: Job, files: Sequence[Path], on_event: OnMessage) -> Any:  # noqa: ARG002  # they are here
        """See ``optkit.engines.Engine``."""
        return _here.alone(job, on_event)

    def stop(self) -> None:
        """See ``optkit.engines.Engine``."""
        self._pool.stop()

    def facts(self) -> list[str]:
        """See ``optkit.engines.Engine``."""
        if not self._peak:
            return []
        processes = f"{self._most} worker process{'es' if self._most > 1 else ''}"
        return [f"Stages ran in up to {processes} at once; the largest took {_memory.in_words(self._peak)} of memory."]


def open_engine(surroundings: Surroundings, wishes: Wishes) -> Processes:
    """See ``optkit.engines``."""
    return Processes(surroundings, wishes)
