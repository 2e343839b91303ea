"""Whether data are scaled as the model wants them: 0 to 255 given to a model of 0 to 1 is the usual mistake.

Measured on four other tools: 500 calibration images left at 0 to 255 give an int8 model with 9.8 % accuracy without a
word, images of zeros 11 %. Both are found here, before any work is done.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optkit.data import to_real
from optkit.errors import InputError
from optkit.problem import Preprocessing
from optkit.statistics import mcnemar_p

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.problem import Task

# A scaling that is right makes a trained model better by far more than this; a test of 500 examples shows less.
BETTER_BY = 0.10
SIGNIFICANCE = 0.001
# Of an error of prediction: half of it, or less.
ERROR_SHARE = 0.5
# A network of ReLUs answers nearly the same whatever its input is multiplied by, but far too surely: training has
# made its cross-entropy on these very examples small, and another scale makes it many times as large. Of 40 networks
# trained on values of 0 to 1 or of 0 to 255 (four kinds of layers, 4 or 15 epochs), the right scale was never held to
# be worse; the wrong one had 3 to 1,500 times the loss unless sigmoids bound it.
LOSS_FACTOR = 3.0
# In all, over the examples: the logarithm of how much likelier the labels are.
LEAST_EVIDENCE_NATS = 50.0
# Of the loss of an even guess: a scale at which the model says next to nothing is not the right one.
GUESS_SHARE = 0.8
# Training ends where its gradients do: a network that was trained on pixels of 0 to 255 is never so sure there that it
# still answers pixels of 0 to 1 well. The least such loss of 40 networks was 0.18 of an even guess's, and usually 0.8.
TOO_SURE_SHARE = 0.1
# The least float32 that softmax gives before it rounds to 0.
_LEAST_PROBABILITY = 1.2e-38
# Calibration data whose values reach so many times further than the training data's, or so many times less far.
WIDTH_FACTOR = 4.0
# Neighbouring pixels of pictures are alike; where those of the training data are, the calibration data's must be.
LEAST_CORRELATION = 0.3
CORRELATION_SHARE = 0.5
_TINY = 1e-12
# The smallest pictures that are laid out flat: 8×8.
_FEWEST_PIXELS = 64
# Fewer examples say nothing about chance.
_FEWEST_JUDGED = 50
_NAMES_SHOWN = 10
_DIVIDED = "--scale 1/255"
# Pixels that are not whole numbers end at 1, give or take rounding.
_ABOVE_UNIT = 1.5
_SWAPPED = 0.1
_SAME_OUTPUT = 1e-3


class Candidate(NamedTuple):
    """Another scaling that the data may need, and the options that declare it."""

    options: str
    preprocessing: Preprocessing


def candidates(declared: Preprocessing, high: float) -> list[Candidate]:
    """The usual scalings of pixels, other than the one declared.

    Args:
        declared: The scaling that was declared.
        high: The greatest raw value: pixels are whole numbers to 255, or reach from 0 to 1.
    """
    if high < _ABOVE_UNIT:
        usual = [
            Candidate("--scale 1", Preprocessing()),
            Candidate("--scale 255", Preprocessing(scale=255.0)),
            Candidate("--scale 2 --mean 1", Preprocessing(scale=2.0, mean=(1.0,))),
        ]
    else:
        usual = [
            Candidate(_DIVIDED, Preprocessing(scale=1 / 255)),
            Candidate("--scale 1/127.5 --mean 1", Preprocessing(scale=1 / 127.5, mean=(1.0,))),
            Candidate("--scale 1", Preprocessing()),
        ]
    same = (declared.scale, declared.mean, declared.std)
    return [one for one in usual if (one.preprocessing.scale, one.preprocessing.mean, ()) != same]


def judge(
    predict: Callable[[np.ndarray], np.ndarray],
    raw: np.ndarray,
    labels: np.ndarray,
    task: Task,
    declared: Preprocessing,
    *,
    allowed: bool,
) -> list[str]:
    """Whether the model answers labelled training data much better with another scaling than with the declared one.

    Args:
        predict: The float model: real inputs float32 [n, …] to outputs [n, task.size].
        raw: Raw examples [n, …].
        labels: Class numbers int64 [n], or values float32 [n].
        task: What the outputs stand for.
        declared: The scaling that was declared.
        allowed: Go on all the same (``--allow range``).

    Returns:
        Warnings.

    Raises:
        InputError: Another scaling is much better, and that was not allowed.
    """
    own = predict(to_real(raw, declared))
    # Where one class has most examples, answering it alone is right that often.
    common = _most_common_share(labels, task)
    if not np.isfinite(own).all():
        raise InputError(
            "the model gives NaN or infinity on the training data; give data scaled as in its training (--scale)"
        )
    best: tuple[float, float, str] | None = None
    undecided = False
    low, high = float(np.min(raw)), float(np.max(raw))
    for candidate in candidates(declared, high) if _may_be_pixels(raw) else []:
        other = predict(to_real(raw, candidate.preprocessing))
        if not np.isfinite(other).all():
            continue
        may_be_divided = candidate.options == _DIVIDED and declared == Preprocessing() and _are_bytes(raw)
        too_sure = may_be_divided and _is_too_sure(own, other, labels, task)
        if too_sure or _is_better(own, other, labels, task, common):
            loss = float(_losses(other, labels, task).mean())
            wrong = 0.0 if task.kind == "regression" else float((_answers(other, task) != labels).mean())
            found = wrong, loss, f"{_quality(other, labels, task)} with {candidate.options}"
            best = found if best is None else min(best, found)
        elif may_be_divided:
            undecided = _is_as_good(own, other, labels, task, common)
    seen = (
        f"the data reach from {low:g} to {high:g} and are given to the model "
        f"{_words(declared)}: it then gives {_quality(own, labels, task)} on {len(labels)} training examples"
    )
    if best is None:
        return [f"{seen}, and no fewer with {_DIVIDED}: give that if it was trained so"] if undecided else []
    if allowed:
        return [f"{seen}, but {best[2]}; went on because of --allow range"]
    raise InputError(f"{seen}, but {best[2]}; give that option, or --allow range if the data are right as they are")


def judge_calibration(calibration: np.ndarray, train: np.ndarray, *, source: str, allowed: bool) -> list[str]:
    """Whether calibration data are like the training data.

    Args:
        calibration: Real values float32 [n, …] of the representative data set.
        train: Real values float32 [m, …] of training data.
        source: Where the calibration data come from, for the message.
        allowed: A different range is no error but a warning (``--allow range``).

    Returns:
        Warnings.

    Raises:
        InputError: They hold one value only, or are noise where the training data are pictures, or, if that is not
            allowed, reach much further than the training data, or much less far.
    """
    if float(np.ptp(calibration)) <= _TINY:
        raise InputError(
            f"the calibration data {source} hold the value {float(calibration.flat[0]):g} alone, from which no range "
            "can be taken; give examples like the training data"
        )
    own, wanted = _reach(calibration), _reach(train)
    if own > WIDTH_FACTOR * wanted or wanted > WIDTH_FACTOR * own:
        cure = _cure(own / wanted)
        found = (
            f"the calibration data {source} reach to {own:.4g}, the training data to {wanted:.4g}, after the declared "
            f"scaling: int8 ranges taken from them would be wrong"
        )
        if not allowed:
            raise InputError(f"{found}; {cure}, or --allow range")
        return [f"{found}; went on because of --allow range"]
    natural, seen = _correlation(train), _correlation(calibration)
    if natural is not None and seen is not None and natural > LEAST_CORRELATION and seen < CORRELATION_SHARE * natural:
        raise InputError(
            f"the calibration data {source} look like noise: neighbouring pixels have a correlation of {seen:.2f}, "
            f"those of the training data {natural:.2f}; give examples like the training data"
        )
    return []


def _cure(factor: float) -> str:
    if 0.5 < factor / 255 < 2:
        return "divide them by 255 as the training data are"
    if 0.5 < factor * 255 < 2:
        return "they seem to be divided by 255 already: give raw values as in the training data"
    return "give them in the training data's unit"


def _reach(values: np.ndarray) -> float:
    """What 99.9 % of the values stay under, by size: single far values are no other scaling."""
    return max(float(np.quantile(np.abs(values), 0.999)), _TINY)


def _correlation(images: np.ndarray) -> float | None:
    """Correlation of neighbouring pixels in a row; ``None`` for what are no pictures."""
    if images.ndim < 3 or images.shape[2] < 4:
        return None
    left, right = images[:, :, :-1].ravel(), images[:, :, 1:].ravel()
    if float(left.std()) <= _TINY or float(right.std()) <= _TINY:
        return None
    return float(np.corrcoef(left, right)[0, 1])


def judge_answers(
    outputs: np.ndarray, labels: np.ndarray, task: Task, class_names: tuple[str, ...], *, source: str
) -> list[str]:
    """Whether a model answers labelled training data better than its commonest class would.

    Args:
        outputs: Of the float model, float32 [n, task.size].
        labels: Class numbers int64 [n].
        task: What the outputs stand for; values to predict are not looked at.
        class_names: In the order of the class numbers.
        source: Where the data are from.

    Returns:
        A warning where it does not: a model that was not trained for these data, or for another order of classes.
    """
    if task.kind == "regression" or len(labels) < _FEWEST_JUDGED:
        return []
    right, common = float((_answers(outputs, task) == labels).mean()), _most_common_share(labels, task)
    if right > common + 2 * math.sqrt(common * (1 - common) / len(labels)):
        return []
    order = ", ".join(f"{number}={name}" for number, name in enumerate(class_names[:_NAMES_SHOWN]))
    order += ", …" if len(class_names) > _NAMES_SHOWN else ""
    named = f" Classes are numbered {order}: is that the model's order?" if class_names else ""
    swapped = task.kind == "binary" and right < 1 - common - _SWAPPED
    return [
        f"the model answers {right:.1%} of {len(labels)} training examples of {source} right, no more than their "
        f"commonest class would ({common:.1%})"
        + ("; with the two classes swapped it would be the rest." if swapped else ".")
        + (named or " Was it trained on data like these, with classes numbered so?")
    ]


def _most_common_share(labels: np.ndarray, task: Task) -> float:
    """Share of the class with most examples; 0 for values to predict."""
    return 0.0 if task.kind == "regression" else float(np.bincount(labels).max()) / len(labels)


def _may_be_pixels(raw: np.ndarray) -> bool:
    """Whether the usual scalings of pixels make sense: pictures, or a long row of values from 0 to 255."""
    return raw.ndim >= 3 or (raw.shape[1] >= _FEWEST_PIXELS and float(raw.min()) >= 0 and float(raw.max()) <= 255)


def _are_bytes(raw: np.ndarray) -> bool:
    """Whether values are those of stored pixels, whole numbers up to 255."""
    return 1 < float(raw.max()) <= 255 and float(raw.min()) >= 0 and bool((raw == np.round(raw)).all())


def _is_better(own: np.ndarray, other: np.ndarray, labels: np.ndarray, task: Task, common: float) -> bool:
    """Whether another scaling's outputs are better beyond doubt: many more right answers, or as many with less loss."""
    mine, theirs = _losses(own, labels, task), _losses(other, labels, task)
    if task.kind == "regression":
        return float(theirs.mean()) < ERROR_SHARE * float(mine.mean())
    lost, gained = _flips(own, other, labels, task)
    if float((_answers(other, task) == labels).mean()) < common + BETTER_BY:
        return False
    if gained - lost >= BETTER_BY * len(labels) and mcnemar_p(lost, gained) < SIGNIFICANCE:
        return True
    return (
        float(mine.mean()) > LOSS_FACTOR * float(theirs.mean())
        and float((mine - theirs).sum()) > LEAST_EVIDENCE_NATS
        and float(theirs.mean()) < GUESS_SHARE * math.log(max(2, task.size))
        and not _measurably_fewer(lost, gained)
    )


def _is_too_sure(own: np.ndarray, other: np.ndarray, labels: np.ndarray, task: Task) -> bool:
    """Whether a model that answers pixels of 0 to 255 as they are is surer than training on those could have made it.

    Args:
        own: Outputs for pixels as they are.
        other: Outputs for pixels divided by 255.
        labels: As in ``judge``.
        task: As in ``judge``.
    """
    if task.kind == "regression" or _measurably_fewer(*_flips(own, other, labels, task)):
        return False
    mine, theirs = (float(_losses(outputs, labels, task).mean()) for outputs in (own, other))
    return theirs < TOO_SURE_SHARE * math.log(max(2, task.size)) and LOSS_FACTOR * mine < theirs


def _is_as_good(own: np.ndarray, other: np.ndarray, labels: np.ndarray, task: Task, common: float) -> bool:
    """Whether a model answers well at both scalings, and nothing tells which is the right one."""
    if task.kind == "regression" or float((_answers(own, task) == labels).mean()) < common + BETTER_BY:
        return False
    if np.allclose(own, other, atol=_SAME_OUTPUT):
        # The model brings its input to a scale of its own.
        return False
    mine, theirs = (float(_losses(outputs, labels, task).mean()) for outputs in (own, other))
    alike = theirs < max(LOSS_FACTOR * mine, LEAST_EVIDENCE_NATS / len(labels))
    return alike and not _measurably_fewer(*_flips(own, other, labels, task))


def _measurably_fewer(lost: int, gained: int) -> bool:
    return lost > gained and mcnemar_p(lost, gained) < SIGNIFICANCE


def _flips(own: np.ndarray, other: np.ndarray, labels: np.ndarray, task: Task) -> tuple[int, int]:
    """Answers that the other outputs lose and gain."""
    mine, theirs = (_answers(outputs, task) == labels for outputs in (own, other))
    return int((mine & ~theirs).sum()), int((~mine & theirs).sum())


def _losses(outputs: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
    """Cross-entropy of each label in nats, or the absolute error of each value, float64 [n]."""
    values = outputs.astype(np.float64)
    losses: np.ndarray
    if task.kind == "regression":
        losses = np.abs(values[:, 0] - labels)
    elif task.kind == "binary":
        signs = np.where(labels == 1, 1.0, -1.0)
        if task.outputs == "logits":
            losses = np.logaddexp(0, -signs * values[:, 0])
        else:
            losses = -np.log(np.maximum(np.where(labels == 1, values[:, 0], 1 - values[:, 0]), _LEAST_PROBABILITY))
    else:
        rows = np.arange(len(labels))
        if task.outputs == "logits":
            shifted = values - values.max(axis=1, keepdims=True)
            losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels]
        else:
            # Sigmoids are brought to a sum of 1: how the label stands among the others is what the answer is from.
            sums = np.maximum(values.sum(axis=1), _LEAST_PROBABILITY)
            losses = -np.log(np.maximum(values[rows, labels] / sums, _LEAST_PROBABILITY))
    return losses


def _answers(outputs: np.ndarray, task: Task) -> np.ndarray:
    answers: np.ndarray
    if task.kind == "binary":
        answers = (outputs[:, 0] > (0 if task.outputs == "logits" else 0.5)).astype(np.int64)
    else:
        answers = outputs.argmax(axis=1)
    return answers


def _quality(outputs: np.ndarray, labels: np.ndarray, task: Task) -> str:
    if task.kind == "regression":
        return f"a mean absolute error of {float(np.abs(outputs[:, 0] - labels).mean()):.4g}"
    loss = float(_losses(outputs, labels, task).mean())
    return f"{float((_answers(outputs, task) == labels).mean()):.1%} right answers (cross-entropy {loss:.3g})"


def _words(preprocessing: Preprocessing) -> str:
    if preprocessing == Preprocessing():
        return "as they are"
    parts = [] if preprocessing.scale == 1 else [f"times {preprocessing.scale:.6g}"]
    parts += [f"less {', '.join(f'{value:g}' for value in preprocessing.mean)}"] if preprocessing.mean else []
    parts += [f"by {', '.join(f'{value:g}' for value in preprocessing.std)}"] if preprocessing.std else []
    return ", ".join(parts) or "as they are"
