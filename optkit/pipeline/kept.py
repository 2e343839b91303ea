"""What stages have left in the run folder, for those that put the report together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit import store
from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from optkit.store import StageRecord


def record(folder: Path, key: str) -> StageRecord:
    """The record of a stage that is done.

    Raises:
        InputError: It or its files are not as they were left.
    """
    found = store.load_stage(folder, key)
    if found is None:
        raise InputError(f"files in {folder} were changed during the run; run the same command again")
    return found


def answers(folder: Path, key: str) -> dict[str, np.ndarray]:
    """Answers [n] to each part of the data that a stage has judged a model on."""
    import numpy as np

    with np.load(folder / "cache" / f"{key}.answers.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
