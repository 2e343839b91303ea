"""The stage of ``optkit train`` that trains a network, in a worker process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit import store
from optkit.pipeline import building, train_data
from optkit.pipeline.stages import for_training
from optkit.pipeline.train_logs import Board
from optkit.pipeline.train_settings import TrainSettings
from optkit.report.train_record import CurvePoint, Start, Summary, SummaryLayer
from optkit.store import StageRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optkit.data import Dataset
    from optkit.problem import Task
    from optkit.schema import Epoch
    from optkit.workers import Tell

# What training and judging need of what the worker server imports for compress: fewer modules, a quicker start.
PRELOAD = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization")


def train_network(
    tell: Tell,
    *,
    folder: str,
    key: str,
    name: str,
    settings: Mapping[str, Any],
    threads: int,
    logs: bool,
) -> None:
    """Train the network that the settings describe and save it as tf_keras (HDF5) and Keras 3 file.

    The steps up to the trained weights are those of ``stages.train_baseline``, in the same order: the same settings
    give the same weights in both commands. Training ends at a loss that is no number; nothing is saved then.

    Raises:
        InputError: The layers do not fit the data.
    """
    from optkit.training import configure_tensorflow, kept_epoch, train

    started = time.perf_counter()
    root = Path(folder)
    wanted = msgspec.convert(settings, TrainSettings)
    configure_tensorflow(wanted.seed, threads=threads)
    dataset = train_data.load(wanted)
    model, task = building.build(wanted, dataset)
    seen = for_training(dataset)
    written = _Logs(root, logs=logs)
    with building.in_unit_of_labels(model, seen, task) as trained:
        epochs = train(
            trained,
            seen,
            wanted.plan,
            task=task,
            seed=wanted.seed,
            tell=tell,
            on_epoch=written.after,
            checkpoint=root / "cache" / f"{key}.checkpoint",
        )
    written.complete(epochs)
    files: list[Path] = []
    is_sound = all(bool(np.isfinite(weights).all()) for weights in model.get_weights())
    if is_sound:
        files = _save(model, root / "models" / name)
    result = {
        "task": msgspec.to_builtins(task),
        "curve": msgspec.to_builtins(curve(epochs)),
        "start": msgspec.to_builtins(_start(wanted, seen, task)),
        "kept_epoch": 1 + kept_epoch(wanted.plan, epochs),
        "curve_examples": len(seen.validation.labels),
        "summary": msgspec.to_builtins(summary(model)),
        "is_sound": is_sound,
    }
    made = [store.describe_file(root, one) for one in files]
    store.save_stage(root, StageRecord(key, name, made, result, round(time.perf_counter() - started, 3)))


def curve(epochs: Sequence[Epoch]) -> list[CurvePoint]:
    """The learning curve as it is stored."""
    return [
        CurvePoint(
            epoch=index + 1,
            loss=epoch.loss,
            accuracy=epoch.accuracy,
            validation_loss=epoch.validation_loss,
            validation_accuracy=epoch.validation_accuracy,
            learning_rate=epoch.learning_rate,
            penalty=epoch.penalty,
            seconds=epoch.seconds,
        )
        for index, epoch in enumerate(epochs)
    ]


class _Logs:
    """TensorBoard's logs, where they are wanted."""

    def __init__(self, root: Path, *, logs: bool) -> None:
        self._root, self._board, self._written = root, Board(root) if logs else None, 0

    def after(self, index: int, epoch: Epoch) -> bool:
        """Write an epoch, numbered from 0; training is never ended by it."""
        if self._board is not None:
            self._board.write(curve([epoch])[0], index + 1)
            self._written += 1
        return False

    def complete(self, epochs: Sequence[Epoch]) -> None:
        """Write all anew where some epochs are of an earlier process, which was killed."""
        if self._board is not None and self._written < len(epochs):
            self._board = Board(self._root)
            for index, epoch in enumerate(epochs):
                self.after(index, epoch)


def _save(model: Any, stem: Path) -> list[Path]:
    from optkit import keras_models
    from optkit.keras_models import to_keras3

    files = [stem.with_name(f"{stem.name}.h5"), stem.with_name(f"{stem.name}.keras")]
    keras_models.save(model, files[0])
    to_keras3.save_keras3(model, files[1])
    return files


def _start(settings: TrainSettings, seen: Dataset, task: Task) -> Start:
    """Loss and accuracy before the first step, of a network built anew.

    Afterwards, so that the training's random numbers are those of ``optkit compress``.
    """
    import tf_keras

    from optkit.training.loop import evaluate
    from optkit.training.losses import ACCURACY, loss_and_metric, objective_of

    tf_keras.utils.set_random_seed(settings.seed)
    untrained, _ = building.build(settings, seen)
    objective = objective_of(settings.plan, task)
    loss, metric = loss_and_metric(objective, task)
    with building.in_unit_of_labels(untrained, seen, task) as first:
        first.compile(loss=loss, metrics=[] if metric is None else [metric])
        found = evaluate(first, seen, objective, task)
    return Start(found.get("loss"), found.get(ACCURACY))


def summary(model: Any) -> Summary:
    """The network layer by layer; each layer's weights are counted once."""
    from optkit.pipeline.inspect_keras import layer_macs

    layers = []
    for layer in model.layers:
        activation = getattr(getattr(layer, "activation", None), "__name__", "")
        layers.append(
            SummaryLayer(
                name=layer.name,
                kind=type(layer).__name__,
                activation="" if activation == "linear" else activation,
                output_shape=[int(axis) for axis in _shape(layer)[1:]],
                parameters=int(layer.count_params()),
                macs=layer_macs(layer),
            )
        )
    counted = [layer.macs for layer in layers]
    return Summary(
        layers=layers,
        parameters=int(model.count_params()),
        trainable_parameters=sum(int(np.prod(weights.shape)) for weights in model.trainable_weights),
        macs=None if None in counted else sum(macs for macs in counted if macs is not None),
    )


def _shape(layer: Any) -> Sequence[int]:
    """The output's; an input layer has a list of one."""
    shape: Sequence[int] = layer.output_shape[0] if isinstance(layer.output_shape, list) else layer.output_shape
    return shape
