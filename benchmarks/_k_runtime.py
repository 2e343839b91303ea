"""A runtime that is right by construction: the real one, but a call runs the file k times on average.

``NAME-k105.tflite`` runs 1.05 times a call: always once, and in one of every 20 calls, at a place drawn at random, once
more. So the average over a process is k itself and not k give or take the luck of some thousand draws, which would be
a true difference that the intervals rightly show and this check would count as their error.
"""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import cycle, repeat
from typing import TYPE_CHECKING, Any

from optkit import runtimes

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.runtimes import Session


# More than a process makes calls, so that hardly a draw is used twice.
ROUNDS = 1_009
# Calls in a round; all k are whole twentieths.
CALLS = 20


def open_model(path: Path, *, threads: int = 1) -> Session:
    """Open a file whose name says how often a call runs it."""
    session: Any = runtimes.open_model(path, threads=threads)
    k, once = Fraction(int(path.stem.rpartition("-k")[2]), 100), session.invoke
    # Drawn beforehand: what a draw costs is no part of the file's time, and would make every k seem nearer to 1.
    next_count = cycle(_counts(k, ROUNDS, random.Random())).__next__

    def invoke() -> None:
        for _ in repeat(None, next_count()):
            once()

    session.invoke = invoke
    return session  # type: ignore[no-any-return]


def _counts(k: Fraction, rounds: int, random_numbers: random.Random) -> list[int]:
    """How often each call runs the file: k on average in every round of 20 calls, in random order."""
    whole, rest = divmod(k * CALLS, CALLS)
    found: list[int] = []
    for _ in range(rounds):
        one = [int(whole) + (place < rest) for place in range(CALLS)]
        random_numbers.shuffle(one)
        found += one
    return found
