"""How good a file's answers are: the figures of its report entry, by the kind of task.

Classes are judged by accuracy, values by their errors; Keras metrics that the user named stand beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optkit.measure.accuracy import accuracy, accuracy_validation, class_metrics, flips
from optkit.quality import Errors
from optkit.statistics import compare_errors, mean_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optkit.problem import Task

# Examples whose value changed most are listed, so that one can look at them.
MOST_CHANGES = 20

# By ``test`` or ``validation``: class numbers int64 [n], or values float32 [n].
Parts = dict[str, np.ndarray]


class Judged(NamedTuple):
    """The answers of one file and of those that it is held against, each by part.

    Attributes:
        own: The file's answers; ``test`` always, ``validation`` where there was one.
        baseline: Those of the baseline file of its format; ``None`` for the baseline itself.
        control: Those of a model with the same training but without the technique.
        keras: Named Keras metrics by part, see ``optkit.keras_metrics``.
    """

    own: Mapping[str, np.ndarray]
    baseline: Mapping[str, np.ndarray] | None = None
    control: Mapping[str, np.ndarray] | None = None
    keras: Mapping[str, Mapping[str, Any]] = {}


def fields(task: Task, labels: Mapping[str, np.ndarray], judged: Judged) -> dict[str, Any]:
    """Everything that a report entry (``Variant``) says about quality.

    Args:
        task: What the answers stand for.
        labels: Right answers by part, as the answers are.
        judged: The answers.

    Returns:
        ``accuracy``, ``accuracy_validation``, ``flips`` for classes; ``errors``, ``errors_validation`` for values;
        and ``metrics``: per class for classes (``per_class``), ``median_absolute_error``,
        ``largest_absolute_error``, ``r2`` and ``largest_changes`` for values, and ``keras`` with what was named.

    Raises:
        ValueError: Answers and labels do not fit each other.
    """
    found = _values(labels, judged) if task.kind == "regression" else _classes(task, labels, judged)
    if judged.keras:
        found["metrics"] = {**found["metrics"], "keras": {name: dict(one) for name, one in judged.keras.items()}}
    return found


def _classes(task: Task, labels: Mapping[str, np.ndarray], judged: Judged) -> dict[str, Any]:
    own, baseline, control = judged.own, judged.baseline, judged.control
    on_test = accuracy(
        labels["test"],
        own["test"],
        None if baseline is None else baseline["test"],
        None if control is None else control["test"],
        classes=task.classes,
    )
    validated = None
    if "validation" in own:
        before = None if baseline is None else baseline["validation"]
        validated = accuracy_validation(labels["validation"], own["validation"], before)
    return {
        "accuracy": on_test,
        "accuracy_validation": validated,
        "metrics": class_metrics(on_test.confusion),
        "flips": [] if baseline is None else flips(labels["test"], baseline["test"], own["test"]),
    }


def _values(labels: Mapping[str, np.ndarray], judged: Judged) -> dict[str, Any]:
    def part(name: str) -> Errors | None:
        if name not in judged.own:
            return None
        baseline = None if judged.baseline is None else judged.baseline[name]
        control = None if judged.control is None else judged.control[name]
        return errors(labels[name], judged.own[name], baseline, control)

    metrics = value_metrics(labels["test"], judged.own["test"])
    if judged.baseline is not None:
        metrics["largest_changes"] = largest_changes(labels["test"], judged.baseline["test"], judged.own["test"])
    return {"errors": part("test"), "errors_validation": part("validation"), "metrics": metrics}


def errors(
    labels: np.ndarray, found: np.ndarray, baseline: np.ndarray | None = None, control: np.ndarray | None = None
) -> Errors:
    """Errors of the values that a file gives, against the baseline's and a control's where given.

    Args:
        labels: Right values, numbers [n].
        found: The file's values, float32 [n].
        baseline: The baseline file's values for the same examples; ``None`` for the baseline itself.
        control: Values of a model with the same training but without the technique.

    Raises:
        ValueError: Lengths differ, there is no example, or a value is not finite.
    """
    away = _away(labels, found)
    interval = mean_interval(np.abs(away))
    return Errors(
        mae=float(np.abs(away).mean()),
        # An absolute error is never under 0.
        mae_ci95=None if interval is None else (max(0.0, interval[0]), interval[1]),
        rmse=float(np.sqrt(np.square(away).mean())),
        total=len(away),
        versus_baseline=None if baseline is None else compare_errors(labels, baseline, found),
        versus_control=None if control is None else compare_errors(labels, control, found),
    )


def value_metrics(labels: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Further figures of the errors: median, largest, and R² (``None`` where all labels are equal)."""
    away = _away(labels, found)
    wide = labels.astype(np.float64)
    spread = float(np.square(wide - wide.mean()).sum())
    return {
        "median_absolute_error": float(np.median(np.abs(away))),
        "largest_absolute_error": float(np.abs(away).max()),
        "r2": 1 - float(np.square(away).sum()) / spread if spread else None,
    }


def largest_changes(labels: np.ndarray, baseline: np.ndarray, found: np.ndarray) -> list[dict[str, Any]]:
    """The 20 examples whose value differs most from the baseline file's, the largest first.

    Returns:
        ``{"index", "baseline", "answer", "label"}`` of each; examples with the same value are left out.
    """
    change = np.abs(found.astype(np.float64) - baseline)
    # Stable: of equal changes the first example comes first.
    order = np.argsort(-change, kind="stable")[:MOST_CHANGES]
    return [
        {"index": int(at), "baseline": float(baseline[at]), "answer": float(found[at]), "label": float(labels[at])}
        for at in order
        if change[at]
    ]


def _away(labels: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Differences float64 [n] from the right values."""
    if labels.shape != found.shape or labels.ndim != 1 or not labels.size:
        raise ValueError(f"expected a value for each example, found shapes {found.shape} for {labels.shape}")
    away: np.ndarray = found.astype(np.float64) - labels
    if not np.isfinite(away).all():
        raise ValueError(f"expected finite values, found {int((~np.isfinite(away)).sum())} that are not")
    return away
