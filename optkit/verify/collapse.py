"""Files that run and give numbers, but no answers: one class for all, NaN, outputs at their limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.schema import Check
from optkit.verify import parity

if TYPE_CHECKING:
    from optkit.problem import Task

# The clipping of a few surprising images is normal, of one in a hundred it is a wrong output scale.
_SATURATED_AT_MOST = 0.01
# Outputs that vary by a tenth of what the reference's do no longer follow the input.
_VARIATION_AT_LEAST = 0.1
# Ten times the spacing of float32 values.
_ROUNDING = 1e-6
# Two steps of an int8 sigmoid (1/256 each): closer ones may both be at the limit of a right file.
_SIGMOID_LEAD = 2 / 256
# Share of the reference's range; a value that a right output scale clips is beyond it by less.
_CLIPPED_BY = 0.05


def checks(native: np.ndarray, outputs: np.ndarray, reference: np.ndarray, task: Task | None = None) -> list[Check]:
    """Look for collapse.

    Args:
        native: The file's outputs as it gives them [n, outputs].
        outputs: The same dequantized, float32 [n, outputs].
        reference: The Keras variant's outputs, float32 [n, outputs].
        task: What the outputs stand for; a class for each output when ``None``.
    """
    finite = np.isfinite(outputs)
    found = [
        Check(
            "no NaN or infinity",
            passed=bool(finite.all()),
            observed=int((~finite).sum()),
            limit=0,
            unit="outputs",
            reason="one overflow makes every later sum NaN",
        )
    ]
    if not finite.all():
        return found
    found.append(_follows_input(outputs, reference))
    if task is not None and task.kind == "binary":
        limit = parity.threshold(task)
        found.append(_classes(outputs[:, 0] > limit, reference[:, 0] > limit))
    elif task is not None and task.kind == "regression":
        found += [_clipped(native, outputs, reference)] if native.dtype.kind in "iu" else []
    elif outputs.shape[1] > 1:
        found.append(_classes(outputs.argmax(axis=1), reference.argmax(axis=1)))
        sigmoids = task is not None and task.outputs == "sigmoids"
        found.append(_saturated(native, reference if sigmoids else None))
    return found


def _follows_input(outputs: np.ndarray, reference: np.ndarray) -> Check:
    """Outputs change from image to image, about as much as the reference's."""
    spread = float(outputs.std(axis=0, dtype=np.float64).mean())
    wanted = float(reference.std(axis=0, dtype=np.float64).mean())
    # A reference that varies by rounding alone proves nothing, so the file is not passed on its word.
    varies = wanted > _ROUNDING * float(np.abs(reference).max())
    share = spread / wanted if varies else 0.0
    return Check(
        "output depends on the input",
        passed=share >= _VARIATION_AT_LEAST,
        observed=share,
        limit=_VARIATION_AT_LEAST,
        unit="of the reference's variation over the images",
        reason="the same output for every image is no answer"
        if varies
        else "the Keras variant itself gives the same output for every image, so that no file of it can be judged",
    )


def _classes(answered: np.ndarray, wanted: np.ndarray) -> Check:
    """At least half as many classes are answered as the reference answers, and more than one where it does.

    Args:
        answered: The file's classes [n].
        wanted: The reference's [n].
    """
    own, others = len(np.unique(answered)), len(np.unique(wanted))
    limit = 1 if others == 1 else max(2, (others + 1) // 2)
    return Check(
        "answers more than one class",
        passed=own >= limit,
        observed=own,
        limit=limit,
        unit="classes",
        reason="half of the classes that the reference answers, and never one class for all images"
        if others > 1
        else "the Keras variant itself answers one class for all of these images",
    )


def _saturated(native: np.ndarray, reference: np.ndarray | None) -> Check:
    """Images with two or more classes at the highest value there is: the answer is lost.

    One class at the limit is a sure answer of a softmax (127 of int8 stands for 0.996); two are a clipped
    output. Sigmoids are each their own: two may be sure at once, so only images count whose ``reference`` has one
    class ahead.
    """
    top = np.iinfo(native.dtype).max if native.dtype.kind in "iu" else native.max()
    bottom = np.iinfo(native.dtype).min if native.dtype.kind in "iu" else None
    lost = (native == top).sum(axis=1) > 1
    if bottom is not None:
        lost |= (native == bottom).all(axis=1)
    if reference is not None:
        ranked = np.sort(reference, axis=1)
        lost &= ranked[:, -1] - ranked[:, -2] > _SIGMOID_LEAD
    return _not_saturated(lost, "two classes at the type's limit, or all at its lower end, hide the answer")


def _clipped(native: np.ndarray, outputs: np.ndarray, reference: np.ndarray) -> Check:
    """Values at an end of their integer type where the reference lies well beyond it."""
    ends = np.iinfo(native.dtype)
    away = np.abs(outputs - reference) > _CLIPPED_BY * float(reference.max() - reference.min())
    lost = (((native == ends.min) | (native == ends.max)) & away).any(axis=1)
    return _not_saturated(lost, "values at the type's limit whose reference is beyond it by 5 % of its range")


def _not_saturated(lost: np.ndarray, reason: str) -> Check:
    share = float(lost.mean())
    return Check(
        "output not saturated",
        passed=share <= _SATURATED_AT_MOST,
        observed=share,
        limit=_SATURATED_AT_MOST,
        unit="of the images",
        reason=reason,
    )
