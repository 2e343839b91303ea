"""How far a run is and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Event(NamedTuple):
    """Progress of one stage.

    Attributes:
        phase: ``train``, ``export``, ``check`` or ``measure``.
        name: The model, file or format that is worked on.
        fraction: Done, 0 to 1.
        text: What to show beside it.
        overall: Share of the whole run that is done, 0 to 1.
        seconds_left: Estimate for the whole run, or ``None`` while there is nothing to go by.
        kept: Whether the stage was found finished in the run folder.
    """

    phase: str
    name: str
    fraction: float
    text: str
    overall: float
    seconds_left: float | None
    kept: bool = False


OnEvent = Callable[[Event], None]


class Schedule:
    """Expected cost of every stage, corrected by how long the finished ones really took.

    Args:
        expected_seconds: For each (phase, name), the cost on the machine that the defaults were tuned on.
        on_event: Receives progress.
    """

    def __init__(self, expected_seconds: dict[tuple[str, str], float], on_event: OnEvent) -> None:
        self._expected = expected_seconds
        self._fraction = dict.fromkeys(expected_seconds, 0.0)
        self._kept: set[tuple[str, str]] = set()
        self._started = time.monotonic()
        self._on_event = on_event

    def keep(self, phase: str, name: str) -> None:
        """A stage was found finished."""
        self._kept.add((phase, name))
        self._fraction[phase, name] = 1.0
        self._tell(phase, name, "kept from an earlier run", kept=True)

    def advance(self, phase: str, name: str, fraction: float, text: str = "") -> None:
        """A stage is so far."""
        self._fraction[phase, name] = min(1.0, fraction)
        self._tell(phase, name, text, kept=False)

    def _tell(self, phase: str, name: str, text: str, *, kept: bool) -> None:
        to_do = {stage: cost for stage, cost in self._expected.items() if stage not in self._kept}
        total = sum(to_do.values())
        done = sum(cost * self._fraction[stage] for stage, cost in to_do.items())
        elapsed = time.monotonic() - self._started
        # The first seconds are start-up: nothing to scale by yet.
        left = (total - done) * (elapsed / done) if done > 0.02 * total and elapsed > 5 else None
        overall = done / total if total else 1.0
        self._on_event(Event(phase, name, self._fraction[phase, name], text, overall, left, kept))
