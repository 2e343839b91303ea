"""Runs two model files on the same data and says where they answer differently, and where in the network it begins."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from optkit import registry, store
from optkit.errors import InputError
from optkit.pipeline import confidence, diff_layers, model_file
from optkit.report.difference import SCHEMA_VERSION, Change, Difference, Layers, Side, ValueChange
from optkit.runtimes._layer_outputs import LayerOutput
from optkit.statistics import compare_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.pipeline.confidence import Confidence

SUFFIXES = (".tflite", ".onnx", ".keras")
_WORKER = "optkit.pipeline.diff_worker"
# Layers are held side by side on so many images; signal-to-noise ratios settle within a decibel.
LAYER_IMAGES = 32
_MOST_VALUE_CHANGES = 200


class Data(NamedTuple):
    """What both files are run on: real images float32 [n, …] in a .npy file, labels [n] or ``None``."""

    name: str
    sha256: str
    images: Path
    labels: np.ndarray | None


def diff(
    a: Path,
    b: Path,
    write_data: Callable[[Path], Data],
    *,
    layers: bool = True,
    on_step: Callable[[str], None] = lambda _: None,
) -> Difference:
    """Compare two model files of any formats on the same data.

    Args:
        a: The reference.
        b: The other.
        write_data: Loads the data and writes the images into the folder it is given.
        layers: Also look for the first layer where they part.
        on_step: Is told what is being done.

    Raises:
        InputError: A file cannot be used, the data do not fit, or the files have unequal numbers of outputs.
    """
    for path in (a, b):
        model_file.kind(path, suffixes=SUFFIXES, folder=False)
    with tempfile.TemporaryDirectory(prefix="optkit-diff-") as scratch:
        folder = Path(scratch)
        on_step("reading the data")
        data = write_data(folder)
        outputs, read = [], []
        for position, path in enumerate((a, b)):
            on_step(f"running {path.name}")
            npy = folder / f"outputs-{position}.npy"
            job = {"do": "outputs", "file": str(path), "images": str(data.images), "outputs": str(npy)}
            told = model_file.ask(_WORKER, job, str(path))
            if not told["finite"]:
                raise InputError(f"{path} gives NaN or infinite outputs for some of the data; nothing can be compared")
            outputs.append(np.load(npy, allow_pickle=False))
            read.append((told["meaning"], outputs[-1]))
        if outputs[0].shape != outputs[1].shape:
            counts = [one.shape[1] for one in outputs]
            raise InputError(
                f"expected two files with as many outputs, {a} has {counts[0]} and {b} {counts[1]}; "
                "they do not answer the same question"
            )
        # Of the same question: where neither file tells what its outputs are, both are judged together.
        together = None if any(meaning for meaning, _ in read) else confidence.judged(np.concatenate(outputs))
        answers = [confidence.read(values, meaning or together) for meaning, values in read]
        if (answers[0].meaning == "values") != (answers[1].meaning == "values"):
            raise InputError(f"one of {a} and {b} gives values and the other probabilities; they cannot be compared")
        found = _layers(a, b, data, folder, on_step) if layers else None
        return _assembled((a, b), data, outputs, answers, found)


def _layers(a: Path, b: Path, data: Data, folder: Path, on_step: Callable[[str], None]) -> Layers:
    files = []
    for position, path in enumerate((a, b)):
        on_step(f"layers of {path.name}")
        own = folder / f"layers-{position}"
        own.mkdir()
        job = {
            "do": "layers",
            "file": str(path),
            "images": str(data.images),
            "count": LAYER_IMAGES,
            "folder": str(own),
        }
        try:
            told = model_file.ask(_WORKER, job, str(path))
        except InputError as error:
            return Layers(0, None, [], None, None, f"{error}; the first layer where they part cannot be told")
        records = msgspec.convert(told["layers"], list[LayerOutput])
        files.append(diff_layers.File(registry.format_of(path), records, own))
    on_step("comparing layers")
    return diff_layers.compare(*files)


def _assembled(
    paths: tuple[Path, Path],
    data: Data,
    outputs: list[np.ndarray],
    answers: list[Confidence],
    layers: Layers | None,
) -> Difference:
    is_value = answers[0].meaning == "values"
    labels = data.labels
    notes = []
    if (
        not is_value
        and labels is not None
        and (labels.dtype.kind not in "iu" or int(labels.max(initial=0)) >= answers[0].probabilities.shape[1])
    ):
        notes.append("the labels are no classes of these files: right and wrong answers are not counted")
        labels = None
    gap = np.abs(answers[0].probabilities - answers[1].probabilities)
    changed = np.flatnonzero(answers[0].answers != answers[1].answers)
    return Difference(
        schema_version=SCHEMA_VERSION,
        a=_side(paths[0], answers[0], None if is_value else labels),
        b=_side(paths[1], answers[1], None if is_value else labels),
        data=data.name,
        data_sha256=data.sha256,
        images=len(outputs[0]),
        changed=len(changed) if not is_value else int((outputs[0] != outputs[1]).any(axis=1).sum()),
        versus=None if is_value or labels is None else compare_answers(labels, answers[0].answers, answers[1].answers),
        changes=[] if is_value else [_change(int(at), labels, answers) for at in changed],
        largest_value_changes=_largest(labels, outputs) if is_value else [],
        mean_abs_difference=float(gap.mean()),
        max_abs_difference=float(gap.max()),
        layers=layers,
        notes=notes,
    )


def _side(path: Path, read: Confidence, labels: np.ndarray | None) -> Side:
    correct = None if labels is None else int((read.answers == labels).sum())
    return Side(str(path), registry.format_of(path), store.sha256_file(path), read.meaning, read.words, correct)


def _change(at: int, labels: np.ndarray | None, answers: list[Confidence]) -> Change:
    first, second = (int(one.answers[at]) for one in answers)
    a, b = (one.probabilities[at] for one in answers)
    return Change(
        index=at,
        label=None if labels is None else int(labels[at]),
        answer_a=first,
        confidence_a=float(a[first]),
        answer_b=second,
        confidence_b=float(b[second]),
        confidence_b_in_a=float(b[first]),
        confidence_a_in_b=float(a[second]),
    )


def _largest(labels: np.ndarray | None, outputs: list[np.ndarray]) -> list[ValueChange]:
    gap = np.abs(outputs[0][:, 0].astype(np.float64) - outputs[1][:, 0])
    order = [int(at) for at in np.argsort(-gap, kind="stable")[:_MOST_VALUE_CHANGES] if gap[at] > 0]
    return [
        ValueChange(
            at,
            None if labels is None else float(labels[at]),
            float(outputs[0][at, 0]),
            float(outputs[1][at, 0]),
        )
        for at in order
    ]
