"""What the forked workers of the hostile benchmark do: the product's own functions, under the product's own limits.

TensorFlow takes four seconds to import: a process that has it forks a child for every file.
"""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optkit.workers import Tell


def import_model(tell: Tell, *, path: str) -> dict[str, Any]:
    """As the first stage of ``optkit compress MODEL``, which also asks the model about some examples."""
    import numpy as np

    from optkit.keras_models import importing

    with _told(tell):
        imported = importing.import_model(Path(path))
        shape = [axis or 1 for axis in imported.model.inputs[0].shape[1:]]
        imported.model.predict(np.zeros((1, *shape), np.float32), verbose=0)
        return {"what": imported.source}


def open_model(tell: Tell, *, path: str) -> dict[str, Any]:
    """As the processes of ``optkit benchmark FILE.keras``: read the file, open it, run it once."""
    from optkit import readback, runtimes
    from optkit.runtimes import _ports

    with _told(tell):
        facts = readback.read(Path(path))
        session = runtimes.open_model(Path(path))
        session.feed(session.to_native(_ports.generated(session.input, 1)))
        session.invoke()
        session.fetch()
        return {"what": f"{len(facts.constants)} tensors"}


def load_data(tell: Tell, *, path: str) -> dict[str, Any]:
    """As ``optkit compress --data PATH``."""
    from optkit import data

    with _told(tell):
        found = data.load(data.DataSpec(path))
        # Pictures are read when they are asked for.
        for part in (found.train, found.validation, found.test):
            for start in range(0, len(part.labels), 500):
                _ = found.real(part.images[start : start + 500])
        return {"what": f"{len(found.train.labels)} examples"}


@contextmanager
def _told(tell: Tell) -> Iterator[None]:
    """Tell the peak of this process's memory, whatever happens."""
    try:
        yield
    finally:
        tell({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
