"""What a learning curve shows: findings with their figures, never more than the validation data can tell apart.

A finding needs two things: a size that matters, and more evidence than chance gives. The chance is that of the
validation part, which is a sample: an accuracy p on n examples has the standard error √(p(1 − p)/n), and trends are
judged by their ranks alone (``optkit.report.trend``), so that no model of the noise is needed.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

from optkit.report import diagnosis_cures as cures
from optkit.report.diagnosis_curve import (
    ERRORS_BEYOND,
    Curve,
    beyond_best,
    loss_error,
    pace_of,
    read,
    standard_error,
)
from optkit.report.train_record import Diagnosis, Evidence, Finding
from optkit.report.trend import falling_p, rising_p, smoothed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.report.diagnosis_cures import Facts
    from optkit.report.train_record import Cure, CurvePoint, FindingKind, Start

# A trend may be chance once in a hundred courses; it takes five epochs that all fall (1/120) to say so.
TREND_P = 0.01
# Prechelt's criterion GL₅: the validation loss is 5 % over its lowest (Early Stopping — but when?, 1998, section 2).
RISE = 0.05
# Points of accuracy between training and validation, beyond what the sample leaves open. The gap of a network that is
# as good as its data allow is 1 to 2 points on MNIST's 10,000 to 55,000 images and 10 to 20 on a few hundred.
GAP = 0.03
# In regression there is no accuracy: a validation loss of twice the training loss, beyond the sample's doubt.
LOSS_RATIO = 2.0
# A tenth of the *training* examples wrong: with less it cannot be seen from a curve whether more is to be had.
UNDERFIT_ERROR = 0.10
# Share of the labels' variance that is left, for values to predict.
UNDERFIT_UNEXPLAINED = 0.5
# A training loss that far over the loss before the first step: to know nothing is better. The margin is for the
# difference between training and validation examples, and dropout.
WORSE_THAN_START = 1.2
# And so far over its own lowest: a loss that falls does not come back by half by chance, over thousands of examples.
COMES_BACK = 1.5
# The last epochs bring still so much of what an epoch brought on average: the curve has not bent, as it does after
# the first few epochs of a fitting rate (measured on MNIST: 0.01 to 0.15; with a hundredth of the rate 0.93).
UNBENT = 0.4
# Per epoch, of the validation loss: less is not worth the time.
STILL_FALLING = 0.02


def diagnose(curve: Sequence[CurvePoint], start: Start, facts: Facts) -> Diagnosis:
    """Findings of a learning curve, faults first.

    Args:
        curve: The epochs, at least one.
        start: Loss and accuracy on the same validation examples before the first step.
        facts: The settings and sizes that the curve is read against.
    """
    lost = _no_number(curve, facts)
    if lost is not None:
        return _told([lost], [])
    judged = read(curve[: facts.kept_epoch], start)
    notes = []
    if facts.kept_epoch < len(curve):
        notes.append(
            f"early stopping ended training after epoch {len(curve)} and went back to epoch {facts.kept_epoch}, "
            "which is the one that is judged"
        )
    if judged.epochs < 2:
        notes.append("one epoch shows no trend: whether more would help, or the rate is right, cannot be seen")
    for judge in (_diverging, _stuck):
        found = judge(judged, facts)
        if found is not None:
            return _told([found], notes)
    findings = [found for judge in (_overfitting, _too_slow) if (found := judge(judged, facts)) is not None]
    if not findings:
        # What early stopping has ended had stopped improving.
        ended = facts.kept_epoch < len(curve)
        for judge in (_underfitting,) if ended else (_underfitting, _still_improving):
            found = judge(judged, facts)
            if found is not None:
                findings.append(found)
    return _told(findings, notes)


def _told(findings: list[Finding], notes: list[str]) -> Diagnosis:
    faults = [finding for finding in findings if finding.is_fault]
    if faults:
        sentence = " ".join(finding.words for finding in faults)
    elif findings:
        sentence = f"Nothing is wrong. {findings[0].words}"
    else:
        sentence = "Nothing is wrong with the learning curve."
    return Diagnosis(sentence, findings, notes)


def _no_number(curve: Sequence[CurvePoint], facts: Facts) -> Finding | None:
    for point in curve:
        if point.loss is None or point.validation_loss is None:
            which = "training" if point.loss is None else "validation"
            return Finding(
                "diverging",
                is_fault=True,
                words=f"Training diverged: in epoch {point.epoch} the {which} loss was no number any more.",
                since_epoch=point.epoch,
                evidence=[Evidence(f"{which} loss in epoch {point.epoch}", "NaN or infinite"), _rate(facts)],
                cures=cures.diverging(facts),
            )
    return None


def _diverging(curve: Curve, facts: Facts) -> Finding | None:
    """The training loss is over its start, or far over its own lowest, at the end."""
    end, lowest = curve.end(curve.loss), min(curve.loss)
    at = curve.loss.index(lowest)
    evidence = [Evidence("training loss at the end", _figure(end))]
    if curve.start is not None and end > WORSE_THAN_START * curve.start:
        words = f"Training diverged: the loss ended at {_figure(end)}, over the {_figure(curve.start)} before it began."
        evidence.append(Evidence("loss before the first step", _figure(curve.start)))
        since = next(i for i, value in enumerate(curve.loss) if value > curve.start)
    elif end > COMES_BACK * lowest and curve.epochs - at > curve.width and _fell_back(curve, at, facts):
        words = f"Training diverged after epoch {at + 1}: the loss rose from {_figure(lowest)} to {_figure(end)}."
        evidence.append(Evidence(f"lowest training loss, in epoch {at + 1}", _figure(lowest)))
        since = at + 1
    else:
        return None
    return _fault("diverging", words, since + 1, [*evidence, _rate(facts)], cures.diverging(facts))


def _fell_back(curve: Curve, at: int, facts: Facts) -> bool:
    """Whether training accuracy was lost as well; a loss near 0 may double and mean nothing."""
    if curve.accuracy is None:
        return True
    end = curve.end(curve.accuracy)
    return curve.accuracy[at] - end > GAP + beyond_best(curve) * standard_error(end, facts.train_examples)


def _stuck(curve: Curve, facts: Facts) -> Finding | None:
    """No better at the end than always naming the most frequent class: by a rate too high, too low, or a penalty."""
    chance = facts.largest_class
    if chance is None or curve.accuracy is None or curve.validation_accuracy is None:
        return None
    reached, validated = curve.end(curve.accuracy), curve.end(curve.validation_accuracy)
    trained_doubt = ERRORS_BEYOND * standard_error(chance, facts.train_examples)
    if reached > chance + trained_doubt or validated > chance + ERRORS_BEYOND * standard_error(
        chance, facts.validation_examples
    ):
        return None
    evidence = [
        Evidence("training accuracy at the end", _percent(reached)),
        Evidence("validation accuracy at the end", _percent(validated)),
        Evidence("share of the most frequent class", _percent(chance)),
        _rate(facts),
    ]
    end = f"accuracy ended at {_percent(validated)}, what always naming one class gives."
    # What stands still from the start looks alike; what the rate is against the customary one tells the cause.
    if facts.rate_against_default < 0.1:
        words = f"Training is too slow, the learning rate too low: {end}"
        return _fault("too slow", words, None, evidence, cures.too_slow(facts))
    if facts.penalty and facts.rate_against_default <= 10:
        words = f"The network underfits: its penalty on weights outweighs the data; {end}"
        return _fault("underfitting", words, None, evidence, cures.underfitting(facts))
    words = f"Training diverged, the learning rate is too high: {end}"
    return _fault("diverging", words, 1, evidence, cures.diverging(facts))


def _overfitting(curve: Curve, facts: Facts) -> Finding | None:
    """The validation loss rises while the training loss falls, or training is far better than validation."""
    rise, gap = _rise(curve, facts), _gap(curve, facts)
    if rise is None and gap is None:
        return None
    evidence: list[Evidence] = []
    told = []
    if rise is not None:
        since, lowest, end = rise
        growth = f"{100 * (end / lowest - 1):.0f} %"
        told.append(f"the validation loss has risen by {growth} since epoch {since}")
        evidence += [
            Evidence(f"lowest validation loss, about epoch {since}", _figure(lowest)),
            Evidence("validation loss at the end", f"{_figure(end)} (+{growth})"),
        ]
    if gap is not None:
        told.append(gap.words)
        evidence += gap.evidence
    since = rise[0] + 1 if rise is not None else gap.since if gap is not None else 1
    words = f"The network overfits from epoch {since} on: {' and '.join(told)}."
    return _fault("overfitting", words, since, evidence, cures.overfitting(facts, best_epoch=since - 1))


def _rise(curve: Curve, facts: Facts) -> tuple[int, float, float] | None:
    """(epoch of the lowest validation loss, that loss, the loss at the end) where it has risen beyond doubt."""
    course = smoothed(curve.validation, curve.width)
    lowest = min(course)
    at, end = course.index(lowest), course[-1]
    after = slice(at + curve.width, None)
    if not lowest > 0 or end < (1 + RISE) * lowest:
        return None
    # While the training loss falls: where it rises too, training is unsteady, not overfitting.
    if curve.end(curve.loss) >= curve.loss[at]:
        return None
    trend = rising_p(curve.validation[after]) < TREND_P and falling_p(curve.loss[after]) < TREND_P
    doubt = beyond_best(curve) * loss_error(end, curve, facts) / math.sqrt(curve.width)
    if not trend and end - lowest < doubt:
        return None
    return at + 1 + curve.width // 2, lowest, end


class _Gap(NamedTuple):
    since: int
    words: str
    evidence: list[Evidence]


def _gap(curve: Curve, facts: Facts) -> _Gap | None:
    """Where training is better than validation by more than the sample leaves open."""
    if curve.accuracy is None or curve.validation_accuracy is None:
        end, validated = curve.end(curve.loss), curve.end(curve.validation)
        # A mean of squares over n examples is known to √(2/n) of itself, twice that with long tails.
        doubt = ERRORS_BEYOND * 2 * math.sqrt(2 / max(1, facts.validation_examples))
        if validated * (1 - doubt) < LOSS_RATIO * end:
            return None
        evidence = [
            Evidence("training loss at the end", _figure(end)),
            Evidence("validation loss at the end", _figure(validated)),
        ]
        times = f"{validated / end:.1f}" if end > 0 else "∞"
        return _Gap(_first(curve.loss, curve.validation), f"validation loss is {times} times training loss", evidence)
    trained, validated = curve.end(curve.accuracy), curve.end(curve.validation_accuracy)

    def beyond(trained: float, validated: float) -> bool:
        doubt = math.hypot(
            standard_error(trained, facts.train_examples), standard_error(validated, facts.validation_examples)
        )
        return trained - validated - ERRORS_BEYOND * doubt > GAP

    if not beyond(trained, validated):
        return None
    since = curve.epochs
    while since > 1 and beyond(curve.accuracy[since - 2], curve.validation_accuracy[since - 2]):
        since -= 1
    points = f"{100 * (trained - validated):.1f} points"
    evidence = [
        Evidence("training accuracy at the end", _percent(trained)),
        Evidence("validation accuracy at the end", _percent(validated)),
        Evidence("gap", points),
    ]
    return _Gap(since, f"training accuracy is {points} above validation accuracy", evidence)


def _first(trained: Sequence[float], validated: Sequence[float]) -> int:
    since = len(trained)
    while since > 1 and validated[since - 2] > LOSS_RATIO * trained[since - 2]:
        since -= 1
    return since


def _too_slow(curve: Curve, facts: Facts) -> Finding | None:
    """The loss falls as steadily at the end as at the beginning."""
    pace = pace_of(curve)
    if pace is None or curve.start is None:
        return None
    latest, average = pace
    fallen = curve.start - curve.validation[-1]
    # All of the fall must be more than the sample's doubt, and so must be each training epoch's: no step back.
    sure = fallen > ERRORS_BEYOND * loss_error(curve.start, curve, facts)
    steady = all(later < earlier for earlier, later in itertools.pairwise(curve.loss))
    if average <= 0 or latest < UNBENT * average or not (sure and steady):
        return None
    share = latest / average
    words = (
        "Training is too slow, the learning rate is too low: the last epochs still brought "
        f"{100 * share:.0f} % of what an epoch brought on average."
    )
    evidence = [
        Evidence("validation loss before, at the end", f"{_figure(curve.start)}, {_figure(curve.validation[-1])}"),
        Evidence("fall per epoch, on average", _figure(average)),
        Evidence("fall per epoch, at the end", _figure(latest)),
        _rate(facts),
    ]
    return _fault("too slow", words, None, evidence, cures.too_slow(facts))


def _underfitting(curve: Curve, facts: Facts) -> Finding | None:
    """Even the training examples are not learnt, and going on as at the end would not change that."""
    pace = pace_of(curve)
    # As many epochs again, at the pace of the last ones, would take less than half of the loss away.
    if pace is None or pace[0] * curve.epochs > curve.validation[-1] / 2:
        return None
    if curve.accuracy is not None and curve.validation_accuracy is not None:
        trained, validated = curve.end(curve.accuracy), curve.end(curve.validation_accuracy)
        # Dropout and augmentation are on while training is counted: without them validation shows what it can do.
        # Of blended examples none can be got right as a whole, so with mixup validation alone must show it.
        blended = facts.plan.augmentation.mixup > 0
        part, share, count = (
            ("the validation examples", validated, facts.validation_examples)
            if blended
            else ("its own training examples", trained, facts.train_examples)
        )
        sure = 1 - share - ERRORS_BEYOND * standard_error(share, count)
        if min(sure, 1 - validated) < UNDERFIT_ERROR:
            return None
        words = f"The network underfits: it gets only {_percent(share)} of {part} right."
        evidence = [
            Evidence("training accuracy at the end", _percent(trained)),
            Evidence("validation accuracy at the end", _percent(validated)),
        ]
    else:
        chance = facts.constant_loss
        best = min(curve.end(curve.loss), curve.end(curve.validation))
        if chance is None or best < UNDERFIT_UNEXPLAINED * chance:
            return None
        words = (
            f"The network underfits: a loss of {_figure(best)} is left of the {_figure(chance)} of a constant answer."
        )
        evidence = [
            Evidence("training loss at the end", _figure(curve.end(curve.loss))),
            Evidence("loss of the best constant answer", _figure(chance)),
        ]
    if curve.penalty:
        evidence.append(Evidence("penalty on weights, of the validation loss", _figure(curve.penalty)))
    evidence.append(Evidence("fall of the validation loss per epoch, at the end", _figure(pace[0])))
    return _fault("underfitting", words, None, evidence, cures.underfitting(facts))


def _still_improving(curve: Curve, facts: Facts) -> Finding | None:
    """The validation loss falls to the end, beyond doubt and by as much as is worth an epoch."""
    recent = curve.validation[-max(5, curve.epochs // 2) :]
    if max(falling_p(recent), falling_p(curve.loss[-len(recent) :])) >= TREND_P:
        return None
    # Over several epochs: the last one alone may have been a lucky one.
    steps = min(3, len(recent) - 1)
    fall = (recent[-1 - steps] - recent[-1]) / steps
    if fall < STILL_FALLING * recent[-1]:
        return None
    share = f"{100 * fall / recent[-1 - steps]:.0f} %"
    words = f"The validation loss was still falling at the end, by about {share} an epoch: more epochs may help."
    evidence = [
        Evidence("validation loss at the end", _figure(recent[-1])),
        Evidence(f"mean fall of the last {steps} epochs", f"{_figure(fall)} ({share})"),
    ]
    return Finding("still improving", False, words, None, evidence, cures.still_improving(facts))  # noqa: FBT003


def _fault(kind: FindingKind, words: str, since: int | None, evidence: list[Evidence], helps: list[Cure]) -> Finding:
    return Finding(kind, is_fault=True, words=words, since_epoch=since, evidence=evidence, cures=helps)


def _rate(facts: Facts) -> Evidence:
    return Evidence("learning rate", f"{facts.plan.learning_rate:g} ({facts.plan.optimizer})")


def _figure(value: float) -> str:
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
