"""Which layers lose most when quantized, and which as few of them stay in float so that accuracy keeps to a limit.

Sensitivity analysis and partial quantization (Wu et al., Integer quantization for deep learning inference, 2020,
arXiv:2004.09602, section 5.1): one layer at a time is quantized, all others are float; then layers are left out of
quantization, the most sensitive first, until accuracy is within the limit. Layers are ordered by the signal-to-
quantization-noise ratio of the logits (Pandey et al., A practical mixed precision algorithm for post-training
quantization, 2023, arXiv:2302.05397), which tells layers apart that cost no answer on some hundred examples.

Every figure is of a real file in its own runtime. Of n layers with k left in float in the end, n files answer
``EXAMPLES`` examples, and k + 2 to 2k + 2 files and fp32 the whole validation part; the model is converted and
calibrated once.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from optkit import registry
from optkit.drop import Drop, check_unit, drop_of, evidence, is_relative
from optkit.errors import InputError
from optkit.exporters import _excluding
from optkit.measure import accuracy, sensitivity
from optkit.pipeline.checking import chunks
from optkit.schema import LayerNote
from optkit.sensitivity_record import LayerSensitivity, Sensitivity, TriedExclusion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.data import Dataset
    from optkit.exporters import ExportJob
    from optkit.exporters._excluding import Partly, Wanted
    from optkit.problem import Task
    from optkit.schema import Recipe

# A ratio of powers over so many examples with several outputs each is known to a fraction of a decibel.
EXAMPLES = 1_000
METHOD = (
    "one layer at a time quantized, all others float (Wu et al., 2020, arXiv:2004.09602, section 5.1), ordered by the "
    "signal-to-quantization-noise ratio of the logits (Pandey et al., 2023, arXiv:2302.05397)"
)


def check_limits(recipes: Sequence[Recipe], dataset: Dataset) -> None:
    """Stop before any work at a limit that the data cannot show, or that is in the unit of other answers.

    Raises:
        InputError: With the smallest that they can show.
    """
    labels = dataset.validation.labels
    for recipe in recipes:
        wanted = _excluding.wanted(recipe)
        if wanted is not None:
            check_unit(wanted.option, wanted.limit, values=labels.dtype.kind == "f")
            evidence(wanted.option, wanted.limit, len(labels))


class Bench(NamedTuple):
    """Where files of one format are run, on the validation part.

    Attributes:
        file_format: Suffix of the files.
        dataset: The data.
        task: What outputs stand for.
        say: Gets what is being done.
    """

    file_format: str
    dataset: Dataset
    task: Task
    say: Callable[[str], object]

    def answers(self, content: bytes, *, examples: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Answers [n] of a file in its runtime, at batch 1, and its first outputs float32 [at most EXAMPLES, size]."""
        outputs: list[np.ndarray] = []

        def see(piece: np.ndarray) -> None:
            if sum(map(len, outputs)) < EXAMPLES:
                outputs.append(piece)

        part = self.dataset.validation if examples is None else self.dataset.validation.first(examples)
        with tempfile.TemporaryDirectory(prefix="optkit-partly-") as folder:
            path = Path(folder) / f"model.{self.file_format}"
            path.write_bytes(content)
            found = accuracy.answers(path, chunks(self.dataset, part), task=self.task, see=see)
        return found, np.concatenate(outputs)[:EXAMPLES]


class Decided(NamedTuple):
    """What came of it: the record, and fp32's answers [n] to the validation part, which the finished file is held to.

    ``float_layers`` are all that stay in float.
    """

    record: Sensitivity
    reference: np.ndarray

    @property
    def float_layers(self) -> tuple[str, ...]:
        """Layers that stay in float, those without a kernel too."""
        return (*self.record.excluded, *self.record.followers)


def decide_for(job: ExportJob, model: Any, bench: Bench) -> Decided | None:
    """Which layers of a model stay in float in a file; ``None`` where the recipe sets no limit for that.

    Raises:
        InputError: See ``decide``.
    """
    wanted = _excluding.wanted(job.recipe)
    if wanted is None:
        return None
    bench.say("calibration")
    return decide(registry.by_format("exporters", bench.file_format).partly(job, model), wanted, bench)


def decide(files: Partly, wanted: Wanted, bench: Bench) -> Decided:
    """Measure each layer's sensitivity, and leave as few layers in float as the limit takes.

    Args:
        files: Of the model.
        wanted: The limit, and how many layers may be in float.
        bench: Where files are run.

    Raises:
        InputError: No layer can be told in the file, or its outputs are no numbers.
    """
    if not files.layers:
        raise InputError(f"{wanted.option}: no layer with a kernel is told by its name in the file; leave drop out")
    bench.say("fp32")
    reference, outputs = bench.answers(files.reference)
    ranked = _ranked(files, bench, reference, outputs)
    # With all of them in float it would not be an int8 file.
    most = min(wanted.float_layers or len(files.layers), len(files.layers) - 1)
    attempt = _Attempts(files, wanted, bench, reference)
    chosen, within = _fewest([one.layer for one in ranked], most, attempt)
    layers = [_with_reason(one, chosen, attempt, within=within) for one in ranked]
    in_float = files.in_float(chosen)
    record = Sensitivity(
        method=METHOD,
        limit=wanted.limit,
        examples=len(outputs),
        validation=len(reference),
        layers=layers,
        tried=list(attempt.made.values()),
        excluded=list(chosen),
        followers=[layer for layer in in_float if layer not in chosen],
        most=most,
        within=within,
    )
    return Decided(record, reference)


def _ranked(files: Partly, bench: Bench, reference: np.ndarray, outputs: np.ndarray) -> list[LayerSensitivity]:
    """Every layer alone in int8, the one with the most noise first."""
    signal = sensitivity.logits(outputs, bench.task)
    labels = bench.dataset.validation.labels[: len(outputs)]
    found = []
    for layer in files.layers:
        bench.say(f"{layer} alone in int8")
        answers, own = bench.answers(files.only(layer), examples=len(outputs))
        ratio = sensitivity.sqnr_db(signal, sensitivity.logits(own, bench.task))
        drop, interval = _told(drop_of(labels, reference[: len(outputs)], answers))
        found.append(LayerSensitivity(layer, ratio, drop, interval, excluded=False, reason=""))
    return sorted(found, key=lambda one: float("inf") if one.sqnr_db is None else one.sqnr_db)


def _told(drop: Drop) -> tuple[float | None, tuple[float, float] | None]:
    """A drop as it is noted: of an error that was 0, no share can be told."""
    if not (np.isfinite(drop.drop) and np.isfinite(drop.ci95).all()):
        return None, None
    return drop.drop, drop.ci95


class _Attempts:
    """Files with some layers in float, each made and judged once."""

    def __init__(self, files: Partly, wanted: Wanted, bench: Bench, reference: np.ndarray) -> None:
        self._files, self._bench, self._reference = files, bench, reference
        self.limit = wanted.limit
        self.made: dict[frozenset[str], TriedExclusion] = {}

    def __call__(self, layers: Sequence[str]) -> TriedExclusion:
        """The file with these in float."""
        key = frozenset(layers)
        if key not in self.made:
            self._bench.say(f"{len(layers)} layers in float")
            content = self._files.without(layers)
            answers, _ = self._bench.answers(content)
            drop, interval = _told(drop_of(self._bench.dataset.validation.labels, self._reference, answers))
            within = interval is not None and interval[1] <= self.limit.limit
            self.made[key] = TriedExclusion(list(layers), drop, interval, len(content), within)
        return self.made[key]

    @property
    def nearest(self) -> TriedExclusion:
        """The file with the least drop for sure; of equal ones the one with fewer layers in float."""
        return min(
            self.made.values(),
            key=lambda one: (float("inf") if one.drop_ci95 is None else one.drop_ci95[1], len(one.float_layers)),
        )


def _fewest(ranked: Sequence[str], most: int, attempt: _Attempts) -> tuple[tuple[str, ...], bool]:
    """The layers to leave in float, and whether the limit is met with them.

    The most sensitive ones first until it is met; then none of them can go back to int8 by itself.
    """
    if attempt(()).within:
        return (), True
    # First what can be had at all: where it is not enough, nothing less is looked at.
    if not most or not attempt(ranked[:most]).within:
        return tuple(attempt.nearest.float_layers), False
    chosen = next(list(ranked[:count]) for count in range(1, most + 1) if attempt(ranked[:count]).within)
    while True:
        fewer = ([one for one in chosen if one != layer] for layer in reversed(chosen))
        less = next((rest for rest in fewer if attempt(rest).within), None)
        if less is None:
            return tuple(chosen), True
        chosen = less


def _with_reason(one: LayerSensitivity, chosen: Sequence[str], attempt: _Attempts, *, within: bool) -> LayerSensitivity:
    excluded = one.layer in chosen
    if not within:
        nearest = "as in the file that comes nearest to the limit" if chosen else "int8 comes nearest to the limit"
        return msgspec.structs.replace(one, excluded=excluded, reason=nearest)
    if not excluded:
        return msgspec.structs.replace(one, reason="the limit is met with it in int8")
    without = attempt([layer for layer in chosen if layer != one.layer])
    if without.drop_ci95 is None:
        reason = "with it in int8 no drop can be told"
    else:
        unit = "%" if is_relative(attempt.limit) else "points"
        reason = f"with it in int8 as well the drop is up to {100 * without.drop_ci95[1]:.2f} {unit}"
    return msgspec.structs.replace(one, excluded=True, reason=reason)


def noted(notes: Sequence[LayerNote], record: Sensitivity) -> list[LayerNote]:
    """An exporter's notes, with why a layer is in float."""
    reasons = {one.layer: one.reason for one in record.layers if one.excluded}
    return [
        LayerNote(note.layer, note.changed, f"float32 weights, left in float: {reasons[note.layer]}")
        if note.layer in reasons
        else note
        for note in notes
    ]
