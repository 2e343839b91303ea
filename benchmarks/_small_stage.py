"""A stage that trains nothing and leaves as much behind as one that does: what is left is the cost of the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optkit import store

if TYPE_CHECKING:
    from optkit.workers import Tell


def make(tell: Tell, *, folder: str, key: str, size: int) -> None:
    """Write a file of so many bytes, which no other has."""
    tell({"done": 1, "total": 1})
    root = Path(folder)
    path = root / "models" / f"{key}.bin"
    store.write_bytes(path, np.random.default_rng(int(key)).bytes(size))
    store.save_stage(root, store.StageRecord(key, key, [store.describe_file(root, path)], {}, 0.0))
