"""What training needs to go on after a kill as if there had been none: one file, written after every epoch."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from optkit import store
from optkit.training.patience import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from optkit.data import Dataset
    from optkit.problem import Task
    from optkit.training.plan import TrainingPlan

Weights = list["np.ndarray"]
_STATE = "state"


class Saved(Struct):
    """A file's content: for which training it is, how far that is, and all weights by what they are."""

    key: str
    progress: Progress


def key_of(model: Any, dataset: Dataset, plan: TrainingPlan, task: Task, seed: int) -> str:
    """A digest of all that decides the bytes of a training: another one's checkpoint is of no use to it."""
    import tensorflow as tf

    start = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        start.update(weight.tobytes())
    labels = [hashlib.sha256(part.labels.tobytes()).hexdigest() for part in (dataset.train, dataset.validation)]
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    made_by = [store.source_digest(["training"]), tf.__version__, threads]
    return store.digest([start.hexdigest(), dataset.sha256, labels, dataset.preprocessing, plan, task, seed, made_by])


def save(path: Path, key: str, progress: Progress, weights: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write a checkpoint in the place of the one before; never half of it.

    Raises:
        EnvironmentFailedError: The disk is full, or the folder has become unwritable.
    """
    import numpy as np

    state = np.frombuffer(msgspec.json.encode(Saved(key, progress)), np.uint8)
    arrays = {_STATE: state} | {
        f"{kind}.{number}": one for kind, those in weights.items() for number, one in enumerate(those)
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    store.write_atomically(path, write)


def load(path: Path, key: str) -> tuple[Progress, dict[str, Weights]] | None:
    """The progress and weights of a checkpoint; ``None`` where it is missing, damaged, or another training's."""
    import numpy as np

    weights: dict[str, Weights] = {}
    try:
        with np.load(path, allow_pickle=False) as found:
            saved = msgspec.json.decode(found[_STATE].tobytes(), type=Saved)
            if saved.key != key:
                return None
            for name in found.files:
                kind, _, number = name.partition(".")
                if number:
                    weights.setdefault(kind, []).append(found[name])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.MsgspecError):
        return None
    return saved.progress, weights
