"""Trains a tf_keras classifier: whole chunks of steps run inside one TensorFlow function.

Compared with ``Model.fit`` this leaves Python out of the inner loop, which small networks spend much of their time
in, and makes the order of the examples a function of the seed alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from optkit.schema import Epoch

if TYPE_CHECKING:
    from optkit.data import Part
    from optkit.workers import Tell

# Steps between two progress messages; large enough that Python is not in the way.
CHUNK_STEPS = 50


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
    train_part: Part,
    validation_part: Part,
    plan: TrainingPlan,
    *,
    seed: int,
    tell: Tell,
) -> list[Epoch]:
    """Train a model that ends in class probabilities, in place.

    Args:
        model: A tf_keras model with input [batch, *shape] and output float32 [batch, classes] that sums to one.
        train_part: Training images uint8 [n, height, width] and labels.
        validation_part: Looked at after every epoch; nothing is chosen by it here.
        plan: How to train.
        seed: Decides the order of the examples.
        tell: Receives ``done`` and ``total`` steps and the running ``accuracy``.

    Returns:
        One record per epoch.
    """
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from optkit.data import to_real

    shape = tuple(model.input_shape[1:])
    batch = min(plan.batch, len(train_part.labels))
    steps = len(train_part.labels) // batch
    rate: Any = plan.learning_rate
    if plan.schedule == "cosine":
        rate = tf_keras.optimizers.schedules.CosineDecay(plan.learning_rate, max(1, plan.epochs * steps))
    optimizers = {
        "adam": tf_keras.optimizers.Adam,
        "rmsprop": tf_keras.optimizers.RMSprop,
        "sgd": tf_keras.optimizers.SGD,
    }
    model.compile(
        optimizer=optimizers[plan.optimizer](rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    images = tf.constant(train_part.images)
    labels = tf.constant(train_part.labels)
    validation_images = to_real(validation_part.images, shape)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def run_steps(order: Any, first: Any, last: Any) -> None:
        for step in tf.range(first, last):
            chosen = order[step * batch : (step + 1) * batch]
            chosen.set_shape([batch])
            real = tf.reshape(tf.cast(tf.gather(images, chosen), tf.float32) / 255.0, [batch, *shape])
            model.train_step((real, tf.gather(labels, chosen)))

    generator = np.random.default_rng(seed)
    epochs = []
    for epoch in range(plan.epochs):
        started = time.perf_counter()
        order = tf.constant(generator.permutation(len(train_part.labels)).astype(np.int32))
        model.reset_metrics()
        logs: dict[str, float] = {}
        for first in range(0, steps, CHUNK_STEPS):
            last = min(steps, first + CHUNK_STEPS)
            run_steps(order, tf.constant(first), tf.constant(last))
            logs = {metric.name: float(metric.result()) for metric in model.metrics}
            tell(
                {
                    "done": epoch * steps + last,
                    "total": plan.epochs * steps,
                    "epoch": epoch + 1,
                    "epochs": plan.epochs,
                    "accuracy": logs["accuracy"],
                }
            )
        seconds = time.perf_counter() - started
        held_out = model.evaluate(
            validation_images, validation_part.labels, batch_size=500, verbose=0, return_dict=True
        )
        epochs.append(
            Epoch(
                loss=logs["loss"],
                accuracy=logs["accuracy"],
                validation_loss=held_out["loss"],
                validation_accuracy=held_out["accuracy"],
                seconds=round(seconds, 3),
            )
        )
    return epochs
