"""Profiles one file in this process: started fresh by ``operators``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from optkit import readback, runtimes
from optkit.errors import InputError
from optkit.measure.one_answer import answer


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
        path,
        file,
        images,
        threads=job["threads"],
        batch=job["batch"],
        seconds=job["seconds"],
        runtime=job["runtime"],
    )
    return {"operators": msgspec.to_builtins(operators), "facts": msgspec.to_builtins(facts)}


if __name__ == "__main__":
    answer(run)
