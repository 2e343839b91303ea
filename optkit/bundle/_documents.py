"""What people read in a bundle: pages filled from templates, the model card among them."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from optkit.device.intervals import wilson_interval
from optkit.device.ports import divisor, from_native

if TYPE_CHECKING:
    import jinja2

    from optkit.bundle import Subject
    from optkit.problem import Preprocessing


@cache
def _templates() -> jinja2.Environment:
    import jinja2

    # No page here is HTML; a missing value is a defect and not an empty place.
    return jinja2.Environment(  # noqa: S701
        loader=jinja2.PackageLoader("optkit.bundle", "_templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def filled(template: str, **values: Any) -> str:
    """A template with its values."""
    return _templates().get_template(template).render(**values)


def model_card(subject: Subject) -> str:
    """What the model is, what it was trained on, how right it is and where its limits are."""
    report, variant = subject.report, subject.variant
    return filled(
        "model_card.md.j2",
        subject=subject,
        version=version("optkit"),
        given_shape=_shape(subject.given.shape),
        found_shape=_shape(subject.found.shape),
        formula=_formula(subject.preprocessing),
        parameters=sum(one.values.size for one in subject.facts.constants if one.role in {"weight", "bias"}),
        accuracy=_accuracy(subject),
        steps=[] if subject.recipe is None else [(step.name, step.params) for step in subject.recipe.steps],
        created=None if report is None else report.created,
        command=None if report is None else report.command,
        seed=None if report is None else report.seed,
        metrics=None if variant is None else variant.metrics,
    )


def _shape(axes: tuple[int, ...]) -> str:
    """[any, 28, 28] for (-1, 28, 28)."""
    return f"[{', '.join('any' if axis < 0 else str(axis) for axis in axes)}]"


def _formula(fed: Preprocessing) -> str:
    """How raw values become real inputs."""
    whole = divisor(fed.scale)
    scaled = "raw" if fed.scale == 1 else f"raw / {whole}" if whole else f"raw · {fed.scale:.9g}"
    mean, std = (", ".join(f"{value:.9g}" for value in values) for values in (fed.mean, fed.std))
    shifted = f"{scaled} − ({mean})" if mean else scaled
    divided = f"({shifted}) / ({std})" if std else shifted
    return "the raw values as they are" if divided == "raw" else divided


def _accuracy(subject: Subject) -> dict[str, Any] | None:
    """Right answers on the test set: the report's where there is one, else counted here."""
    import numpy as np

    known = None if subject.variant is None else subject.variant.accuracy
    if known is not None:
        return {"correct": known.correct, "total": known.total, "ci95": known.ci95}
    if subject.labels is None or subject.task.kind != "multiclass":
        return None
    right = int((from_native(subject.outputs, subject.found).argmax(axis=1) == np.asarray(subject.labels)).sum())
    return {"correct": right, "total": len(subject.labels), "ci95": wilson_interval(right, len(subject.labels))}
