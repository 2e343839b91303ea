"""Trains a tf_keras model: whole chunks of steps run inside one TensorFlow function.

Compared with ``Model.fit`` this leaves Python out of the inner loop, which small networks spend much of their time
in, and makes the order of the examples a function of the seed alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.data._inputs import fed, form_of, size_of
from optkit.schema import Epoch
from optkit.training import checkpoint as checkpoints
from optkit.training.augmentation import change
from optkit.training.averaging import Average
from optkit.training.checkpoint import key_of
from optkit.training.checks import check
from optkit.training.copies import canvas_of, orders
from optkit.training.dropout import Masks, restorable
from optkit.training.losses import ACCURACY, loss_and_metric, objective_of, targets_of
from optkit.training.optimizers import cut_rate, highest_rate, optimizer_of
from optkit.training.patience import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from optkit.data import Dataset
    from optkit.data._inputs import Form
    from optkit.problem import Task
    from optkit.training.checkpoint import Weights
    from optkit.training.copies import Copies
    from optkit.training.losses import Objective
    from optkit.training.plan import TrainingPlan
    from optkit.workers import Tell

# Steps between two progress messages; large enough that Python is not in the way.
CHUNK_STEPS = 50
# Real inputs that are in memory at a time; data need not fit as a whole.
CHUNK_BYTES = 64 << 20
EVALUATED_AT_ONCE = 500


def configure_tensorflow(seed: int, *, threads: int) -> None:
    """Make a fresh process deterministic: seeds, deterministic operators, a fixed number of threads.

    Args:
        seed: Seed of Python, NumPy and TensorFlow.
        threads: Threads of one operator; their number decides the order of float additions, and so the bytes.
    """
    import tensorflow as tf
    import tf_keras

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(seed)


def train(
    model: Any,
    dataset: Dataset,
    plan: TrainingPlan,
    *,
    task: Task,
    seed: int,
    tell: Tell,
    on_epoch: Callable[[int, Epoch], bool] | None = None,
    checkpoint: Path | None = None,
    copies: Copies | None = None,
) -> list[Epoch]:
    """Train a model in place.

    With ``plan.ema`` the model has the averaged weights whenever it is evaluated, in ``on_epoch``, and at the end;
    with ``plan.early_stopping`` it ends with the weights of the epoch that ``kept_epoch`` names.

    Args:
        model: A tf_keras model with one or several inputs [batch, …] and output float32 [batch, task.size].
        dataset: Its training part is trained on; its validation part is looked at after every epoch, and decides
            nothing but when ``plateau`` and ``early_stopping`` act; without these it may be empty.
        plan: How to train.
        task: What the outputs stand for, which decides the loss where the plan does not.
        seed: Decides the order of the examples and their augmentation.
        tell: Receives ``done`` and ``total`` steps and the running ``accuracy`` (``None`` for regression).
        on_epoch: Called after each epoch with its number from 0; training ends when it returns true.
        checkpoint: File that is written after every epoch, removed at the end, and gone on from when it is there: the
            weights become the same to the byte as without a kill, and ``on_epoch`` is not called again for epochs
            that are done. One that is damaged or of another training is not used. Written only for models without
            random layers other than Dropout.
        copies: Augmented copies that come round again, with what is known of each picture: the model is given that as
            its sample weights, and has to make its loss of it.

    Returns:
        One record per epoch. Training ends after an epoch whose loss is no longer a number.

    Raises:
        InputError: The plan does not fit the task or the data.
        EnvironmentFailedError: The checkpoint cannot be written.
    """
    import numpy as np

    check(plan, task, dataset)
    objective = objective_of(plan, task)
    examples, labels = dataset.train.images, dataset.train.labels
    form = form_of(model)
    batch = min(plan.batch, len(labels))
    steps = len(labels) // batch
    file = _File(checkpoint, key_of(model, dataset, plan, task, seed)) if checkpoint and restorable(model) else None
    optimizer = optimizer_of(plan, steps, model.trainable_variables)
    loss, metric = loss_and_metric(objective, task)
    model.compile(optimizer=optimizer, loss=loss, metrics=[] if metric is None else [metric])
    chunk = max(1, min(CHUNK_STEPS, CHUNK_BYTES // (batch * size_of(form) * 4)))
    average = Average(model, plan.ema) if plan.ema else None
    progress, best = file.load(model, average) if file else (Progress(), None)
    masks = Masks(model, steps, chunk) if file else None
    target = targets_of(labels[:1], objective, task).shape[1:]
    run = _step_function(model, dataset, plan, sizes=(batch, form, target), seed=seed, average=average, masks=masks)

    turns = copies.turns if copies else 0
    for epoch, order in zip(range(plan.epochs), orders(len(labels), seed, turns), strict=False):
        turn = epoch % turns if turns else epoch
        if progress.over or epoch < len(progress.epochs):
            continue
        started = time.perf_counter()
        model.reset_metrics()
        for first in range(0, steps, chunk):
            last = min(steps, first + chunk)
            rows = slice(first * batch, last * batch)
            chosen = order[rows]
            real, targets = dataset.real(examples[chosen], form), targets_of(labels[chosen], objective, task)
            known = copies.answers[turn, rows].astype(np.float32) if copies else None
            run(Steps(real, targets, known), last - first, before=epoch * steps + first, drawn=turn * steps + first)
            tell(
                {
                    "done": epoch * steps + last,
                    "total": plan.epochs * steps,
                    "epoch": epoch + 1,
                    "epochs": plan.epochs,
                    "accuracy": _logs(model).get(ACCURACY),
                }
            )
        seconds, logs = time.perf_counter() - started, _logs(model)
        with average.in_place() if average else nullcontext():
            record = _record(model, logs, evaluate(model, dataset, objective, task), seconds)
            is_best, cuts = progress.after(record, plan)
            if is_best:
                best = model.get_weights()
            if on_epoch is not None and on_epoch(epoch, record):
                progress.over = True
        if cuts:
            cut_rate(optimizer, plan)
        if file:
            file.save(model, average, progress, best)
    _finish(model, best, average)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return progress.epochs


def _finish(model: Any, best: Weights | None, average: Average | None) -> None:
    """The weights that are kept: of the best epoch, or averaged, or the last."""
    if best is not None:
        model.set_weights(best)
    elif average is not None:
        average.put_in()


class Steps(NamedTuple):
    """Real inputs [count * batch, …] of some steps, their targets, and what is known of each besides."""

    images: np.ndarray
    targets: np.ndarray
    known: np.ndarray | None


class _File(NamedTuple):
    """A training's checkpoint: where it is, and what it is known by."""

    path: Path
    key: str

    def load(self, model: Any, average: Average | None) -> tuple[Progress, Weights | None]:
        """Set a compiled model and its averages to where the file is; the progress, and the best epoch's weights."""
        model.optimizer.build(model.trainable_variables)
        found = checkpoints.load(self.path, self.key)
        if found is None:
            return Progress(), None
        progress, weights = found
        model.set_weights(weights["model"])
        for variable, value in zip(_of_optimizer(model.optimizer), weights["optimizer"], strict=True):
            variable.assign(value)
        if average is not None:
            average.restore(weights["averages"])
        return progress, weights.get("best")

    def save(self, model: Any, average: Average | None, progress: Progress, best: Weights | None) -> None:
        """Write what ``load`` takes."""
        weights = {
            "model": model.get_weights(),
            "optimizer": [variable.numpy() for variable in _of_optimizer(model.optimizer)],
            "averages": [] if average is None else average.values(),
            "best": best or [],
        }
        checkpoints.save(self.path, self.key, progress, weights)


def _of_optimizer(optimizer: Any) -> list[Any]:
    top = highest_rate(optimizer)
    return [*optimizer.variables, *([] if top is None else [top])]


def _step_function(
    model: Any,
    dataset: Dataset,
    plan: TrainingPlan,
    *,
    sizes: tuple[int, Form, tuple[int, ...]],
    seed: int,
    average: Average | None,
    masks: Masks | None,
) -> Callable[..., None]:
    """One TensorFlow function for many steps.

    Args:
        model: Compiled.
        dataset: What is augmented.
        plan: Augmentation.
        sizes: Examples of a batch, what the model takes, shape of a target.
        seed: Decides the augmentation, together with the step.
        average: Updated after each step.
        masks: Of dropout, where the layers' own cannot be restored.

    Returns:
        Takes ``Steps``, how many they are for, how many were ``before`` since the training began, and from which
        step the augmentation is ``drawn``.
    """
    import tensorflow as tf

    batch, form, target_shape = sizes
    # ``tf.nest`` goes through a dictionary by its sorted names.
    shapes = [form[name] for name in sorted(form)] if isinstance(form, Mapping) else [form]
    on = canvas_of(dataset) if plan.augmentation.moves else None

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def run_steps(given: Steps, count: Any, before: Any, drawn: Any) -> None:
        images, targets, known = given
        for step in tf.range(count):
            of_step = partial(_rows, start=step * batch, count=batch)
            image, target = tf.nest.map_structure(of_step, images), of_step(targets)
            for one, shape in zip(tf.nest.flatten(image), shapes, strict=True):
                one.set_shape([batch, *shape])
            target.set_shape([batch, *target_shape])
            if plan.augmentation.any:
                image, target = change(image, target, plan.augmentation, on, tf.stack([seed, drawn + step]))
            if masks is not None:
                masks.at(int(targets.shape[0]) // batch, before, step)
            model.train_step((image, target) if known is None else (image, target, of_step(known)))
            if average is not None:
                average.update(before + step + 1)

    def run(steps: Steps, count: int, *, before: int, drawn: int) -> None:
        real = tf.nest.map_structure(tf.constant, fed(steps.images))
        known = None if steps.known is None else tf.constant(steps.known)
        given = Steps(real, tf.constant(steps.targets), known), *map(tf.constant, (count, before, drawn))
        if masks is None:
            run_steps(*given)
            return
        with masks.in_place():
            masks.note(tf.function(run_steps.python_function), count, *given)
            run_steps(*given)

    return run


def _rows(array: Any, start: Any, count: int) -> Any:
    return array[start : start + count]


def _record(model: Any, logs: dict[str, float], held_out: dict[str, float], seconds: float) -> Epoch:
    penalty = float(sum(model.losses))
    return Epoch(
        loss=logs.get("loss"),
        accuracy=logs.get(ACCURACY),
        validation_loss=held_out.get("loss"),
        validation_accuracy=held_out.get(ACCURACY),
        seconds=round(seconds, 3),
        learning_rate=float(model.optimizer.learning_rate),
        penalty=penalty if math.isfinite(penalty) else None,
    )


def evaluate(model: Any, dataset: Dataset, objective: Objective, task: Task) -> dict[str, float]:
    """Loss and accuracy on the validation part, which need not fit in memory; nothing where it is empty."""
    part, form = dataset.validation, form_of(model)
    if not len(part.labels):
        return {}
    model.reset_metrics()
    count = max(1, min(EVALUATED_AT_ONCE, CHUNK_BYTES // (size_of(form) * 4)))
    for start in range(0, len(part.labels), count):
        rows = slice(start, start + count)
        targets = targets_of(part.labels[rows], objective, task)
        model.test_on_batch(fed(dataset.real(part.images[rows], form)), targets, reset_metrics=False)
    return _logs(model)


def _logs(model: Any) -> dict[str, float]:
    """The running means that are numbers."""
    values = {metric.name: float(metric.result()) for metric in model.metrics}
    return {name: value for name, value in values.items() if math.isfinite(value)}
