"""Times files in this process: ``python -m optkit.measure.latency_worker``, started fresh by ``latency``.

The job is one JSON object on standard input. Answers are JSON lines on what was standard output; whatever the
runtimes print goes to standard error. The place where the worker is at stands in a small shared file, so that
the parent knows which file was running when the process crashed. Nothing is written between blocks: a line to
the parent would wake it, perhaps on this core.
"""

from __future__ import annotations

import gc
import importlib
import json
import mmap
import os
import random
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.device.timing import Timed, measure_cycles, opened, warm_up
from optkit.measure.one_answer import in_one_line
from optkit.runtimes._ports import generated

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.runtimes import Session

# Batches that are rotated through; more would only take memory.
MOST_IMAGES = 256
# Generated ones hold nothing that a kernel could treat otherwise: few are enough.
GENERATED_IMAGES = 16


class FileFailedError(Exception):
    """A file could not be opened, fed or run; ``index`` says which."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


class Place:
    """Tells the parent, through shared memory, which file is being run; -1 for none."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as stream:
            self._memory = mmap.mmap(stream.fileno(), 4)

    def set(self, index: int) -> None:
        """Say that the file with this index is run from now on."""
        self._memory[:] = struct.pack("=i", index)


def open_timed(
    index: int, wanted: dict[str, Any], open_model: Callable[..., Session], images: np.ndarray | None
) -> tuple[Timed, float, float]:
    """Open a file and run it once; without images, on generated ones of its own shape.

    Returns:
        The open file, the time to open it in ms, and the time of its first inference in ms (invoke alone).
    """
    return opened(
        index,
        lambda: open_model(Path(wanted["path"]), threads=wanted["threads"]),
        lambda session: generated(session.inputs, GENERATED_IMAGES * wanted["batch"]) if images is None else images,
        wanted["batch"],
    )


class Run:
    """One job: the files of a process, opened, warmed and measured."""

    def __init__(self, job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        self.job, self.tell = job, tell
        self.order = random.Random(job["seed"])
        self.place = Place(job["place"])
        # Read into memory, so that no page of the file is fetched while something is timed.
        most = MOST_IMAGES * max(session["batch"] for session in job["sessions"])
        self.images = None if job["images"] is None else np.array(np.load(job["images"], mmap_mode="r")[:most])
        self.files: list[Timed] = []

    def attempt(self, index: int, action: Callable[..., Any], *arguments: Any) -> Any:
        """Do something with a file; what goes wrong is that file's failure."""
        self.place.set(index)
        try:
            return action(*arguments)
        except Exception as error:
            raise FileFailedError(index, in_one_line(error)) from error

    def alive(self) -> None:
        """Say that the work goes on."""
        self.tell({"event": "alive"})

    def open_all(self) -> None:
        """Open every file in random order, and tell load time and the time of the first inference."""
        module, _, function = self.job["opener"].partition(":")
        open_model = getattr(importlib.import_module(module), function)
        sessions = self.job["sessions"]
        indices = list(range(len(sessions)))
        self.order.shuffle(indices)
        # Whatever is opened first pays for importing the runtime: one file is opened before, untimed.
        self.attempt(indices[0], open_timed, indices[0], sessions[indices[0]], open_model, self.images)
        self.alive()
        for index in indices:
            timed, load_ms, first_ms = self.attempt(index, open_timed, index, sessions[index], open_model, self.images)
            self.files.append(timed)
            self.tell({"event": "opened", "index": index, "load_ms": load_ms, "first_ms": first_ms})

    def warm_all(self) -> None:
        """Warm every file."""
        for done, timed in enumerate(self.files):
            self.attempt(timed.index, warm_up, timed, self.alive)
            # Warming takes longer than measuring.
            self.tell({"event": "progress", "done": 0.6 * (done + 1) / len(self.files)})

    def measure_all(self) -> None:
        """Measure cycles of one block of each file in random order, until every file has its share."""
        measure_cycles(
            self.files,
            self.job["seconds"],
            self.job["calls"],
            self.order,
            attempt=lambda timed, action, *arguments: self.attempt(timed.index, action, *arguments),
            alive=self.alive,
            on_progress=lambda done: self.tell({"event": "progress", "done": 0.6 + 0.4 * done}),
        )

    def tell_times(self) -> None:
        """Tell what was measured."""
        for timed in self.files:
            self.tell(
                {
                    "event": "timed",
                    "index": timed.index,
                    "blocks_us": timed.blocks_us,
                    "singles_us": timed.singles_us,
                    "conversion_us": timed.conversion_us,
                    "calls": timed.measured_calls,
                    "seconds": timed.measured_seconds,
                }
            )


def run(job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Open, warm and measure all files of the job.

    Raises:
        FileFailedError: One of them cannot be opened, fed or run.
    """
    one = Run(job, tell)
    gc.disable()
    one.open_all()
    one.warm_all()
    gc.collect()
    gc.freeze()
    # Into the log, as everything on standard error.
    sys.stderr.write(f"{len(one.files)} sessions are warm, measuring begins\n")
    sys.stderr.flush()
    processor, wall = time.process_time(), time.perf_counter()
    one.measure_all()
    share = (time.process_time() - processor) / (time.perf_counter() - wall)
    one.tell_times()
    tell({"event": "done", "processor_share": share})


def main() -> int:
    """Run the job on standard input; 0 when all files were measured, 1 when one failed (which, is told)."""
    channel = os.fdopen(os.dup(1), "w")
    # Whatever the runtimes print goes to the log, not into the conversation.
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    try:
        run(json.load(sys.stdin), tell)
    except FileFailedError as error:
        tell({"event": "failed", "index": error.index, "reason": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    # Without the interpreter's own clean-up: some runtimes crash in it, and the measurements are all told.
    status = main()
    sys.stderr.flush()
    os._exit(status)
