"""Profiles one file in this process: started fresh by ``operators``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from optkit import readback, runtimes
from optkit.errors import InputError


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Read the file, then let its runtime's plug-in profile it.

    Returns:
        ``operators`` and ``facts``, as plain values.

    Raises:
        InputError: The file cannot be read, opened, fed or run, or there are fewer images than a call takes.
    """
    path = Path(job["file"])
    file = readback.read(path)
    images = None
    if job["images"] is not None:
        images = np.array(np.load(job["images"], mmap_mode="r")[: job["batch"]])
        if len(images) < job["batch"]:
            raise InputError(f"expected at least {job['batch']} images, found {len(images)}; give a smaller batch")
    operators, facts = runtimes.profile(
        path, file, images, threads=job["threads"], batch=job["batch"], seconds=job["seconds"]
    )
    return {"operators": msgspec.to_builtins(operators), "facts": msgspec.to_builtins(facts)}


def main() -> None:
    """Run the job on standard input and answer with one line."""
    channel = os.fdopen(os.dup(1), "w")
    # Whatever the runtimes print goes to the log, not into the conversation.
    os.dup2(2, 1)
    try:
        answer = {"event": "done", **run(json.load(sys.stdin))}
    except InputError as error:
        answer = {"event": "failed", "reason": str(error)}
    except Exception as error:  # noqa: BLE001  # the reason belongs to the file, whatever it is
        answer = {"event": "failed", "reason": " ".join(f"{type(error).__name__}: {error}".split())}
    channel.write(json.dumps(answer) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    # Without the interpreter's own clean-up: some runtimes crash in it, and everything is told.
    os._exit(0)
