"""The records that stages exchange and that report.json is made of (version 1).

Every quantity carries its unit in its name. A figure that was not measured is ``None``, never 0.
All records are frozen; a JSON Schema is generated from them (``optkit/report/report.schema.json``).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from optkit.problem import Preprocessing, Task
from optkit.quality import (
    Accuracy,
    AccuracyValidation,
    Check,
    Comparison,
    ErrorComparison,
    Errors,
    Flip,
    Interval,
    Parity,
    Verdict,
)
from optkit.runtime_record import OperatorFigures, RuntimeFacts
from optkit.search_record import SearchRecord
from optkit.sensitivity_record import Sensitivity

__all__ = [
    "SCHEMA_VERSION",
    "Accuracy",
    "AccuracyValidation",
    "Calibration",
    "Check",
    "Comparison",
    "Compute",
    "DataFacts",
    "Environment",
    "Epoch",
    "ErrorComparison",
    "Errors",
    "Flip",
    "Interval",
    "KernelExpectation",
    "Latency",
    "LayerNote",
    "Memory",
    "NoiseFloor",
    "OperatorFigures",
    "Parity",
    "Point",
    "Recipe",
    "Recommendation",
    "Report",
    "RuntimeFacts",
    "ScalingPoint",
    "SearchRecord",
    "Sensitivity",
    "Size",
    "Skipped",
    "Speedup",
    "Step",
    "Stopping",
    "Training",
    "Variant",
    "Verdict",
    "Why",
]

SCHEMA_VERSION = 1


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a recipe: a technique, or the precision that ends it."""

    name: str
    params: dict[str, Any] = {}


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Techniques in order, then a precision."""

    name: str
    steps: tuple[Step, ...]

    @property
    def techniques(self) -> tuple[Step, ...]:
        """The steps before the precision."""
        return self.steps[:-1]

    @property
    def precision(self) -> Step:
        """The last step."""
        return self.steps[-1]


class LayerNote(Struct, frozen=True):
    """What a technique did with one layer, or why it left it alone."""

    layer: str
    changed: bool
    reason: str


class KernelExpectation(Struct, frozen=True):
    """What must hold for a layer's kernel in the exported file.

    Attributes:
        layer: Name of the Keras layer.
        elements: Number of weights, by which (and by order) the kernel is found in the file.
        sparsity_at_least: Least share of zeros.
        distinct_at_most: Most distinct values: per tensor in float files, per channel in quantized ones.
        block_2_of_4: Whether each four consecutive input channels hold at least two zeros.
        small: Whether it takes no more bytes than its values need.
        macs: Multiply-accumulates per example of the operator that uses it.
    """

    layer: str
    elements: int
    sparsity_at_least: float | None = None
    distinct_at_most: int | None = None
    block_2_of_4: bool = False
    small: bool = False
    macs: int | None = None


class Why(Struct, frozen=True):
    """The cause of a surprise, with the evidence."""

    cause: str
    detail: str


class Size(Struct, frozen=True):
    """Bytes of the file that ships, and where they are."""

    file_bytes: int
    gzip_bytes: int
    weight_bytes: int
    overhead_bytes: int
    parameters: int
    nonzero_parameters: int
    bytes_by_kind: dict[str, int]


class Compute(Struct, frozen=True):
    """Arithmetic per inference, counted from the operators in the file."""

    macs: int | None


class Speedup(Struct, frozen=True):
    """Baseline's time / this time from paired blocks; over 1 is faster."""

    ratio: float
    ci95: Interval
    verdict: Verdict


class Latency(Struct, frozen=True):
    """Time of one call of the runtime; ``p50_us`` is the median over processes of the block medians.

    ``doubts`` are sentences on what makes these figures less sure than they look.
    ``blocks_us[process][block]`` are the raw values: the mean time of a call in each block (a median would not see
    work that only some calls do), without the stretches in which the kernel took the core away.
    """

    p50_us: float
    p90_us: float | None
    p99_us: float | None
    min_us: float
    p50_with_conversion_us: float | None
    samples: int
    processes: int
    threads: int
    batch: int
    load_ms: float
    first_ms: float
    blocks_us: list[list[float]]
    speedup: Speedup | None = None
    doubts: list[str] = []


class ScalingPoint(Struct, frozen=True):
    """The same file with another batch or number of threads, measured in the same interleaved run.

    ``p50_us`` is the time of one call, of ``batch`` images; ``images_per_second`` follows from it, ``ci95`` is that
    figure's interval. ``throughput`` is images per second over those of the file's first point: a ratio of paired
    blocks, ``None`` for the first point itself.
    """

    batch: int
    threads: int
    p50_us: float
    images_per_second: float
    ci95: Interval
    throughput: Speedup | None = None


class Memory(Struct, frozen=True):
    """Peak resident set of a fresh process less that of the runtime alone: approximate."""

    peak_rss_bytes: int


class Variant(Struct, frozen=True):
    """Everything known about one file that was written (or that failed to be).

    ``recipe`` is ``None`` for a file that no optkit run made. ``is_baseline`` marks the file that others of its format
    are held against. ``scaling`` has other batches and thread counts, where they were asked for. Files that answer
    with a class have ``accuracy``, those that answer with a value ``errors``; the other is ``None``. ``metrics`` has
    further figures of the answers by name, see ``optkit.measure.quality``. ``sensitivity`` says which layers lose most
    when quantized, and which were left in float, where a drop was set for it.
    """

    name: str
    format: str
    runtime: str
    recipe: Recipe | None
    path: str
    sha256: str | None
    status: Literal["ok", "failed"]
    failures: list[str] = []
    checks: list[Check] = []
    size: Size | None = None
    compute: Compute | None = None
    accuracy: Accuracy | None = None
    accuracy_validation: AccuracyValidation | None = None
    metrics: dict[str, Any] = {}
    flips: list[Flip] = []
    latency: Latency | None = None
    memory: Memory | None = None
    parity: Parity | None = None
    layers: list[LayerNote] = []
    why: list[Why] = []
    is_baseline: bool = False
    scaling: list[ScalingPoint] = []
    operators: list[OperatorFigures] = []
    runtime_facts: RuntimeFacts | None = None
    errors: Errors | None = None
    errors_validation: Errors | None = None
    sensitivity: Sensitivity | None = None


class Environment(Struct, frozen=True):
    """The machine and the packages that the figures come from."""

    cpu_model: str
    cpu_flags: list[str]
    cores: int
    memory_bytes: int
    os: str
    python: str
    packages: dict[str, str]
    load_average_before: tuple[float, float, float] | None
    load_average_after: tuple[float, float, float] | None = None


class Calibration(Struct, frozen=True):
    """Where the calibration images (the representative data set) came from."""

    count: int
    source: str
    disjoint_from_test: bool


class DataFacts(Struct, frozen=True):
    """The data set and its split, in images; ``None`` for parts that were not there or not used.

    ``preprocessing`` is how raw values became real inputs, ``None`` where that is not known (files measured by
    themselves). ``class_names`` are in the order of the class numbers; empty where there are none.
    """

    name: str
    sha256: str
    train: int | None
    validation: int | None
    test: int
    calibration: Calibration | None
    preprocessing: Preprocessing | None = None
    class_names: list[str] = []


class NoiseFloor(Struct, frozen=True):
    """Speed ratio interval of the baseline measured against itself."""

    format: str
    low: float
    high: float


class Stopping(Struct, frozen=True):
    """Why measuring one format's files ended: every interval within the wanted width, time up, or a fixed number.

    Widths are half widths of a speed-up's 95 % interval, relative: the ``wanted_width`` (``None`` when fixed), and
    the widest that was reached (``None`` when nothing was compared). ``seconds`` is wall time.
    """

    format: str
    reason: Literal["narrow enough", "time is up", "fixed"]
    processes: int
    seconds: float
    wanted_width: float | None
    reached_width: float | None


class Recommendation(Struct, frozen=True):
    """The file to ship and the rule that chose it."""

    variant: str
    format: str
    rule: str


class Point(Struct, frozen=True):
    """A file on the Pareto front of its format."""

    variant: str
    format: str


class Skipped(Struct, frozen=True):
    """A pair of recipe and format that was not made."""

    name: str
    format: str
    reason: str


class Epoch(Struct, frozen=True):
    """One epoch of training. For regression ``accuracy`` is ``None``.

    Losses are means over its examples of what is minimized: on labels as they are smoothed or blended, with the
    penalties of ``l1`` and ``l2``; ``penalty`` is their part of ``validation_loss``. ``loss`` and ``accuracy`` are
    those during the epoch, with dropout and augmentation; the others those after it. A loss that is no number any
    more, and figures of validation data that are not there, are ``None``. ``learning_rate`` is that of the epoch's
    last step; it and ``penalty`` are ``None`` in reports of versions that did not note them.
    """

    loss: float | None
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    learning_rate: float | None = None
    penalty: float | None = None


class Training(Struct, frozen=True):
    """The learning curve of one training stage."""

    stage: str
    epochs: list[Epoch]


class Report(Struct, frozen=True):
    """report.json, version 1.

    ``data`` is ``None`` where files were measured on generated inputs.
    ``pictures`` has the test images that a flip names, once each: index in the test set (as a string) to a PNG
    in base64 (``optkit.report.pictures``), so that the page is drawn from this record alone. ``task`` says what
    outputs stand for; ``None`` in reports of versions that knew classes only, and where nothing was judged. ``seed``
    decided everything that is drawn at random; ``None`` in reports of versions that did not note it. ``search`` has
    every file that was tried where limits were set, of which ``variants`` are what was delivered and its reference.
    """

    schema_version: int
    optkit_version: str
    created: str
    command: str
    warnings: list[str]
    environment: Environment
    data: DataFacts | None
    noise_floor: list[NoiseFloor]
    recommendation: Recommendation | None
    pareto: list[Point]
    skipped: list[Skipped]
    training: list[Training]
    variants: list[Variant]
    pictures: dict[str, str] = {}
    stopping: list[Stopping] = []
    task: Task | None = None
    seed: int | None = None
    search: SearchRecord | None = None
