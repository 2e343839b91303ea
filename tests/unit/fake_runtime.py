"""A runtime whose files say how it behaves, for tests of what measures runtimes.

A file is JSON: ``k`` is how many times a call does its work, on average; ``fault`` names what goes wrong and
``at`` in which call (0: when it is opened).
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


class FakeSession:
    """Ten outputs for any image; the work is some 30 µs of sines on one core."""

    def __init__(self, k: float, fault: str | None, at: int, most_batch: int) -> None:
        self._most_batch = most_batch
        self._k, self._fault, self._at = k, fault, at
        self._calls = 0
        self._random = random.Random(1)
        self._work = np.linspace(0, 1, 4000)
        self._native: np.ndarray | None = None

    def to_native(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1)

    def from_native(self, outputs: np.ndarray) -> np.ndarray:
        return outputs

    def feed(self, native: np.ndarray) -> None:
        if len(native) > self._most_batch:
            raise ValueError(f"expected a batch of at most {self._most_batch}, found {len(native)}")
        self._native = native

    def invoke(self) -> None:
        self._calls += 1
        if self._calls == self._at:
            fail(self._fault)
        times = int(self._k) + (self._random.random() < self._k % 1)
        for _ in range(times):
            np.sin(self._work)

    def fetch(self) -> np.ndarray:
        if self._native is None:
            raise RuntimeError("nothing was fed")
        return self._native[:, :10]


def fail(fault: str | None) -> None:
    """Go wrong in the named way."""
    if fault == "raise":
        raise RuntimeError("deliberate failure\nof a test")
    if fault == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "exit":
        os._exit(9)
    if fault == "hang":
        time.sleep(600)


def open_model(path: Path, *, threads: int = 1) -> FakeSession:
    """Open a file of this runtime."""
    if threads != 1:
        raise ValueError(f"this runtime has one thread, not {threads}")
    behaviour = json.loads(path.read_text())
    if behaviour["at"] == 0:
        fail(behaviour["fault"])
    print("this must not disturb the conversation")  # noqa: T201
    return FakeSession(behaviour["k"], behaviour["fault"], behaviour["at"], behaviour.get("most_batch", 1000))
