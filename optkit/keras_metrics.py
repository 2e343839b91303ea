"""Keras metrics by the names that people give ``Model.compile``, computed of outputs as they come.

The names are known without TensorFlow, so that a wrong one stops a run before any work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from optkit.problem import Kind, Task

_CLASSES: tuple[Kind, ...] = ("multiclass", "binary")
_SEVERAL: tuple[Kind, ...] = ("multiclass",)
_BINARY: tuple[Kind, ...] = ("binary",)
_VALUES: tuple[Kind, ...] = ("regression",)
_ALL: tuple[Kind, ...] = ("multiclass", "binary", "regression")
_THRESHOLDS = ("AUC", "Precision", "Recall", "TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives")

# Class of ``tf_keras.metrics`` → the tasks that it says something about.
METRICS: dict[str, tuple[Kind, ...]] = {
    **dict.fromkeys(_THRESHOLDS, _CLASSES),
    "F1Score": _CLASSES,
    "FBetaScore": _CLASSES,
    "CategoricalAccuracy": _SEVERAL,
    "SparseCategoricalAccuracy": _SEVERAL,
    "TopKCategoricalAccuracy": _SEVERAL,
    "SparseTopKCategoricalAccuracy": _SEVERAL,
    "CategoricalCrossentropy": _SEVERAL,
    "SparseCategoricalCrossentropy": _SEVERAL,
    "CategoricalHinge": _SEVERAL,
    "KLDivergence": _SEVERAL,
    "BinaryAccuracy": _BINARY,
    "BinaryCrossentropy": _CLASSES,
    "BinaryIoU": _BINARY,
    "Hinge": _BINARY,
    "SquaredHinge": _BINARY,
    "MeanAbsoluteError": _ALL,
    "MeanSquaredError": _ALL,
    "RootMeanSquaredError": _ALL,
    "MeanAbsolutePercentageError": _VALUES,
    "MeanSquaredLogarithmicError": _VALUES,
    "LogCoshError": _ALL,
    "Poisson": _VALUES,
    "CosineSimilarity": _SEVERAL,
    "R2Score": _VALUES,
}
# Known to Keras, but not to be had by name alone, and why.
UNJUDGED = {
    "Accuracy": "it counts outputs that equal the label exactly; accuracy (in lower case) is the one that is meant",
    **dict.fromkeys(
        (
            "IoU",
            "MeanIoU",
            "MeanRelativeError",
            "OneHotIoU",
            "OneHotMeanIoU",
            "PrecisionAtRecall",
            "RecallAtPrecision",
            "SensitivityAtSpecificity",
            "SpecificityAtSensitivity",
        ),
        "it needs arguments, which a name cannot carry",
    ),
    **dict.fromkeys(("Mean", "MeanTensor", "Sum"), "it does not compare outputs with labels"),
}
# Short names that Keras has as functions or in ``Model.compile``; ``accuracy`` depends on the task.
_ALIASES = {
    "acc": "accuracy",
    "ce": "crossentropy",
    "mae": "MeanAbsoluteError",
    "mse": "MeanSquaredError",
    "rmse": "RootMeanSquaredError",
    "mape": "MeanAbsolutePercentageError",
    "msle": "MeanSquaredLogarithmicError",
    "kld": "KLDivergence",
    "kullbackleiblerdivergence": "KLDivergence",
    "logcosh": "LogCoshError",
}
# By kind of task; none for values.
_BY_TASK: dict[str, dict[Kind, str]] = {
    "accuracy": {"multiclass": "SparseCategoricalAccuracy", "binary": "BinaryAccuracy"},
    "crossentropy": {"multiclass": "SparseCategoricalCrossentropy", "binary": "BinaryCrossentropy"},
}


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "")


_KNOWN = {
    **{_plain(name): name for name in (*METRICS, *UNJUDGED) if name != "Accuracy"},
    **_ALIASES,
    **{name: name for name in _BY_TASK},
}


def check_names(names: Iterable[str]) -> None:
    """Stop at a name that no Keras metric has.

    Names are those of classes (``AUC``, ``TopKCategoricalAccuracy``) or of functions (``mae``,
    ``top_k_categorical_accuracy``), in any case. No TensorFlow is loaded.

    Raises:
        InputError: With the nearest names that there are.
    """
    import difflib

    known = {_plain(one): one for one in (*METRICS, *_ALIASES, *_BY_TASK)}
    for name in names:
        if name == "Accuracy" or _plain(name) in _KNOWN:
            continue
        close = difflib.get_close_matches(_plain(name), list(known), n=3, cutoff=0.6)
        shown = [known[one] for one in close]
        hint = f"did you mean {' or '.join(shown)}?" if shown else f"choose one of {', '.join(known.values())}"
        raise InputError(f"--metric expects the name of a Keras metric, found {name!r}: {hint}")


def why_not(name: str, task: Task) -> str:
    """Why a known metric says nothing about a task; empty when it does.

    Args:
        name: As the user wrote it.
        task: What the outputs stand for.
    """
    found = _class_name(name, task)
    if found is None:
        return f"it is for classes, and the model gives {_GIVES[task.kind]}"
    if found in UNJUDGED:
        return UNJUDGED[found]
    if task.kind not in METRICS[found]:
        wanted = " or ".join(_GIVES[kind] for kind in METRICS[found])
        return f"it is for models that give {wanted}; this one gives {_GIVES[task.kind]}"
    return ""


_GIVES: dict[Kind, str] = {
    "multiclass": "an output for each class",
    "binary": "one probability of two classes",
    "regression": "a value",
}


def _class_name(name: str, task: Task) -> str | None:
    """The metric's class, ``None`` where a name has none for this task."""
    if name == "Accuracy":
        return name
    known = _KNOWN[_plain(name)]
    return _BY_TASK[known].get(task.kind) if known in _BY_TASK else known


class Running:
    """The metrics of a task over outputs that come piece by piece; memory does not grow with their number.

    Labels are given to Keras as its metrics expect them: class numbers to the ``Sparse…`` ones, one-hot rows to all
    others with several outputs, [n, 1] where there is one. Logits are made probabilities first (softmax, or the
    logistic function), and probabilities that rounding put beyond 0 or 1 are set to it; values are as they are.
    """

    def __init__(self, task: Task, labels: np.ndarray) -> None:
        """Prepare the metrics; TensorFlow is loaded when there are any.

        Args:
            task: Whose ``metrics`` are to be computed.
            labels: Of all examples, in the order in which their outputs will come: class numbers or values [n].

        Raises:
            InputError: A name is unknown.
        """
        check_names(task.metrics)
        self._task, self._labels, self._seen = task, labels, 0
        self._metrics: dict[str, Any] = {}
        self._reasons: dict[str, str] = {}
        for name in task.metrics:
            reason = why_not(name, task)
            if reason:
                self._reasons[name] = reason
            else:
                self._metrics[name] = _made(str(_class_name(name, task)), task)

    def see(self, outputs: np.ndarray) -> None:
        """Take the dequantized outputs of the next examples, float32 [m, task.size]."""
        if not self._metrics:
            return
        labels = self._labels[self._seen : self._seen + len(outputs)]
        self._seen += len(outputs)
        given = _probabilities(outputs, self._task)
        for metric in self._metrics.values():
            metric.update_state(_targets(labels, self._task, sparse=_is_sparse(metric)), given)

    def results(self) -> dict[str, Any]:
        """What was found.

        Returns:
            ``values``: name as given → number, or a list with one for each class; ``not_judged``: name → reason.

        Raises:
            ValueError: Outputs of some examples did not come.
        """
        import numpy as np

        if self._metrics and self._seen != len(self._labels):
            raise ValueError(f"expected outputs of {len(self._labels)} examples, found those of {self._seen}")
        values: dict[str, Any] = {}
        reasons = dict(self._reasons)
        for name, metric in self._metrics.items():
            value = np.asarray(metric.result(), np.float64)
            if np.isfinite(value).all():
                values[name] = value.tolist()
            else:
                reasons[name] = "it is not defined for these labels and outputs"
        return {"values": values, "not_judged": reasons}


def _made(class_name: str, task: Task) -> Any:
    import tf_keras

    arguments: dict[str, Any] = {}
    if class_name in {"F1Score", "FBetaScore"} and task.kind == "binary":
        # Without it, the largest of the outputs is the answer, and there is one.
        arguments["threshold"] = 0.5
    return getattr(tf_keras.metrics, class_name)(**arguments)


def _is_sparse(metric: Any) -> bool:
    return type(metric).__name__.startswith("Sparse")


def _targets(labels: np.ndarray, task: Task, *, sparse: bool) -> np.ndarray:
    import numpy as np

    if task.kind == "multiclass":
        if sparse:
            return labels
        one_hot: np.ndarray = np.eye(task.size, dtype=np.float32)[labels]
        return one_hot
    return labels.astype(np.float32).reshape(-1, 1)


def _probabilities(outputs: np.ndarray, task: Task) -> np.ndarray:
    """Outputs as Keras metrics take them, float32 [m, size]."""
    import numpy as np

    if task.kind == "regression":
        return outputs
    if task.outputs != "logits":
        clipped: np.ndarray = np.clip(outputs, 0.0, 1.0)
        return clipped
    if task.kind == "binary":
        wide = outputs.astype(np.float64)
        # Two forms of one function, each without overflow on its side.
        grown = np.exp(-np.abs(wide))
        found: np.ndarray = np.where(wide >= 0, 1 / (1 + grown), grown / (1 + grown))
        return found.astype(np.float32)
    powers: np.ndarray = np.exp(outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True))
    found = powers / powers.sum(axis=1, keepdims=True)
    return found.astype(np.float32)
