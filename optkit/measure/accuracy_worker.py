"""Takes one file's answers in this process: started fresh by ``accuracy``, since a runtime may crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optkit import runtimes
from optkit.measure.accuracy import session_answers
from optkit.measure.one_answer import answer


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Answer every image of the job's .npy file; the answers go into another.

    Returns:
        The number of outputs.
    """
    images = np.load(job["images"])
    session = runtimes.open_model(Path(job["file"]), threads=job["threads"])
    np.save(job["answers"], session_answers(session, images), allow_pickle=False)
    return {"outputs": int(session.fetch().shape[1])}


if __name__ == "__main__":
    answer(run)
