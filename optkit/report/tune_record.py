"""The records that tune.json is made of (version 1): what was searched, every trial, and what was chosen.

As in report.json every quantity carries its unit in its name, and a figure that was not measured is ``None``.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from optkit.quality import Interval
from optkit.schema import DataFacts, Environment

SCHEMA_VERSION = 1


class Objective(Struct, frozen=True):
    """What is searched for; ``words`` say what the figure is."""

    name: Literal["accuracy", "error", "parameters", "latency"]
    direction: Literal["minimize", "maximize"]
    words: str


class FileTime(Struct, frozen=True):
    """Time of a call of the trial's fp32 TFLite file, one image, one thread, on the machine that ran the trial."""

    p50_us: float
    ci95: Interval


class TrialRecord(Struct, frozen=True):
    """One trial.

    Attributes:
        number: In the study, from 0.
        state: ``failed`` has the ``reason``.
        values: By objective; empty where there are none.
        settings: What was drawn from the space, as text for lists of layers.
        scores: Validation accuracy (or mean absolute error) of each of its models.
        mean: Of the scores.
        spread: Their standard deviation; ``None`` for one model.
        reported: What the pruner saw after each epoch (one model), or after each model.
        seconds: Wall time.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    settings: dict[str, Any]
    values: dict[str, float] = {}
    scores: list[float] = []
    mean: float | None = None
    spread: float | None = None
    reported: list[float] = []
    parameters: int | None = None
    time: FileTime | None = None
    seconds: float | None = None
    reason: str = ""


class Final(Struct, frozen=True):
    """The chosen settings, trained on training and validation data together and judged once on the test part."""

    trained_on: int
    tested_on: int
    correct: int | None
    accuracy: float | None
    ci95: Interval | None
    mean_absolute_error: float | None
    parameters: int
    files: list[str]
    seconds: float


class Dimension(Struct, frozen=True):
    """A knob that varied."""

    name: str
    words: str
    kind: Literal["float", "int", "choice"]
    low: float
    high: float
    log: bool
    choices: list[str]


class TuneReport(Struct, frozen=True):
    """tune.json, version 1.

    Attributes:
        fixed: Settings that all trials had.
        importance: Share of each knob in what made good trials good (PED-ANOVA), by objective; empty where too few
            trials are complete.
        front: Trials that no other one beats in every objective.
        chosen: The trial whose settings were taken: the best one by the first objective.
        rule: Why that one.
        stopped: Why the search ended.
    """

    schema_version: int
    optkit_version: str
    created: str
    command: str
    study: str
    environment: Environment
    data: DataFacts
    fixed: dict[str, Any]
    space: list[Dimension]
    protocol: str
    protocol_words: str
    sampler: str
    pruner: str
    objectives: list[Objective]
    trials: list[TrialRecord]
    importance: dict[str, dict[str, float]]
    front: list[int]
    chosen: int
    rule: str
    final: Final
    stopped: str
    seconds: float
    warnings: list[str]
