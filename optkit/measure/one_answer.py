"""The worker's side of a job that has one answer: read it, run it, say what came out or what went wrong."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import IO, TYPE_CHECKING, Any, NoReturn

from optkit.errors import OptkitError

if TYPE_CHECKING:
    from collections.abc import Callable

# The asking process takes a worker that is busy for some seconds without a word to hang.
_SECONDS_BETWEEN_SIGNS = 1.0
_channel: IO[str] | None = None
_last_sign = 0.0


def alive() -> None:
    """Say that a long job goes on; to be called after each of its steps, which says so once a second at most."""
    global _last_sign  # noqa: PLW0603  # the process has one conversation
    now = time.monotonic()
    if _channel is not None and now - _last_sign > _SECONDS_BETWEEN_SIGNS:
        _last_sign = now
        _channel.write('{"event": "alive"}\n')
        _channel.flush()


def say(event: dict[str, Any]) -> None:
    """Say something on the way to the answer, which the asking process hears even if this one dies."""
    if _channel is not None:
        _channel.write(json.dumps(event) + "\n")
        _channel.flush()


def in_one_line(error: Exception) -> str:
    """What went wrong with a file: our own words as they are, another's with the name of the error."""
    words = str(error) if isinstance(error, OptkitError) else f"{type(error).__name__}: {error}"
    return " ".join(words.split())


def answer(run: Callable[[dict[str, Any]], dict[str, Any]]) -> NoReturn:
    """Run the job on standard input, answer with one JSON line on what was standard output, and end the process."""
    global _channel  # noqa: PLW0603  # as above
    _channel = channel = os.fdopen(os.dup(1), "w")
    # Whatever the runtimes print goes to the log, not into the conversation.
    os.dup2(2, 1)
    try:
        told = {"event": "done", **run(json.load(sys.stdin))}
    except Exception as error:  # noqa: BLE001  # the reason belongs to the file, whatever it is
        told = {"event": "failed", "reason": in_one_line(error)}
    channel.write(json.dumps(told) + "\n")
    channel.flush()
    sys.stderr.flush()
    # Without the interpreter's own clean-up: some runtimes crash in it, and everything is told.
    os._exit(0)
