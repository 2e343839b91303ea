"""Runs a file in LiteRT's reference kernels in this process, which a damaged file may take down alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optkit import runtimes
from optkit.measure.one_answer import answer


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Write random inputs of the file's own types, and its answers, as arrays into a folder.

    Raises:
        InputError: The file cannot be opened or run.
    """
    session = runtimes.open_raw(Path(job["file"]), job["kernels"])
    random = np.random.default_rng(job["seed"])
    folder = Path(job["to"])
    for number in range(job["count"]):
        feed = []
        for port in session.inputs:
            shape = tuple(1 if size < 0 else size for size in port.shape)
            if port.dtype == "float32":
                feed.append(random.random(shape, np.float32))
            else:
                limits = np.iinfo(port.dtype)
                feed.append(random.integers(limits.min, limits.max + 1, shape).astype(port.dtype))
        for place, one in enumerate(feed):
            np.save(folder / f"in-{number}-{place}.npy", one)
        for place, one in enumerate(session.run(feed)):
            np.save(folder / f"out-{number}-{place}.npy", one)
    return {}


if __name__ == "__main__":
    answer(run)
