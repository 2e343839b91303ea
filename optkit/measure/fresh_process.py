"""Starts a worker module in a fresh Python process, gives it one job and reads what it says.

Unlike ``optkit.workers`` nothing is imported or forked beforehand: what a measurement shares with the process
that asks for it (memory layout, threads, resident set) would be in its figures.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A worker speaks at least after every file it warms and every cycle: this long without a word means that it
# hangs.
SILENCE_SECONDS = 600.0


class WorkerDiedError(Exception):
    """The process ended, or was ended for its silence, before its work was done; the message says how."""


def converse(
    module: str, job: dict[str, Any], log: Path, silence_seconds: float = SILENCE_SECONDS
) -> Iterator[dict[str, Any]]:
    """Run ``python -m module`` with a job on its standard input, and yield the JSON lines that it writes.

    The process is gone when the iteration ends, also when the caller leaves it early (close the iterator
    then).

    Args:
        module: The worker module; it must end with exit code 0 when its work is done.
        job: What it is to do, JSON-able.
        log: File that gets its standard error, appended.
        silence_seconds: How long it may be silent.

    Raises:
        WorkerDiedError: It ended with another exit code or by a signal, or was silent for too long.
    """
    root = str(Path(__file__).resolve().parent.parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with log.open("ab") as stream:
        process = subprocess.Popen(
            # -P: a file json.py in the user's folder must not take the place of Python's.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            env={**os.environ, "PYTHONPATH": path},
            # Ctrl-C must reach only this process, which ends the worker below.
            start_new_session=True,
        )
    with process:
        try:
            try:
                process.stdin.write(json.dumps(job).encode())  # type: ignore[union-attr]  # a pipe, see above
                process.stdin.close()  # type: ignore[union-attr]
            except BrokenPipeError:
                pass  # It died at its start; how is told below.
            for line in _lines(process, silence_seconds):
                yield json.loads(line)
            process.wait()
        finally:
            process.kill()
    if process.returncode != 0:
        raise WorkerDiedError(_how_it_ended(process.returncode))


def _lines(process: subprocess.Popen[bytes], silence_seconds: float) -> Iterator[bytes]:
    descriptor = process.stdout.fileno()  # type: ignore[union-attr]  # opened as a pipe by the caller
    waiting = b""
    last_word = time.monotonic()
    while True:
        left = last_word + silence_seconds - time.monotonic()
        ready, _, _ = select.select([descriptor], [], [], max(0.0, left))
        if not ready:
            raise WorkerDiedError(f"gave no sign of life for {silence_seconds:g} s and was ended")
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        last_word = time.monotonic()
        *whole, waiting = (waiting + data).split(b"\n")
        yield from whole


def _how_it_ended(returncode: int) -> str:
    if returncode < 0:
        return f"the process was ended by signal {signal.Signals(-returncode).name}"
    return f"the process ended with exit code {returncode}"
