"""What a benchmark of many trainings shows while it is at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optkit.pipeline.progress import Event


class Screen:
    """A line for every job that has come to its end, with the time that is left."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def note(self, event: Event) -> None:
        """Print the end of a job; what comes between is only counted."""
        if event.fraction < 1 or not event.text:
            return
        self._done += 1
        left = "" if event.seconds_left is None else f", about {event.seconds_left / 60:.0f} min left"
        print(f"[{self._done}/{self._total}] {event.overall:4.0%}{left}: {event.text}", flush=True)
