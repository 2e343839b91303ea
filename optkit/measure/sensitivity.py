"""How much quantizing does to a model's outputs: the signal-to-quantization-noise ratio of its logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.problem import Task

# The least float32 that softmax gives before it rounds to 0, and as near to 1 as float32 tells a probability from it.
_LEAST_PROBABILITY = 1.2e-38
_EDGE = 6e-8


def logits(outputs: np.ndarray, task: Task) -> np.ndarray:
    """What was before softmax or sigmoid; values stay as they are.

    Probabilities near 0 and 1 hide errors: of a network that is sure of itself they are the same whatever is rounded.
    Logits of several classes are taken less their mean for each example, since softmax sees no constant.

    Args:
        outputs: Dequantized, float32 [n, size].
        task: What they stand for.

    Returns:
        float64 [n, size].
    """
    found: np.ndarray = outputs.reshape(len(outputs), -1).astype(np.float64)
    if task.kind == "regression":
        return found
    one_of_several = task.kind == "multiclass" and task.outputs != "sigmoids"
    if task.outputs != "logits":
        if one_of_several:
            found = np.log(np.maximum(found, _LEAST_PROBABILITY))
        else:
            inside = np.clip(found, _EDGE, 1 - _EDGE)
            found = np.log(inside) - np.log1p(-inside)
    return found - found.mean(axis=1, keepdims=True) if one_of_several else found


def sqnr_db(reference: np.ndarray, found: np.ndarray) -> float | None:
    """Signal-to-quantization-noise ratio: the power of the float outputs over that of the difference, in dB.

    Args:
        reference: Outputs of the float file, as ``logits`` gives them [n, size].
        found: Those of the other file to the same examples.

    Returns:
        ``None`` where both are the same.

    Raises:
        InputError: An output is NaN or infinite.
    """
    if not (np.isfinite(reference).all() and np.isfinite(found).all()):
        raise InputError("expected finite outputs, found NaN or infinity: the layers' sensitivity cannot be told")
    signal, noise = float(np.square(reference).sum()), float(np.square(found - reference).sum())
    if noise == 0:
        return None
    # A model that answers 0 to everything has no signal, and any noise is too much of it.
    return 10 * math.log10(max(signal, np.finfo(np.float64).tiny) / noise)
