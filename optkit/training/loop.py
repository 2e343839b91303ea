"""Trains a tf_keras model: whole chunks of steps run inside one TensorFlow function.

Compared with ``Model.fit`` this leaves Python out of the inner loop, which small networks spend much of their time
in, and makes the order of the examples a function of the seed alone.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from optkit.schema import Epoch
from optkit.training.augmentation import Canvas, canvas, change
from optkit.training.averaging import Average
from optkit.training.losses import ACCURACY, objective, targets_of
from optkit.training.optimizers import rule
from optkit.training.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.data import Dataset
    from optkit.problem import Task
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
) -> list[Epoch]:
    """Train a model in place.

    Args:
        model: A tf_keras model with input [batch, *shape] and output float32 [batch, task.size].
        dataset: Its training part is trained on; its validation part is looked at after every epoch. Nothing is
            chosen by it but what the plan says (``plateau``, ``early_stopping``); it may be empty where the plan says
            neither.
        plan: How to train. The reported losses have the penalties of ``l1`` and ``l2`` in them.
        task: What the outputs stand for, which decides the loss.
        seed: Decides the order of the examples.
        tell: Receives ``done`` and ``total`` steps and the running ``accuracy`` (``None`` for regression).
        on_epoch: Called after each epoch with its number from 0; training ends when it returns true.

    Returns:
        One record per epoch. Training ends after an epoch whose loss is no longer a number.

    Raises:
        InputError: The loss is not for such outputs, or the augmentation not for such data.
    """
    import numpy as np
    import tensorflow as tf

    wanted = objective(task, plan)
    examples = dataset.train.images
    labels = targets_of(dataset.train.labels, task, one_hot=wanted.one_hot)
    shape = tuple(model.input_shape[1:])
    batch = min(plan.batch, len(labels))
    steps = len(labels) // batch
    made, cut = rule(plan, steps=steps)
    model.compile(optimizer=made, loss=wanted.loss, metrics=[] if wanted.metric is None else [wanted.metric])
    chunk = max(1, min(CHUNK_STEPS, CHUNK_BYTES // (batch * max(1, math.prod(shape)) * 4)))
    average = Average(model, plan.ema) if plan.ema else None
    sizes = (batch, shape, labels.shape[1:])
    run_steps = _step_function(model, dataset, plan, sizes=sizes, seed=seed, average=average)
    generator = np.random.default_rng(seed)
    watch = Watch(plan, model.get_weights)
    epochs: list[Epoch] = []
    for epoch in range(plan.epochs):
        started = time.perf_counter()
        order = generator.permutation(len(labels))
        model.reset_metrics()
        for first in range(0, steps, chunk):
            last = min(steps, first + chunk)
            chosen = order[first * batch : last * batch]
            real, done = dataset.real(examples[chosen], shape), epoch * steps + first
            run_steps(tf.constant(real), tf.constant(labels[chosen]), tf.constant(last - first), tf.constant(done))
            tell(
                {
                    "done": epoch * steps + last,
                    "total": plan.epochs * steps,
                    "epoch": epoch + 1,
                    "epochs": plan.epochs,
                    "accuracy": _logs(model).get(ACCURACY),
                }
            )
        seconds, rate = time.perf_counter() - started, float(model.optimizer.learning_rate)
        logs = _logs(model)
        with nullcontext() if average is None else average.in_place():
            held_out = _evaluate(model, dataset, task, one_hot=wanted.one_hot)
            then = watch.after(held_out.get("loss"))
        epochs.append(_record(logs, held_out, seconds=seconds, rate=rate))
        is_over = on_epoch is not None and on_epoch(epoch, epochs[-1])
        if is_over or then == "stop" or epochs[-1].loss is None:
            break
        if then == "cut":
            cut()
    if watch.best is not None:
        model.set_weights(watch.best)
    elif average is not None:
        average.keep()
    return epochs


def _step_function(
    model: Any,
    dataset: Dataset,
    plan: TrainingPlan,
    *,
    sizes: tuple[int, tuple[int, ...], tuple[int, ...]],
    seed: int,
    average: Average | None,
) -> Callable[[Any, Any, Any, Any], None]:
    """One TensorFlow function for many steps.

    Args:
        model: Compiled.
        dataset: What is augmented.
        plan: Augmentation.
        sizes: Images of a batch, shape of a model's input, shape of a target.
        seed: Decides the augmentation, together with the step.
        average: Updated after each step.

    Returns:
        Takes images float32 [count * batch, *shape], targets [count * batch, …], how many steps they are for and how
        many were before, int32.
    """
    import tensorflow as tf

    batch, shape, target_shape = sizes
    on = _canvas(dataset) if plan.augmentation.moves else None

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def run_steps(images: Any, targets: Any, count: Any, before: Any) -> None:
        for step in tf.range(count):
            rows = slice(step * batch, (step + 1) * batch)
            image, target = images[rows], targets[rows]
            image.set_shape([batch, *shape])
            target.set_shape([batch, *target_shape])
            if plan.augmentation.any:
                image, target = change(image, target, plan.augmentation, on, tf.stack([seed, before + step]))
            model.train_step((image, target))
            if average is not None:
                average.update(before + step)

    taken: Callable[[Any, Any, Any, Any], None] = run_steps
    return taken


def _record(logs: dict[str, float], held_out: dict[str, float], *, seconds: float, rate: float) -> Epoch:
    return Epoch(
        loss=logs.get("loss"),
        accuracy=logs.get(ACCURACY),
        validation_loss=held_out.get("loss"),
        validation_accuracy=held_out.get(ACCURACY),
        seconds=round(seconds, 3),
        learning_rate=rate,
    )


def _canvas(dataset: Dataset) -> Canvas:
    """What the pictures are, and what surrounds them: what a raw value of zero becomes."""
    import numpy as np

    example = dataset.train.images.shape[1:]
    return canvas(example, dataset.real(np.zeros((1, *example), dataset.train.images.dtype))[0])


def _evaluate(model: Any, dataset: Dataset, task: Task, *, one_hot: bool) -> dict[str, float]:
    """Loss and accuracy on the validation part, which need not fit in memory; nothing where it is empty."""
    part, shape = dataset.validation, tuple(model.input_shape[1:])
    if not len(part.labels):
        return {}
    targets = targets_of(part.labels, task, one_hot=one_hot)
    model.reset_metrics()
    count = max(1, min(EVALUATED_AT_ONCE, CHUNK_BYTES // (max(1, math.prod(shape)) * 4)))
    for start in range(0, len(targets), count):
        rows = slice(start, start + count)
        model.test_on_batch(dataset.real(part.images[rows], shape), targets[rows], reset_metrics=False)
    return _logs(model)


def _logs(model: Any) -> dict[str, float]:
    """The running means that are numbers."""
    values = {metric.name: float(metric.result()) for metric in model.metrics}
    return {name: value for name, value in values.items() if math.isfinite(value)}
