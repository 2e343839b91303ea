"""A runtime that is right by construction: the real one, but a call runs the file k times on average.

``NAME-k105.tflite`` runs 1.05 times a call: always once, and in 5 % of the calls, drawn at random, once more. Every
process draws anew: with one seed, a process of some thousand calls would repeat the same chance deviation each time.
"""

from __future__ import annotations

import random
from itertools import cycle, repeat
from typing import TYPE_CHECKING, Any

from optkit import runtimes

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.runtimes import Session


# More than a process makes calls, so that hardly a draw is used twice.
DRAWS = 20_011


def open_model(path: Path, *, threads: int = 1) -> Session:
    """Open a file whose name says how often a call runs it."""
    session: Any = runtimes.open_model(path, threads=threads)
    k = int(path.stem.rpartition("-k")[2]) / 100
    once, whole, rest = session.invoke, int(k), k % 1
    draw = random.Random().random
    # Drawn beforehand: what a draw costs is no part of the file's time, and would make every k seem nearer to 1.
    next_count = cycle([whole + (draw() < rest) for _ in range(DRAWS)]).__next__

    def invoke() -> None:
        for _ in repeat(None, next_count()):
            once()

    session.invoke = invoke
    return session  # type: ignore[no-any-return]
