"""A model's outputs as answers and probabilities, and in words how that was known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from optkit.readback import ModelFacts

Meaning = Literal["probabilities", "sigmoids", "logits", "values"]

# Operators at a file's end that only pass on or round what the one before them made.
_PASSED = {"QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear", "Cast", "CAST", "Identity", "RESHAPE"}
_PASSED |= {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_ENDS: dict[str, Meaning] = {
    "SOFTMAX": "probabilities",
    "Softmax": "probabilities",
    "LOGISTIC": "sigmoids",
    "Sigmoid": "sigmoids",
}
# An int8 softmax rounds every output to 1/256.
_SUM_TOLERANCE = 0.02


class Confidence(NamedTuple):
    """What outputs say.

    Attributes:
        answers: int64 [n], the class; -1 throughout where outputs are values.
        probabilities: float64 [n, classes]; for ``values`` the values themselves, [n, 1].
        meaning: What the outputs are.
        words: How the probabilities came about.
    """

    answers: np.ndarray
    probabilities: np.ndarray
    meaning: Meaning
    words: str


def meaning_in_file(facts: ModelFacts) -> Meaning | None:
    """What a file's last operator makes of its outputs; ``None`` where that is not told (dense outputs)."""
    for operator in reversed(facts.operators):
        if operator.kind not in _PASSED:
            return _ENDS.get(operator.kind)
    return None


def read(outputs: np.ndarray, meaning: Meaning | None) -> Confidence:
    """Answers and probabilities of outputs.

    Args:
        outputs: Dequantized, float [n, numbers].
        meaning: What they are, as far as the file or the manifest tells; else judged by the numbers themselves.
    """
    import numpy as np

    values = np.asarray(outputs, np.float64)
    if meaning is None:
        meaning = judged(values)
    if values.shape[1] == 1:
        return _single(values, meaning)
    answers = values.argmax(axis=1)
    if meaning == "probabilities":
        return Confidence(answers, values, meaning, "probabilities, as the model gives them")
    if meaning == "sigmoids":
        return Confidence(answers, values, meaning, "each class has a probability of its own: they need not sum to 1")
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    return Confidence(answers, shares, "logits", "the model gives logits: probabilities are their softmax")


def judged(values: np.ndarray) -> Meaning:
    """What outputs [n, numbers] are, by the numbers: what is never below 0 and sums to 1 are probabilities."""
    import numpy as np

    if not values.size or values.shape[1] == 1:
        return "values"
    if values.min() < 0:
        return "logits"
    sums = values.sum(axis=1)
    if bool(np.all(np.abs(sums - 1) <= _SUM_TOLERANCE)):
        return "probabilities"
    return "sigmoids" if values.max() <= 1 else "logits"


def _single(values: np.ndarray, meaning: Meaning) -> Confidence:
    """One number: the probability of class 1, its logit, or a value."""
    import numpy as np

    if meaning == "values":
        answers = np.full(len(values), -1, np.int64)
        return Confidence(answers, values, "values", "one number that is no probability: the model's value itself")
    ones = values if meaning in {"sigmoids", "probabilities"} else 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    words = "probability of class 1, as the model gives it"
    if meaning == "logits":
        words = "the model gives a logit: the probability is its sigmoid"
    shares = np.concatenate([1 - ones, ones], axis=1)
    return Confidence(shares.argmax(axis=1), shares, meaning, words)
