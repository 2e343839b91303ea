"""The file's outputs against its Keras variant's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct

from optkit.errors import InputError, nearest
from optkit.schema import Check, Parity

if TYPE_CHECKING:
    from optkit.problem import Task

REFERENCE = "the Keras variant's outputs on validation images"


class Limits(Struct, frozen=True):
    """How far a right file may be from its reference.

    Outputs come in any unit (probabilities, logits), so errors are taken as shares: the mean error of the
    spread (mean distance of an output from its class's mean over the images), the largest of the range
    (largest output less smallest).
    """

    mean_of_spread: float
    largest_of_range: float
    agreement: float
    reason: str


# Measured on 2,000 images: LeNet-5, a sigmoid perceptron, and a network of depthwise, transposed and
# normalization layers that gives logits, each in TFLite and ONNX. "Seen" is the worst of them, mean and
# largest. Of int4 (TFLite alone, by channel and by tensor) a network of 4,246 parameters was the worst of all.
LIMITS: dict[str, Limits] = {
    "fp32": Limits(2e-5, 5e-4, 0.999, "sums in another order; seen 5e-7 and 3e-6, deeper networks add up more"),
    "fp16": Limits(1e-2, 5e-2, 0.995, "weights round at 2^-11; seen 5e-4 and 8e-4, ONNX also computes in float16"),
    "dynamic": Limits(5e-2, 0.2, 0.98, "8-bit weights, activations scaled per call; seen 7e-3 and 1e-2"),
    "int16x8": Limits(5e-2, 0.3, 0.98, "8-bit weights; outputs beyond calibration are clipped; seen 5e-3, 0.08"),
    "int8": Limits(0.1, 0.5, 0.98, "8 bits all through; outputs beyond calibration are clipped; seen 0.016, 0.08"),
    "int4": Limits(
        0.35,
        1.0,
        0.95,
        "15 values in a channel or kernel; an image's answer may turn round; seen 0.16 and 0.77",
    ),
}
# The reference has the same roundings; what is left comes from ties and from float32 sums in training.
QUANTIZATION_AWARE = Limits(
    3e-2, 0.15, 0.99, "the reference rounds as the file does, a step off carries on; seen 5e-3 and 0.076"
)

_TRAINED_FOR = ("int8", "int4")


# The limits above are of networks with four kernels or so. Roundings of layers in a row add up as independent errors
# do, by their squares.
_SHALLOW = 4
# An error of half the spread (6 dB) is as far as a file may be that still is the same network: one whose answers ignore
# the image has an error of the whole spread, another network's more. On random weights, which make errors grow from
# layer to layer as trained ones do not, MobileNetV2's int8 files have 11 to 13 dB.
_MOST_OF_SPREAD = 0.5
_MOST_OF_RANGE = 0.75


def limits_for(precision: str, *, quantization_aware: bool, kernels: int = 0) -> Limits:
    """The limits for a precision.

    Args:
        precision: A key of ``LIMITS``.
        quantization_aware: The reference is a model with fake quantization; counts for ``int8`` and ``int4`` only,
            since other precisions do not do what it imitates.
        kernels: Kernels in the file: of a deep network more of rounding is allowed.

    Raises:
        InputError: The precision has no limits.
    """
    if precision not in LIMITS:
        raise InputError(f"no parity limits for precision {precision!r}: {nearest(precision, list(LIMITS))}")
    limits = QUANTIZATION_AWARE if quantization_aware and precision in _TRAINED_FOR else LIMITS[precision]
    if precision == "fp32" or kernels <= _SHALLOW:
        return limits
    factor = math.sqrt(kernels / _SHALLOW)
    return msgspec.structs.replace(
        limits,
        mean_of_spread=min(_MOST_OF_SPREAD, factor * limits.mean_of_spread),
        largest_of_range=max(limits.largest_of_range, min(_MOST_OF_RANGE, factor * limits.largest_of_range)),
        reason=f"{limits.reason}; {factor:.1f} times as much for {kernels} kernels in place of {_SHALLOW}",
    )


def compare(
    outputs: np.ndarray,
    reference: np.ndarray,
    *,
    limits: Limits,
    scale: float | None,
    task: Task | None = None,
) -> tuple[Parity | None, list[Check]]:
    """Compare outputs.

    Args:
        outputs: The file's outputs, dequantized, float32 [n, classes].
        reference: float32 [n, classes].
        limits: What is allowed.
        scale: Step of an integer output, ``None`` for float.
        task: What the outputs stand for; a class for each output when ``None``.

    Returns:
        The comparison (``None`` where shapes differ or the file gives no finite numbers) and its checks.
    """
    if outputs.shape != reference.shape:
        seen, wanted = f"{list(outputs.shape)}", f"{list(reference.shape)}"
        return None, [Check("output shape", passed=False, observed=seen, limit=wanted, unit="")]
    if not np.isfinite(outputs).all():
        share = float(np.mean(~np.isfinite(outputs)))
        return None, [Check("parity", passed=False, observed=share, limit=0.0, unit="share of NaN or infinity")]
    error = np.abs(outputs.astype(np.float64) - reference)
    spread = _spread(reference)
    width = float(reference.max() - reference.min())
    mean_share, largest_share = _share(float(error.mean()), spread), _share(float(error.max()), width)
    checks = [
        Check(
            "mean error",
            passed=mean_share <= limits.mean_of_spread,
            observed=mean_share,
            limit=limits.mean_of_spread,
            unit="of the reference's spread",
            reason=limits.reason,
        ),
        Check(
            "largest error",
            passed=largest_share <= limits.largest_of_range,
            observed=largest_share,
            limit=limits.largest_of_range,
            unit="of the reference's range",
            reason=limits.reason,
        ),
    ]
    undecided = 2 * limits.mean_of_spread * spread
    agreed: np.ndarray | None = None
    if task is not None and task.kind == "binary":
        agreed = same_sides(outputs, reference, task)
        lead = np.abs(reference[:, 0] - threshold(task))
        checks.append(_agreement("same side", agreed, lead > undecided, limits))
    elif reference.shape[1] > 1:
        agreed = agreements(outputs, reference)
        ranked = np.sort(reference, axis=1)
        checks.append(_agreement("top-1 agreement", agreed, ranked[:, -1] - ranked[:, -2] > undecided, limits))
    return Parity(
        reference=REFERENCE,
        max_abs_error=float(error.max()),
        top1_agreement=None if agreed is None else float(agreed.mean()),
        passed=all(check.passed for check in checks),
        images=len(reference),
        mean_abs_error=float(error.mean()),
        max_error_steps=float(error.max() / scale) if scale else None,
    ), checks


def agreements(outputs: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Whether each image gets the reference's class, bool [n].

    Quantized outputs tie. Where the reference's class shares the file's highest value with one other class it
    counts as agreeing: which of the two a caller picks is the caller's rule, not the file's answer. More
    than two at the top are no answer (else a file that gives the same value for all classes would agree with
    everything).
    """
    best = reference.argmax(axis=1)
    at_top = outputs == outputs.max(axis=1, keepdims=True)
    agreed: np.ndarray = at_top[np.arange(len(best)), best] & (at_top.sum(axis=1) <= 2)
    return agreed


def threshold(task: Task) -> float:
    """What the one output of a binary model is over for class 1."""
    return 0.0 if task.outputs == "logits" else 0.5


def same_sides(outputs: np.ndarray, reference: np.ndarray, task: Task) -> np.ndarray:
    """Whether each image gets the reference's class from a binary model's one output, bool [n]."""
    limit = threshold(task)
    same: np.ndarray = (outputs[:, 0] > limit) == (reference[:, 0] > limit)
    return same


def _agreement(name: str, agreed: np.ndarray, decided: np.ndarray, limits: Limits) -> Check:
    """Agreement on the images that the reference decides by more than the error allowed.

    Args:
        name: Of the check.
        agreed: bool [n].
        decided: Where the reference leads by more than that, bool [n].
        limits: What is allowed.
    """
    share = float(agreed[decided].mean()) if decided.any() else 0.0
    tie = "; a tie of two counts as agreeing" if name == "top-1 agreement" else ""
    return Check(
        name,
        passed=share >= limits.agreement,
        observed=share,
        limit=limits.agreement,
        unit=f"of the {int(decided.sum())} images that the reference decides",
        reason=f"a lead under twice the mean error allowed may go either way{tie}",
    )


def _spread(reference: np.ndarray) -> float:
    """Mean distance of an output from its class's mean over the images."""
    values = reference.astype(np.float64)
    return float(np.abs(values - values.mean(axis=0)).mean())


def _share(error: float, of: float) -> float:
    """An error as a share; any error of a reference that does not vary is a whole."""
    if of > 0:
        return error / of
    return 0.0 if error == 0 else 1.0
