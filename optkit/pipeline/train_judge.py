"""The stage of ``optkit train`` that asks the finished model: the only one that reads the test part."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit import keras_metrics, store
from optkit.errors import InputError
from optkit.measure.accuracy import decided
from optkit.pipeline import train_data
from optkit.pipeline.train_settings import TrainSettings
from optkit.problem import Task
from optkit.store import StageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optkit.data import Dataset, Part
    from optkit.workers import Tell

CHUNK_BYTES = 64 << 20
AT_ONCE = 1_000


def judge_network(
    tell: Tell,
    *,
    folder: str,
    key: str,
    name: str,
    model_key: str,
    settings: Mapping[str, Any],
    threads: int,
) -> None:
    """Answers of the saved model to all validation and test examples, and the Keras metrics that were asked for.

    Raises:
        InputError: The model is not the one that was saved.
    """
    from optkit import keras_models
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    root = Path(folder)
    wanted = msgspec.convert(settings, TrainSettings)
    configure_tensorflow(wanted.seed, threads=threads)
    made = store.load_stage(root, model_key)
    if made is None:
        raise InputError(f"the model {name} in {folder} was changed during the run; run the command again")
    task = msgspec.structs.replace(msgspec.convert(made.result["task"], Task), metrics=wanted.metrics)
    model = keras_models.load(root / "models" / f"{name}.h5")
    dataset = train_data.load(wanted)
    arrays: dict[str, np.ndarray] = {}
    keras: dict[str, Any] = {}
    is_sound = True
    for part_name, part in (("validation", dataset.validation), ("test", dataset.test)):
        tell({"text": f"{part_name} examples"})
        running = keras_metrics.Running(task, part.labels)
        outputs = np.concatenate([_seen(piece, running) for piece in _outputs(model, dataset, part)])
        # Weights that are numbers can still be so large that what comes out is none.
        if not np.isfinite(outputs).all():
            is_sound = False
            break
        arrays[part_name] = outputs.argmax(axis=1) if task.kind == "multiclass" else decided(outputs[:, 0], task)
        if task.kind != "regression":
            arrays[f"{part_name}_probability"] = _probability(outputs, task)
        if task.metrics:
            keras[part_name] = running.results()
    npz = root / "cache" / f"{key}.answers.npz"
    store.write_atomically(npz, lambda temporary: np.savez(temporary, allow_pickle=False, **arrays))
    result = {"keras_metrics": keras, "is_sound": is_sound}
    record = StageRecord(
        key, f"judge {name}", [store.describe_file(root, npz)], result, round(time.perf_counter() - started, 3)
    )
    store.save_stage(root, record)


def _outputs(model: Any, dataset: Dataset, part: Part) -> Iterator[np.ndarray]:
    """Outputs float32 [m, size] of some examples at a time."""
    shape = tuple(model.input_shape[1:])
    count = max(1, min(AT_ONCE, CHUNK_BYTES // (4 * max(1, math.prod(shape)))))
    for start in range(0, len(part.labels), count):
        yield np.asarray(model.predict_on_batch(dataset.real(part.images[start : start + count], shape)))


def _seen(outputs: np.ndarray, running: keras_metrics.Running) -> np.ndarray:
    running.see(outputs)
    return outputs


def _probability(outputs: np.ndarray, task: Task) -> np.ndarray:
    """What the network gives its own answer, float32 [n]."""
    if task.kind == "multiclass":
        largest: np.ndarray = outputs.max(axis=1)
        return largest
    larger: np.ndarray = np.maximum(outputs[:, 0], 1 - outputs[:, 0])
    return larger
