"""Asks a model file about all test examples in this process: started fresh by ``bundle``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from optkit import data, runtimes
from optkit.errors import InputError
from optkit.measure.one_answer import alive, answer
from optkit.problem import Preprocessing


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the file on raw examples, one at a time, and write what it answers, as it is, to a .npy file.

    Returns:
        ``input`` and ``output``, the ports as the runtime has them.

    Raises:
        InputError: The file cannot be opened or fed.
    """
    path = Path(job["file"])
    session = runtimes.open_model(path)
    if len(session.inputs) != 1:
        names = ", ".join(repr(port.name) for port in session.inputs)
        raise InputError(f"expected a model with one input; {path} has {names}, which a bundle cannot feed")
    raw = np.load(job["images"], mmap_mode="r", allow_pickle=False)
    preprocessing = msgspec.convert(job["preprocessing"], Preprocessing)
    rows = []
    for one in raw:
        session.feed(session.to_native(data.to_real(one[None], preprocessing)))
        session.invoke()
        rows.append(session.fetch()[0])
        alive()
    np.save(job["out"], np.stack(rows), allow_pickle=False)
    (given,) = session.inputs
    return {"input": vars(given), "output": vars(session.output)}


if __name__ == "__main__":
    answer(run)
