"""What is minimized and what is counted while training, by what the outputs stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from optkit.problem import Task

ACCURACY = "accuracy"


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
            ACCURACY, threshold=0.0 if logits else 0.5
        )
    if task.outputs == "sigmoids":
        return tf_keras.losses.BinaryCrossentropy(), tf_keras.metrics.CategoricalAccuracy(ACCURACY)
    return (
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=logits),
        tf_keras.metrics.SparseCategoricalAccuracy(ACCURACY),
    )


def targets_of(labels: np.ndarray, task: Task) -> np.ndarray:
    """Labels as the task's loss takes them: int64 [n], or float32 [n, 1], or one-hot float32 [n, size]."""
    import numpy as np

    if task.kind == "multiclass" and task.outputs != "sigmoids":
        return labels
    if task.kind == "multiclass":
        one_hot: np.ndarray = np.eye(task.size, dtype=np.float32)[labels]
        return one_hot
    return labels.astype(np.float32).reshape(-1, 1)
