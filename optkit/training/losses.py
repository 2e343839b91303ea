"""What is minimized and what is counted while training, by what was asked for and what the outputs stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from optkit.problem import Task
    from optkit.training.plan import Loss, TrainingPlan

ACCURACY = "accuracy"


class Objective(NamedTuple):
    """What is minimized.

    Attributes:
        loss: Its name.
        smoothing: Share of each label that is spread over all classes.
        one_hot: Labels are one-hot float32 [n, task.size] instead of class numbers.
        blended: Labels are of no one class: mixup blends them.
    """

    loss: Loss
    smoothing: float
    one_hot: bool
    blended: bool


def objective_of(plan: TrainingPlan, task: Task) -> Objective:
    """What a plan minimizes for a task.

    Without a ``loss`` regression is trained on the mean squared error; two classes, and probabilities of their own
    (``sigmoids``), on the binary cross-entropy, where each output is a question of its own; other classes on the
    cross-entropy. Cross-entropy of class numbers is computed from one-hot labels, with the same value, where labels
    are smoothed or blended.

    Raises:
        InputError: The loss does not fit the outputs, or labels cannot be smoothed.
    """
    several = task.kind == "multiclass" and task.outputs != "sigmoids"
    usual: Loss = "cross-entropy" if several else "binary cross-entropy"
    loss = plan.loss or ("mean squared" if task.kind == "regression" else usual)
    fitting: list[Loss] = ["cross-entropy", "one-hot cross-entropy"] if several else []
    # Logits of several classes are compared with each other, not each with zero.
    if task.kind != "regression" and not (several and task.outputs == "logits"):
        fitting.append("binary cross-entropy")
    # An error against 0 and 1 means nothing for numbers that are no probabilities.
    if task.outputs != "logits":
        fitting += ["mean squared", "mean absolute"]
    if loss not in fitting:
        raise InputError(
            f"--loss {loss!r} does not fit {task.kind} outputs that are {task.outputs}: choose {' or '.join(fitting)}"
        )
    if plan.label_smoothing and not loss.endswith("cross-entropy"):
        raise InputError(
            f"--label-smoothing is for the cross-entropies, the loss is {loss!r}: choose one of them, or 0"
        )
    blended = plan.augmentation.mixup > 0
    numbers = loss == "cross-entropy" and not plan.label_smoothing and not blended
    return Objective(loss, plan.label_smoothing, task.kind == "multiclass" and not numbers, blended)


def loss_and_metric(objective: Objective, task: Task) -> tuple[Any, Any]:
    """The Keras loss, and the accuracy that goes with its labels (``None`` for regression).

    Blended labels count as the class, or the side of one half, that has most of them.
    """
    import tf_keras

    losses, metrics, logits = tf_keras.losses, tf_keras.metrics, task.outputs == "logits"
    if objective.loss == "mean squared":
        loss = losses.MeanSquaredError()
    elif objective.loss == "mean absolute":
        loss = losses.MeanAbsoluteError()
    elif objective.loss == "binary cross-entropy" and task.kind == "multiclass" and task.outputs == "probabilities":
        loss = _binary_of_softmax(objective.smoothing)
    elif objective.loss == "binary cross-entropy":
        loss = losses.BinaryCrossentropy(from_logits=logits, label_smoothing=objective.smoothing)
    elif objective.one_hot:
        loss = losses.CategoricalCrossentropy(from_logits=logits, label_smoothing=objective.smoothing)
    else:
        loss = losses.SparseCategoricalCrossentropy(from_logits=logits)
    if task.kind == "regression":
        return loss, None
    if task.kind == "binary":
        # Keras compares outputs with the threshold as they are, and labels with 0 and 1.
        threshold = 0.0 if logits else 0.5
        if objective.blended:
            return loss, metrics.MeanMetricWrapper(_same_side, ACCURACY, threshold=threshold)
        return loss, metrics.BinaryAccuracy(ACCURACY, threshold=threshold)
    of_classes = metrics.CategoricalAccuracy if objective.one_hot else metrics.SparseCategoricalAccuracy
    return loss, of_classes(ACCURACY)


def _binary_of_softmax(smoothing: float) -> Any:
    """The binary cross-entropy of each of a softmax's outputs.

    Keras remembers what went into a softmax, takes it for what goes into a sigmoid, and would minimize something else.
    """
    import tensorflow as tf
    import tf_keras

    class OfProbabilities(tf_keras.losses.BinaryCrossentropy):  # type: ignore[misc]  # Keras ships no types
        def call(self, labels: Any, outputs: Any) -> Any:
            return super().call(labels, tf.identity(outputs))

    return OfProbabilities(label_smoothing=smoothing)


def _same_side(labels: Any, outputs: Any, threshold: float) -> Any:
    import tensorflow as tf

    return tf.cast((labels > 0.5) == (outputs > threshold), tf.float32)


def targets_of(labels: np.ndarray, objective: Objective, task: Task) -> np.ndarray:
    """Labels as the loss takes them: int64 [n], or one-hot float32 [n, task.size], or float32 [n, 1]."""
    import numpy as np

    if task.kind != "multiclass":
        return labels.astype(np.float32).reshape(-1, 1)
    if not objective.one_hot:
        return labels
    one_hot: np.ndarray = np.eye(task.size, dtype=np.float32)[labels]
    return one_hot
