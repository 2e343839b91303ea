"""One trial, in a worker process: train and judge the protocol's models, and export one where its speed counts."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit import registry, store
from optkit.measure.accuracy import decided
from optkit.pipeline import building, train_data
from optkit.pipeline.train_settings import TrainSettings
from optkit.schema import Recipe, Step
from optkit.store import StageRecord
from optkit.tune import protocols
from optkit.tune.protocols import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optkit.data import Dataset, Part
    from optkit.problem import Task
    from optkit.schema import Epoch
    from optkit.workers import Tell

CHUNK_BYTES = 64 << 20
AT_ONCE = 1_000
# How long the other side may take to say whether a trial goes on: it asks a database, which may be far away.
VERDICT_SECONDS = 600.0
_LOOK_SECONDS = 0.005


def verdict_path(folder: Path, key: str, step: int) -> Path:
    """Where the asking process says whether a trial goes on after a step: the file holds ``go on`` or ``stop``."""
    return folder / "cache" / f"{key}.step-{step}"


def run_trial(
    tell: Tell,
    *,
    folder: str,
    key: str,
    settings: Mapping[str, Any],
    protocol: Mapping[str, Any],
    threads: int,
    with_file: bool,
    asks: bool,
) -> None:
    """Train and judge; the result is a stage record, so that a finished trial is never trained again.

    Raises:
        InputError: Such a network cannot be built for the data, or is no number any more.
    """
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    root = Path(folder)
    wanted, how = msgspec.convert(settings, TrainSettings), msgspec.convert(protocol, Protocol)
    configure_tensorflow(wanted.seed, threads=threads)
    whole = train_data.load(wanted)
    # After the last step a trial is as good as done: ending it would save nothing.
    last = (wanted.plan.epochs if how.models == 1 else how.models) - 1
    steps = _Steps(root, key, tell, ask_before=last if asks else 0)
    scores: list[float] = []
    curves: list[list[dict[str, Any]]] = []
    model: Any = None
    for index in range(how.models):
        dataset = protocols.trained_on(whole, how, index, seed=wanted.seed)
        on_epoch = steps.after_epoch if how.models == 1 else None
        model, task, epochs = _trained(wanted, dataset, _part_of(tell, index, how.models), on_epoch)
        scores.append(score(model, dataset, dataset.validation, task))
        curves.append(msgspec.to_builtins(epochs))
        if how.models > 1 and steps.after(index, float(np.mean(scores))):
            break
    files = []
    if with_file:
        file = root / "cache" / f"{key}.tflite"
        write_file(model, file)
        files.append(store.describe_file(root, file))
    result = {
        "scores": scores,
        "curves": curves,
        "parameters": int(model.count_params()),
        "reported": steps.reported,
        "is_pruned": steps.is_stopped,
    }
    seconds = round(time.perf_counter() - started, 3)
    if not steps.is_stopped:
        store.save_stage(root, StageRecord(key, f"trial {key[:8]}", files, result, seconds))


def _part_of(tell: Tell, index: int, models: int) -> Tell:
    """Progress of one of several models as that of all."""

    def told(message: dict[str, Any]) -> None:
        if "total" in message:
            message = message | {"done": message["done"] + index * message["total"], "total": models * message["total"]}
        tell(message)

    return told


def _trained(
    settings: TrainSettings, dataset: Dataset, tell: Tell, on_epoch: Callable[[int, Epoch], bool] | None
) -> tuple[Any, Task, list[Epoch]]:
    import tf_keras

    from optkit.training import train

    # Each model of a trial starts as it would alone.
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(settings.seed)
    model, task = building.build(settings, dataset)
    with building.in_unit_of_labels(model, dataset, task) as trained:
        epochs = train(trained, dataset, settings.plan, task=task, seed=settings.seed, tell=tell, on_epoch=on_epoch)
    return model, task, epochs


class _Steps:
    """Reports values on the way, and asks after each whether the trial is worth going on."""

    def __init__(self, root: Path, key: str, tell: Tell, *, ask_before: int) -> None:
        self._root, self._key, self._tell, self._ask_before = root, key, tell, ask_before
        self.reported: list[float] = []
        self.is_stopped = False

    def after_epoch(self, index: int, epoch: Epoch) -> bool:
        """Whether to stop after an epoch of the only model."""
        value = epoch.validation_accuracy
        if value is None:
            value = None if epoch.validation_loss is None else -epoch.validation_loss
        return False if value is None else self.after(index, value)

    def after(self, step: int, value: float) -> bool:
        """Whether to stop after a step; more is better."""
        self.reported.append(value)
        asks = step < self._ask_before
        self._tell({"step": step, "value": value, "asks": asks})
        if asks:
            self.is_stopped = self._verdict(verdict_path(self._root, self._key, step)) == "stop"
        return self.is_stopped

    @staticmethod
    def _verdict(path: Path) -> str:
        started = time.monotonic()
        while not path.exists() and time.monotonic() - started < VERDICT_SECONDS:
            time.sleep(_LOOK_SECONDS)
        said = path.read_text() if path.exists() else "go on"
        path.unlink(missing_ok=True)
        return said


def score(model: Any, dataset: Dataset, part: Part, task: Task) -> float:
    """Share of right answers, or for values to predict the mean absolute error, negative: more is better.

    Raises:
        InputError: The network's outputs are no numbers.
    """
    outputs = outputs_of(model, dataset, part)
    if not np.isfinite(outputs).all():
        # Training diverged; the worst that can be is told apart from nothing.
        return 0.0 if task.kind != "regression" else -math.inf
    if task.kind == "regression":
        return -float(np.abs(outputs[:, 0] - part.labels).mean())
    found = outputs.argmax(axis=1) if task.kind == "multiclass" else decided(outputs[:, 0], task)
    return float((found == part.labels).mean())


def outputs_of(model: Any, dataset: Dataset, part: Part) -> np.ndarray:
    """Outputs float32 [n, size] of all examples of a part."""
    shape = tuple(model.input_shape[1:])
    count = max(1, min(AT_ONCE, CHUNK_BYTES // (4 * max(1, math.prod(shape)))))
    pieces = [
        np.asarray(model.predict_on_batch(dataset.real(part.images[start : start + count], shape)))
        for start in range(0, len(part.labels), count)
    ]
    outputs: np.ndarray = np.concatenate(pieces)
    return outputs


def write_file(model: Any, path: Path) -> None:
    """The model as fp32 TFLite file, whose speed is measured."""
    from optkit.exporters import ExportJob

    job = ExportJob(recipe=Recipe("fp32", (Step("fp32"),)), calibration=np.zeros((0, *model.input_shape[1:])))
    exporter = registry.by_format("exporters", "tflite")
    store.write_atomically(path, lambda temporary: exporter.export(job, model, temporary))


def train_chosen(tell: Tell, *, folder: str, key: str, settings: Mapping[str, Any], threads: int) -> None:
    """Train the chosen settings on training and validation data, and judge that model once on the test part."""
    from optkit import keras_models
    from optkit.keras_models import to_keras3
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    root = Path(folder)
    wanted = msgspec.convert(settings, TrainSettings)
    configure_tensorflow(wanted.seed, threads=threads)
    whole = train_data.load(wanted)
    model, task, epochs = _trained(wanted, protocols.all_for_training(whole), tell, None)
    stem = root / "models" / "best"
    files = [stem.with_suffix(".h5"), stem.with_suffix(".keras")]
    keras_models.save(model, files[0])
    to_keras3.save_keras3(model, files[1])
    outputs = outputs_of(model, whole, whole.test)
    answers = outputs.argmax(axis=1) if task.kind == "multiclass" else decided(outputs[:, 0], task)
    result = {
        "epochs": msgspec.to_builtins(epochs),
        "parameters": int(model.count_params()),
        "train": len(whole.train.labels) + len(whole.validation.labels),
        "test": len(whole.test.labels),
        "correct": None if task.kind == "regression" else int((answers == whole.test.labels).sum()),
        "mean_absolute_error": None
        if task.kind != "regression"
        else float(np.abs(outputs[:, 0] - whole.test.labels).mean()),
    }
    made = [store.describe_file(root, one) for one in files]
    store.save_stage(root, StageRecord(key, "chosen", made, result, round(time.perf_counter() - started, 3)))
