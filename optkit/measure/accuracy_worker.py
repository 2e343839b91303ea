"""Takes one file's answers in this process: started fresh by ``accuracy``, since a runtime may crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optkit import runtimes
from optkit.measure.accuracy import session_answers
from optkit.measure.one_answer import answer
from optkit.problem import Task


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Answer every image of the job's .npy file; the answers go into another.

    Returns:
        The number of outputs.
    """
    # Mapped: the images of all files together need not fit in memory.
    images = np.load(job["images"], mmap_mode="r")
    session = runtimes.open_model(Path(job["file"]), threads=job["threads"], runtime=job["runtime"])
    session.feed(session.to_native(np.asarray(images[:1])))
    session.invoke()
    outputs = int(session.fetch().shape[1])
    task = Task(size=outputs) if outputs > 1 else Task("regression", "values", 1)
    np.save(job["answers"], session_answers(session, images, task=task), allow_pickle=False)
    return {"outputs": outputs}


if __name__ == "__main__":
    answer(run)
