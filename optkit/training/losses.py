"""What is minimized and what is counted while training, by what the outputs stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from optkit.problem import Task
    from optkit.training.plan import TrainingPlan

ACCURACY = "accuracy"
# What can be minimized for each kind of task; the first one belongs to it.
LOSSES = {
    "multiclass": ("cross-entropy", "one-hot cross-entropy", "binary cross-entropy", "mean squared", "mean absolute"),
    "binary": ("binary cross-entropy", "mean squared", "mean absolute"),
    "regression": ("mean squared", "mean absolute"),
}


class Objective(NamedTuple):
    """What training minimizes.

    Attributes:
        loss: The Keras loss.
        metric: Its accuracy; ``None`` for regression.
        one_hot: Whether labels of several classes are given as rows with a one.
    """

    loss: Any
    metric: Any
    one_hot: bool


def objective(task: Task, plan: TrainingPlan) -> Objective:
    """The loss that a plan names, else the one that belongs to the task, and the accuracy.

    Raises:
        InputError: The loss, label smoothing or MixUp is not for such outputs.
    """
    from tf_keras import losses, metrics

    name = plan.loss or _own(task)
    if name not in LOSSES[task.kind]:
        raise InputError(
            f"--loss {plan.loss!r} is not for a {task.kind} network: expected one of {', '.join(LOSSES[task.kind])}"
        )
    logits = task.outputs == "logits"
    if logits and name.startswith("mean") and task.kind != "regression":
        raise InputError(f"--loss {name!r} compares probabilities with labels, the network gives logits; add a softmax")
    if plan.label_smoothing and not name.endswith("cross-entropy"):
        raise InputError(f"--label-smoothing is for cross-entropies, the loss is {name!r}")
    one_hot = task.kind == "multiclass" and (
        name != "cross-entropy" or plan.label_smoothing > 0 or plan.augmentation.mixup > 0
    )
    if name.startswith("mean"):
        loss = losses.MeanSquaredError() if name == "mean squared" else losses.MeanAbsoluteError()
    elif name == "binary cross-entropy":
        loss = losses.BinaryCrossentropy(from_logits=logits, label_smoothing=plan.label_smoothing)
    elif one_hot:
        loss = losses.CategoricalCrossentropy(from_logits=logits, label_smoothing=plan.label_smoothing)
    else:
        loss = losses.SparseCategoricalCrossentropy(from_logits=logits)
    if task.kind == "regression":
        return Objective(loss, None, one_hot)
    if task.kind == "binary":
        # Keras compares outputs with the threshold as they are.
        return Objective(loss, metrics.BinaryAccuracy(ACCURACY, threshold=0.0 if logits else 0.5), one_hot)
    kind = metrics.CategoricalAccuracy if one_hot else metrics.SparseCategoricalAccuracy
    return Objective(loss, kind(ACCURACY), one_hot)


def _own(task: Task) -> str:
    """Several probabilities of their own (``sigmoids``) are trained each by itself, all others as their kind is."""
    return "binary cross-entropy" if task.outputs == "sigmoids" else LOSSES[task.kind][0]


def targets_of(labels: np.ndarray, task: Task, *, one_hot: bool) -> np.ndarray:
    """Labels as the loss takes them: int64 [n], or float32 [n, 1], or one-hot float32 [n, size]."""
    import numpy as np

    if task.kind != "multiclass":
        return labels.astype(np.float32).reshape(-1, 1)
    if not one_hot:
        return labels
    rows: np.ndarray = np.eye(task.size, dtype=np.float32)[labels]
    return rows
