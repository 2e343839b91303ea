"""Progress of a long run on the terminal; nothing at all when output is not a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from optkit.report.wording import duration

if TYPE_CHECKING:
    from optkit.pipeline.progress import Event

VERBS = {
    "import": "Reading",
    "train": "Training",
    "judge": "Judging",
    "export": "Exporting",
    "check": "Proving",
    "measure": "Measuring",
}


class Display:
    """Two lines on standard error: the whole run with the time left, and the stage at work."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        if not self._shown:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<33}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            transient=True,
        )
        self._all = self._progress.add_task("Whole run", total=1.0, note="")
        self._stage = self._progress.add_task("Starting", total=1.0, note="loading TensorFlow")

    def __enter__(self) -> Self:
        if self._shown:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._progress.stop()

    def update(self, event: Event) -> None:
        """Show where the run is."""
        if not self._shown:
            return
        left = "" if event.seconds_left is None else f"about {duration(event.seconds_left)} left"
        self._progress.update(self._all, completed=event.overall, note=left)
        if not event.kept:
            what = f"{VERBS[event.phase]} {event.name}"
            self._progress.update(self._stage, description=what, completed=event.fraction, note=event.text)
