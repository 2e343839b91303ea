"""Files that run and give numbers, but no answers: one class for all, NaN, outputs at their limit."""

from __future__ import annotations

import numpy as np

from optkit.schema import Check

# The clipping of a few surprising images is normal, of one in a hundred it is a wrong output scale.
_SATURATED_AT_MOST = 0.01
# Outputs that vary by a tenth of what the reference's do no longer follow the input.
_VARIATION_AT_LEAST = 0.1
# Ten times the spacing of float32 values.
_ROUNDING = 1e-6


def checks(native: np.ndarray, outputs: np.ndarray, reference: np.ndarray) -> list[Check]:
    """Look for collapse.

    Args:
        native: The file's outputs as it gives them [n, classes].
        outputs: The same dequantized, float32 [n, classes].
        reference: The Keras variant's outputs, float32 [n, classes].
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
    if outputs.shape[1] > 1:
        found += [_classes(outputs, reference), _saturated(native)]
    return found


def _follows_input(outputs: np.ndarray, reference: np.ndarray) -> Check:
    """Outputs change from image to image, about as much as the reference's."""
    spread = float(outputs.std(axis=0, dtype=np.float64).mean())
    wanted = float(reference.std(axis=0, dtype=np.float64).mean())
    # A reference that varies by rounding alone proves nothing, so the file is not passed on its word.
    share = spread / wanted if wanted > _ROUNDING * float(np.abs(reference).max()) else 0.0
    return Check(
        "output depends on the input",
        passed=share >= _VARIATION_AT_LEAST,
        observed=share,
        limit=_VARIATION_AT_LEAST,
        unit="of the reference's variation over the images",
        reason="the same output for every image is no answer",
    )


def _classes(outputs: np.ndarray, reference: np.ndarray) -> Check:
    """More than one class is answered, and at least half as many as the reference answers."""
    answered = len(np.unique(outputs.argmax(axis=1)))
    limit = max(2, (len(np.unique(reference.argmax(axis=1))) + 1) // 2)
    return Check(
        "answers more than one class",
        passed=answered >= limit,
        observed=answered,
        limit=limit,
        unit="classes",
        reason="half of the classes that the reference answers, and never one class for all images",
    )


def _saturated(native: np.ndarray) -> Check:
    """Images with two or more classes at the highest value there is: the answer is lost.

    One class at the limit is a sure answer of a softmax (127 of int8 stands for 0.996); two are a clipped
    output.
    """
    top = np.iinfo(native.dtype).max if native.dtype.kind in "iu" else native.max()
    bottom = np.iinfo(native.dtype).min if native.dtype.kind in "iu" else None
    lost = (native == top).sum(axis=1) > 1
    if bottom is not None:
        lost |= (native == bottom).all(axis=1)
    share = float(lost.mean())
    return Check(
        "output not saturated",
        passed=share <= _SATURATED_AT_MOST,
        observed=share,
        limit=_SATURATED_AT_MOST,
        unit="of the images",
        reason="two classes at the type's limit, or all at its lower end, hide the answer",
    )
