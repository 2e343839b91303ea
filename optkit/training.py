"""Trains a tf_keras model: whole chunks of steps run inside one TensorFlow function.

Compared with ``Model.fit`` this leaves Python out of the inner loop, which small networks spend much of their time
in, and makes the order of the examples a function of the seed alone.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from optkit.schema import Epoch

if TYPE_CHECKING:
    import numpy as np

    from optkit.data import Dataset
    from optkit.problem import Task
    from optkit.workers import Tell

# Steps between two progress messages; large enough that Python is not in the way.
CHUNK_STEPS = 50
# Real inputs that are in memory at a time; data need not fit as a whole.
CHUNK_BYTES = 64 << 20
EVALUATED_AT_ONCE = 500
_ACCURACY = "accuracy"


class TrainingPlan(Struct, frozen=True):
    """How to train.

    Attributes:
        epochs: Passes over the training images.
        batch: Images per step; a last incomplete batch is left out (the order changes every epoch).
        optimizer: Update rule with its Keras defaults but for the learning rate.
        learning_rate: Initial rate.
        schedule: ``cosine`` decays to zero over all steps (Loshchilov and Hutter, SGDR, arXiv:1608.03983, eq. 5
            with one period), so that training ends on its plateau; ``constant`` does not decay.
    """

    epochs: int
    batch: int
    optimizer: Literal["adam", "rmsprop", "sgd"]
    learning_rate: float
    schedule: Literal["cosine", "constant"]


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

    Returns:
        One record per epoch.
    """
    import numpy as np
    import tensorflow as tf
    import tf_keras

    examples, labels = dataset.train.images, _targets(dataset.train.labels, task)
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
                    "accuracy": _logs(model).get(_ACCURACY),
                }
            )
        seconds = time.perf_counter() - started
        logs, held_out = _logs(model), _evaluate(model, dataset, task)
        epochs.append(
            Epoch(
                loss=logs["loss"],
                accuracy=logs.get(_ACCURACY),
                validation_loss=held_out["loss"],
                validation_accuracy=held_out.get(_ACCURACY),
                seconds=round(seconds, 3),
            )
        )
    return epochs


def loss_and_metric(task: Task) -> tuple[Any, Any]:
    """The Keras loss that belongs to a task's outputs, and its accuracy (``None`` for regression).

    Regression is trained on the mean squared error; probabilities of their own (``sigmoids``) on the binary
    cross-entropy of one-hot labels, all others on the cross-entropy of their kind.
    """
    import tf_keras

    logits = task.outputs == "logits"
    if task.kind == "regression":
        return tf_keras.losses.MeanSquaredError(), None
    if task.kind == "binary":
        # Keras compares outputs with the threshold as they are.
        return tf_keras.losses.BinaryCrossentropy(from_logits=logits), tf_keras.metrics.BinaryAccuracy(
            _ACCURACY, threshold=0.0 if logits else 0.5
        )
    if task.outputs == "sigmoids":
        return tf_keras.losses.BinaryCrossentropy(), tf_keras.metrics.CategoricalAccuracy(_ACCURACY)
    return (
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=logits),
        tf_keras.metrics.SparseCategoricalAccuracy(_ACCURACY),
    )


def _targets(labels: np.ndarray, task: Task) -> np.ndarray:
    """Labels as the task's loss takes them: int64 [n], or float32 [n, 1], or one-hot float32 [n, size]."""
    import numpy as np

    if task.kind == "multiclass" and task.outputs != "sigmoids":
        return labels
    if task.kind == "multiclass":
        one_hot: np.ndarray = np.eye(task.size, dtype=np.float32)[labels]
        return one_hot
    return labels.astype(np.float32).reshape(-1, 1)


def _evaluate(model: Any, dataset: Dataset, task: Task) -> dict[str, float]:
    """Loss and accuracy on the validation part, which need not fit in memory."""
    part, shape = dataset.validation, tuple(model.input_shape[1:])
    targets = _targets(part.labels, task)
    model.reset_metrics()
    count = max(1, min(EVALUATED_AT_ONCE, CHUNK_BYTES // (max(1, math.prod(shape)) * 4)))
    for start in range(0, len(targets), count):
        rows = slice(start, start + count)
        model.test_on_batch(dataset.real(part.images[rows], shape), targets[rows], reset_metrics=False)
    return _logs(model)


def _logs(model: Any) -> dict[str, float]:
    return {metric.name: float(metric.result()) for metric in model.metrics}
