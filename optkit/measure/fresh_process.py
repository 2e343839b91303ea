"""Starts a worker module in a fresh Python process, gives it one job and reads what it says.

Unlike ``optkit.workers`` nothing is imported or forked beforehand: what a measurement shares with the process
that asks for it (memory layout, threads, resident set) would be in its figures.

The worker runs under the limits of ``optkit.limits``: what a stranger's file makes of it is a message here.
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

from optkit import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

# A worker speaks at least after every file it warms and every cycle: busy or asleep for so long without a word, it
# hangs.
SILENCE_SECONDS = 600.0
# So often the time of a silent worker is looked at; more often would disturb what it measures.
_LOOK_SECONDS = 1.0


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
        job: What it is to do, JSON-able; it names the files that the worker opens, see ``optkit.limits.for_job``.
        log: File that gets its standard error, appended.
        silence_seconds: How long it may be busy or asleep without a word; waiting for a core or the disk is not
            counted.

    Raises:
        WorkerDiedError: It ended with another exit code or by a signal, or was silent for too long.
        InputError: The user's own memory limit is no number.
    """
    limited = limits.for_job(job)
    root = str(Path(__file__).resolve().parent.parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with log.open("ab") as stream:
        process = subprocess.Popen(
            # -P: a file json.py in the user's folder must not take the place of Python's.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            env={**os.environ, **limits.SURROUNDINGS, "PYTHONPATH": path},
            # Ctrl-C must reach only this process, which ends the worker below.
            start_new_session=True,
        )
    with process:
        try:
            limits.set_for(process.pid, limited)
            try:
                process.stdin.write(json.dumps(job).encode())  # type: ignore[union-attr]  # a pipe, see above
                process.stdin.close()  # type: ignore[union-attr]
            except BrokenPipeError:
                pass  # It died at its start; how is told below.
            for line in _lines(process, silence_seconds):
                message = json.loads(line)
                if message.get("event") == "failed":
                    message["reason"] = limits.explained(message["reason"], limited)
                yield message
            process.wait()
        finally:
            process.kill()
    if process.returncode != 0:
        raise WorkerDiedError(limits.explained(_how_it_ended(process.returncode), limited))


def _lines(process: subprocess.Popen[bytes], silence_seconds: float) -> Iterator[bytes]:
    descriptor = process.stdout.fileno()  # type: ignore[union-attr]  # opened as a pipe by the caller
    waiting = b""
    patience = limits.Patience(process.pid, silence_seconds)
    while True:
        since = time.monotonic()
        ready, _, _ = select.select([descriptor], [], [], min(_LOOK_SECONDS, silence_seconds))
        if not ready:
            if patience.ended_after(time.monotonic() - since):
                raise WorkerDiedError(f"gave no sign of life for {silence_seconds:.3g} s and was ended")
            continue
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        patience.sign_of_life()
        *whole, waiting = (waiting + data).split(b"\n")
        yield from whole


def _how_it_ended(returncode: int) -> str:
    if returncode < 0:
        return f"the process was ended by signal {signal.Signals(-returncode).name}"
    return f"the process ended with exit code {returncode}"
