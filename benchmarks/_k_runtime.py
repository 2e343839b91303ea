"""A runtime that is right by construction: the real one, but a call runs the file k times on average.

``NAME-k105.tflite`` runs 1.05 times a call: always once, and in 5 % of the calls, drawn at random, once more. Every
process draws anew: with one seed, a process of some thousand calls would repeat the same chance deviation each time.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from optkit import runtimes

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.runtimes import Session


def open_model(path: Path, *, threads: int = 1) -> Session:
    """Open a file whose name says how often a call runs it."""
    session: Any = runtimes.open_model(path, threads=threads)
    k = int(path.stem.rpartition("-k")[2]) / 100
    once, whole, rest, draw = session.invoke, int(k), k % 1, random.Random().random

    def invoke() -> None:
        # The draw is made for k = 1 as well, so that its own time is in both.
        for _ in range(whole + (draw() < rest)):
            once()

    session.invoke = invoke
    return session  # type: ignore[no-any-return]
