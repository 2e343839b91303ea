"""Trains a tf_keras model: whole chunks of steps run inside one TensorFlow function.

Compared with ``Model.fit`` this leaves Python out of the inner loop, which small networks spend much of their time
in, and makes the order of the examples a function of the seed alone.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from optkit.schema import Epoch
from optkit.training.losses import ACCURACY, loss_and_metric, targets_of

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
        dataset: Its training part is trained on; its validation part is looked at after every epoch, nothing is
            chosen by it here.
        plan: How to train.
        task: What the outputs stand for, which decides the loss.
        seed: Decides the order of the examples.
        tell: Receives ``done`` and ``total`` steps and the running ``accuracy`` (``None`` for regression).
        on_epoch: Called after each epoch with its number from 0; training ends when it returns true.

    Returns:
        One record per epoch.
    """
    import numpy as np
    import tensorflow as tf
    import tf_keras

    examples, labels = dataset.train.images, targets_of(dataset.train.labels, task)
    shape = tuple(model.input_shape[1:])
    batch = min(plan.batch, len(labels))
    steps = len(labels) // batch
    rate: Any = plan.learning_rate
    if plan.schedule == "cosine":
        rate = tf_keras.optimizers.schedules.CosineDecay(plan.learning_rate, max(1, plan.epochs * steps))
    optimizers = {
        "adam": tf_keras.optimizers.Adam,
        "rmsprop": tf_keras.optimizers.RMSprop,
        "sgd": tf_keras.optimizers.SGD,
    }
    loss, metric = loss_and_metric(task)
    model.compile(optimizer=optimizers[plan.optimizer](rate), loss=loss, metrics=[] if metric is None else [metric])
    chunk = max(1, min(CHUNK_STEPS, CHUNK_BYTES // (batch * max(1, math.prod(shape)) * 4)))

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def run_steps(images: Any, targets: Any, count: Any) -> None:
        for step in tf.range(count):
            rows = slice(step * batch, (step + 1) * batch)
            image, target = images[rows], targets[rows]
            image.set_shape([batch, *shape])
            target.set_shape([batch, *labels.shape[1:]])
            model.train_step((image, target))

    generator = np.random.default_rng(seed)
    epochs = []
    for epoch in range(plan.epochs):
        started = time.perf_counter()
        order = generator.permutation(len(labels))
        model.reset_metrics()
        for first in range(0, steps, chunk):
            last = min(steps, first + chunk)
            chosen = order[first * batch : last * batch]
            real = dataset.real(examples[chosen], shape)
            run_steps(tf.constant(real), tf.constant(labels[chosen]), tf.constant(last - first))
            tell(
                {
                    "done": epoch * steps + last,
                    "total": plan.epochs * steps,
                    "epoch": epoch + 1,
                    "epochs": plan.epochs,
                    "accuracy": _logs(model).get(ACCURACY),
                }
            )
        seconds = time.perf_counter() - started
        logs, held_out = _logs(model), _evaluate(model, dataset, task)
        epochs.append(
            Epoch(
                loss=logs["loss"],
                accuracy=logs.get(ACCURACY),
                validation_loss=held_out["loss"],
                validation_accuracy=held_out.get(ACCURACY),
                seconds=round(seconds, 3),
                learning_rate=float(model.optimizer.learning_rate),
            )
        )
        if on_epoch is not None and on_epoch(epoch, epochs[-1]):
            break
    return epochs


def _evaluate(model: Any, dataset: Dataset, task: Task) -> dict[str, float]:
    """Loss and accuracy on the validation part, which need not fit in memory."""
    part, shape = dataset.validation, tuple(model.input_shape[1:])
    targets = targets_of(part.labels, task)
    model.reset_metrics()
    count = max(1, min(EVALUATED_AT_ONCE, CHUNK_BYTES // (max(1, math.prod(shape)) * 4)))
    for start in range(0, len(targets), count):
        rows = slice(start, start + count)
        model.test_on_batch(dataset.real(part.images[rows], shape), targets[rows], reset_metrics=False)
    return _logs(model)


def _logs(model: Any) -> dict[str, float]:
    return {metric.name: float(metric.result()) for metric in model.metrics}
