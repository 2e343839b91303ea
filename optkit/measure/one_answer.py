"""The worker's side of a job that has one answer: read it, run it, say what came out or what went wrong."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from optkit.errors import OptkitError

if TYPE_CHECKING:
    from collections.abc import Callable


def answer(run: Callable[[dict[str, Any]], dict[str, Any]]) -> NoReturn:
    """Run the job on standard input, answer with one JSON line on what was standard output, and end the process."""
    channel = os.fdopen(os.dup(1), "w")
    # Whatever the runtimes print goes to the log, not into the conversation.
    os.dup2(2, 1)
    try:
        told = {"event": "done", **run(json.load(sys.stdin))}
    except Exception as error:  # noqa: BLE001  # the reason belongs to the file, whatever it is
        words = str(error) if isinstance(error, OptkitError) else f"{type(error).__name__}: {error}"
        told = {"event": "failed", "reason": " ".join(words.split())}
    channel.write(json.dumps(told) + "\n")
    channel.flush()
    sys.stderr.flush()
    # Without the interpreter's own clean-up: some runtimes crash in it, and everything is told.
    os._exit(0)
