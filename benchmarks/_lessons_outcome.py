"""What came of an experiment: the record that lessons.json holds, and that the page and the plots are drawn from."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from benchmarks._lessons_rules import Finding, Verdict, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._lessons_experiments import Experiment
    from benchmarks._lessons_train import Run


class Setting(Struct, frozen=True):
    """One setting of an experiment and its figure for each seed.

    Attributes:
        name: As printed.
        settings: Of ``TrainSettings`` without the seed, as they were trained.
        epoch: After which the figure was taken.
        values: One for each seed.
    """

    name: str
    settings: dict[str, Any]
    epoch: int
    values: list[float]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds."""
        return statistics.stdev(self.values)


class Curve(Struct, frozen=True):
    """A figure over the epochs; values [seed][epoch]."""

    label: str
    values: list[list[float]]


class Outcome(Struct, frozen=True):
    """An experiment with its values and verdict; fields as in ``Experiment``.

    Attributes:
        why: What the verdict rests on, one line a statement.
        curve: Name of what ``curves`` show; empty where there are none.
        curves: One for each setting, or one of training and one of validation where all settings are one training.
    """

    name: str
    title: str
    claim: str
    setup: str
    what: str
    unit: str
    date: str
    train_seconds: float
    verdict: Verdict
    why: list[str]
    findings: list[Finding]
    settings: list[Setting]
    curve: str
    curves: list[Curve]


def outcome(experiment: Experiment, runs: Sequence[Sequence[Run]], date: str) -> Outcome:
    """Judge an experiment.

    Args:
        experiment: What was tried.
        runs: By setting and seed, in the experiment's order.
        date: Of today.
    """
    settings = []
    for arm, own in zip(experiment.arms, runs, strict=True):
        figure = arm.figure or experiment.figure
        epoch = arm.at or len(own[0].epochs)
        values = [round(figure(run, arm.at), 4) for run in own]
        settings.append(Setting(arm.name, own[0].training.settings, epoch, values))
    decision = decide(
        experiment.statements,
        {setting.name: setting.values for setting in settings},
        step=experiment.resolution,
        unit=experiment.unit,
    )
    return Outcome(
        name=experiment.name,
        title=experiment.title,
        claim=experiment.claim,
        setup=experiment.setup,
        what=experiment.what,
        unit=experiment.unit,
        date=date,
        train_seconds=round(sum({run.training.key: run.seconds for own in runs for run in own}.values()), 1),
        verdict=decision.verdict,
        why=[finding.words for finding in decision.findings],
        findings=list(decision.findings),
        settings=settings,
        curve=experiment.curve.replace("_", " "),
        curves=_curves(experiment, runs) if experiment.curve else [],
    )


def _curves(experiment: Experiment, runs: Sequence[Sequence[Run]]) -> list[Curve]:
    field = experiment.curve
    records = [epoch for own in runs for run in own for epoch in run.epochs]
    # A training that diverged has no course to draw.
    if any(None in {epoch.loss, epoch.validation_loss} for epoch in records):
        return []
    if len({run.training.key for own in runs for run in own}) > len(runs[0]):
        return [Curve(arm.name, _series(own, field)) for arm, own in zip(experiment.arms, runs, strict=True)]
    trained = field.removeprefix("validation_")
    return [Curve("training", _series(runs[0], trained)), Curve("validation", _series(runs[0], field))]


def _series(runs: Sequence[Run], field: str) -> list[list[float]]:
    scale = 100 if field.endswith("accuracy") else 1
    return [[round(scale * getattr(epoch, field), 4) for epoch in run.epochs] for run in runs]
