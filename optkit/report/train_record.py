"""The records that train.json is made of (version 1): what was trained, how it went, how good it is.

As in report.json every quantity carries its unit in its name, and a figure that was not measured is ``None``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from optkit.errors import InputError
from optkit.problem import Task
from optkit.quality import Accuracy, AccuracyValidation, Errors
from optkit.schema import DataFacts, Environment

SCHEMA_VERSION = 1

FindingKind = Literal["diverging", "overfitting", "underfitting", "too slow", "still improving"]


class CurvePoint(Struct, frozen=True):
    """One epoch of the learning curve; losses are means over its examples, with penalties on weights where there are.

    A loss is ``None`` where it was no number (NaN or infinite). Accuracies are ``None`` for regression.
    ``learning_rate`` is that of the epoch's last step, ``penalty`` the weights' part of the validation loss.
    """

    epoch: int
    loss: float | None
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float | None
    seconds: float
    penalty: float | None = None


class Start(Struct, frozen=True):
    """Loss and accuracy on the validation examples of the curve before the first step."""

    loss: float | None
    accuracy: float | None


class Evidence(Struct, frozen=True):
    """A figure that a finding rests on, as it is shown."""

    name: str
    figure: str


class Cure(Struct, frozen=True):
    """What usually helps, and the option of ``optkit train`` that does it; empty where none does."""

    words: str
    option: str


class Finding(Struct, frozen=True):
    """One thing that the learning curve shows.

    Attributes:
        kind: Which.
        is_fault: Whether something went wrong; ``still improving`` is no fault.
        words: In a sentence.
        since_epoch: First epoch that shows it, from 1; ``None`` where it is true of the whole.
        evidence: The figures.
        cures: The usual ones, the first to try first.
    """

    kind: FindingKind
    is_fault: bool
    words: str
    since_epoch: int | None
    evidence: list[Evidence]
    cures: list[Cure]


class Diagnosis(Struct, frozen=True):
    """What the curve shows in one sentence, the findings behind it, and what could not be judged."""

    sentence: str
    findings: list[Finding]
    notes: list[str] = []


class ClassFigures(Struct, frozen=True):
    """Test figures of one class as fractions; ``None`` where nothing was answered or nothing is labelled so."""

    label: int
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


class Example(Struct, frozen=True):
    """A test image with a wrong answer: its position, how sure the network was, and its picture (PNG in base64)."""

    index: int
    probability: float | None
    picture: str | None


class ConfusedPair(Struct, frozen=True):
    """Images labelled ``label`` that the network took for ``answer``, the surest of them as examples."""

    label: int
    answer: int
    images: int
    examples: list[Example]


class SummaryLayer(Struct, frozen=True):
    """A layer: shape without the batch axis, multiply-accumulates for one example (``None`` where not counted)."""

    name: str
    kind: str
    activation: str
    output_shape: list[int]
    parameters: int
    macs: int | None


class Summary(Struct, frozen=True):
    """The network layer by layer, with the sums."""

    layers: list[SummaryLayer]
    parameters: int
    trainable_parameters: int
    macs: int | None


class TrainReport(Struct, frozen=True):
    """train.json, version 1.

    Attributes:
        schema_version: Of this record.
        optkit_version: That made it.
        created: When, ISO 8601.
        command: That was given.
        again: The command that makes it again.
        name: Of the files in ``models/``.
        settings: What was given, as in recipe.toml.
        network: Every knob of the network, with the layers in words.
        plan: Every knob of training.
        data: The data and their split; ``train`` are the examples in use.
        curve_examples: Validation examples that the learning curve looks at.
        task: What the outputs stand for.
        curve: The epochs.
        start: Before the first step.
        kept_epoch: Whose weights were kept: the last, or with early stopping the best one.
        train_seconds: Wall time of the training stage.
        accuracy: On the test part, ``None`` for regression.
        accuracy_validation: On the whole validation part.
        errors: On the test part, for regression.
        errors_validation: On the whole validation part, for regression.
        metrics: Keras metrics that were asked for, by part, and further figures for regression.
        classes: Figures of each class.
        confused: The most confused pairs.
        summary: The network layer by layer.
        diagnosis: What the curve shows.
        warnings: About data and files.
        environment: Machine and packages.
        files: Of the folder ``models/``; none where the weights are no numbers.
        compress_command: What makes small files of the model; empty where there is none.
    """

    schema_version: int
    optkit_version: str
    created: str
    command: str
    again: str
    name: str
    settings: dict[str, Any]
    network: dict[str, Any]
    plan: dict[str, Any]
    data: DataFacts
    curve_examples: int
    task: Task
    curve: list[CurvePoint]
    start: Start
    kept_epoch: int
    train_seconds: float
    accuracy: Accuracy | None
    accuracy_validation: AccuracyValidation | None
    errors: Errors | None
    errors_validation: Errors | None
    metrics: dict[str, Any]
    classes: list[ClassFigures]
    confused: list[ConfusedPair]
    summary: Summary
    diagnosis: Diagnosis
    warnings: list[str]
    environment: Environment
    files: list[str]
    compress_command: str


def to_json(report: TrainReport) -> bytes:
    """The text of train.json."""
    return msgspec.json.format(msgspec.json.encode(report)) + b"\n"


def from_json(content: bytes) -> TrainReport:
    """The record that ``to_json`` wrote.

    Raises:
        InputError: It is no train.json of this version.
    """
    try:
        report = msgspec.json.decode(content, type=TrainReport)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"expected a train.json of optkit, found another file: {error}") from error
    if report.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"expected train.json version {SCHEMA_VERSION}, found {report.schema_version}; use the optkit that wrote it"
        )
    return report
