"""Compression techniques, one module each, and the runner that checks each one's contract.

A technique module defines ``SUMMARY``, ``SOURCE``, a frozen ``Params`` record with ranges, and three functions:

- ``requires(model, work)`` gives the reason why the technique can do nothing with this model, else ``None``;
- ``apply(model, work)`` returns a new trained model and one note for every layer; it must not change its input;
- ``ensures(model, work, notes)`` measures the result: checks, and what must still hold in the exported file.

Optionally ``NOT_AFTER`` maps names of techniques that it cannot follow to the reason, and ``teachers(params)`` names
the other models that it needs: ``baseline``, the one that the run starts from, and paths of Keras files. One with
``LAST_BEFORE`` must be the last step before one of these precisions; one with ``NEEDS_CALIBRATION`` gets the images
that int8 files are calibrated with; ``EXPORTS`` says that it calls ``Work.file_bytes``, and ``STOPS`` that a refusal
ends the run, where otherwise the files are left out with the reason. A technique that trains has ``epochs`` among its
parameters, others have none.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import registry
from optkit.errors import InputError, InternalError, UnreachableError
from optkit.schema import Check, Epoch, KernelExpectation, LayerNote, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from optkit.data import Dataset
    from optkit.problem import Task
    from optkit.workers import Tell


# What a technique calls the model that the run starts from.
BASELINE_TEACHER = "baseline"


@dataclass(frozen=True)
class Teacher:
    """Another model that a technique needs.

    Attributes:
        path: What ``keras_models.save`` wrote.
        task: What its outputs stand for: as many as the model's, of the same kind; logits or probabilities.
    """

    path: Path
    task: Task

    def load(self) -> Any:
        """The tf_keras model."""
        from optkit import keras_models

        return keras_models.load(self.path)


@dataclass(frozen=True)
class Work:
    """What a technique gets besides the model.

    Attributes:
        params: The technique's own ``Params``.
        history: The steps that made the model, oldest first; what they brought about must be kept.
        data: Training and validation images (the test part is empty here).
        task: What the model's outputs stand for.
        seed: Decides the order of the examples.
        skip_layers: Names of layers to leave alone.
        tell: Progress.
        file_bytes: Bytes of the ``.tflite`` file that a model gives at a precision; ``None`` where nothing can export.
        teachers: The other models that the technique named, in its order.
        calibration: Gives the calibration images float32 [n, *shape] for a model's input shape, where the technique
            needs them.
        kept: Folder for what other steps of the run may use again; ``None`` where nothing is kept.
        source: The model that the technique was given, for ``ensures`` to compare with; set by the runner.
    """

    params: Any
    history: tuple[Step, ...]
    data: Dataset
    task: Task
    seed: int
    skip_layers: tuple[str, ...]
    tell: Tell
    file_bytes: Callable[[Any, str], int] | None = None
    teachers: tuple[Teacher, ...] = ()
    calibration: Callable[[tuple[int, ...]], np.ndarray] | None = None
    kept: Path | None = None
    source: Any = None

    def follows(self, technique: str) -> bool:
        """Whether that technique is among the steps that made the model."""
        return any(step.name == technique for step in self.history)


@dataclass(frozen=True)
class Applied:
    """A technique's result.

    Attributes:
        model: The new model.
        notes: One for every layer that the given model has, and for every one in ``layers``.
        epochs: The learning curve.
        checks: Those made on the way.
        layers: Names of the new model's layers where they are not those of the given one; else ``None``.
    """

    model: Any
    notes: list[LayerNote]
    epochs: list[Epoch]
    checks: list[Check] = field(default_factory=list)
    layers: list[str] | None = None


@dataclass(frozen=True)
class Outcome:
    """A result that the runner has checked; ``layers`` are the ones that the next technique reports."""

    model: Any
    notes: list[LayerNote]
    epochs: list[Epoch]
    checks: list[Check]
    expectations: list[KernelExpectation]
    layers: list[str]


def teachers_of(step: Step) -> tuple[str, ...]:
    """The other models that a step needs: ``baseline``, and paths of Keras files."""
    module = registry.load("techniques", step.name)
    if not hasattr(module, "teachers"):
        return ()
    named: tuple[str, ...] = module.teachers(msgspec.convert(step.params, module.Params))
    return named


def copy_model(model: Any) -> Any:
    """A tf_keras model with layers and weights of its own.

    Wrapping a model's layers directly would share them with the caller's model, which then changes as well.
    """
    import tf_keras

    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def weights_digest(model: Any) -> str:
    """SHA-256 over all weights of a Keras model, in order."""
    hasher = hashlib.sha256()
    for weight in model.get_weights():
        hasher.update(weight.tobytes())
    return hasher.hexdigest()


def kernels(model: Any) -> dict[str, Any]:
    """Kernels by layer name: what the pruning and clustering of a layer is about.

    Returns:
        Arrays with the output channel last ([height, width, in, out] or [in, out]; depthwise
        [height, width, in, multiplier]), in layer order. Of a separable convolution it is the pointwise one, the
        only one that tensorflow-model-optimization changes. Wrapped layers go by the inner layer's name.
    """
    found = {}
    for layer in model.layers:
        inner = getattr(layer, "layer", layer)
        for attribute in ("pointwise_kernel", "depthwise_kernel", "kernel"):
            weight = getattr(inner, attribute, None)
            if weight is not None and hasattr(weight, "numpy"):
                found[inner.name] = weight.numpy()
                break
    return found


def run(name: str, model: Any, work: Work, layers: Sequence[str]) -> Outcome:
    """Apply a technique and check its contract.

    Args:
        name: The technique.
        model: The tf_keras model to start from.
        work: Parameters, data and history.
        layers: Names of the layers of the model as its files have them; each must be reported once.

    Raises:
        InputError: The technique can do nothing with this model.
        UnreachableError: Likewise, of a technique that ends the run then.
        InternalError: The technique broke its contract: it changed its input, or left a layer unreported.
    """
    module = registry.load("techniques", name)
    refusal = module.requires(model, work)
    if refusal:
        kind = UnreachableError if getattr(module, "STOPS", False) else InputError
        raise kind(f"{name}: {refusal}")
    before = weights_digest(model)
    applied: Applied = module.apply(model, work)
    if weights_digest(model) != before:
        raise InternalError(f"technique {name} changed the model that it was given")
    reported = [note.layer for note in applied.notes]
    expected = list(dict.fromkeys([*layers, *(applied.layers or ())]))
    if sorted(reported) != sorted(expected):
        raise InternalError(f"technique {name} must report every layer once: {expected}, found {reported}")
    if any(not note.reason for note in applied.notes):
        raise InternalError(f"technique {name} reported a layer without a reason")
    checks, expectations = module.ensures(applied.model, dataclasses.replace(work, source=model), applied.notes)
    left = list(layers) if applied.layers is None else applied.layers
    return Outcome(applied.model, applied.notes, applied.epochs, [*applied.checks, *checks], expectations, left)


def note_layers(layers: Sequence[str], changed: dict[str, str], skipped: dict[str, str]) -> list[LayerNote]:
    """Notes in layer order: changed layers, skipped ones with their reason, and those without a kernel."""
    notes = []
    for layer in layers:
        if layer in changed:
            notes.append(LayerNote(layer, changed=True, reason=changed[layer]))
        else:
            notes.append(LayerNote(layer, changed=False, reason=skipped.get(layer, "has no kernel")))
    return notes
