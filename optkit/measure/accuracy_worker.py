"""Takes one file's answers in this process: started fresh by ``accuracy``, since a runtime may crash."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from optkit import runtimes
from optkit.measure.accuracy import session_answers


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Answer every image of the job's .npy file; the answers go into another.

    Returns:
        The number of outputs.
    """
    images = np.load(job["images"])
    session = runtimes.open_model(Path(job["file"]), threads=job["threads"])
    np.save(job["answers"], session_answers(session, images), allow_pickle=False)
    return {"outputs": int(session.fetch().shape[1])}


def main() -> None:
    """Run the job on standard input and answer with one line."""
    channel = os.fdopen(os.dup(1), "w")
    # Whatever the runtimes print goes to the log, not into the conversation.
    os.dup2(2, 1)
    try:
        answer = {"event": "done", **run(json.load(sys.stdin))}
    except Exception as error:  # noqa: BLE001  # the reason belongs to the file, whatever it is
        answer = {"event": "failed", "reason": " ".join(f"{type(error).__name__}: {error}".split())}
    channel.write(json.dumps(answer) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    # Without the interpreter's own clean-up: some runtimes crash in it, and everything is told.
    os._exit(0)
