"""The stage that takes the user's own model in, in place of training a baseline."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from optkit import data
from optkit.data._views import chunks
from optkit.errors import InputError
from optkit.pipeline import chosen_output
from optkit.pipeline.settings import Settings
from optkit.pipeline.stages import check_skipped, finish_model, first_result
from optkit.problem import Task
from optkit.verify import data_range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optkit.data import Dataset
    from optkit.keras_models.importing import Imported
    from optkit.problem import Outputs
    from optkit.workers import Tell

# Enough to see what the outputs are, and whether the inputs can be right; of large pictures fewer, since each goes
# through the network once for every scaling that is tried.
LOOKED_AT = 500
LOOKED_AT_VALUES = 20_000_000
_ROUNDING = 1e-3


def import_model(
    tell: Tell,  # noqa: ARG001  # a stage's signature
    *,
    folder: str,
    key: str,
    name: str,
    settings: Mapping[str, Any],
    threads: int,
) -> None:
    """Read the user's model, see what its outputs are and whether the data fit, and save it.

    Raises:
        InputError: The model cannot be read, the data are not for it, or are scaled otherwise than its training data
            were.
    """
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    wanted = msgspec.convert(settings, Settings)
    configure_tensorflow(wanted.seed, threads=threads)
    dataset = data.load(wanted.data_spec, train_samples=wanted.train_samples)
    taken = take_in(wanted, dataset)
    result = first_result(taken.model, taken.task) | {
        "post_training_only": taken.imported.post_training_only,
        "source": taken.imported.source,
        "difference": taken.imported.difference,
        "warnings": taken.warnings,
    }
    finish_model(Path(folder), key, name, taken.model, dataset, started=started, result=result)


class Taken(NamedTuple):
    """A model that was read and fits the data.

    Attributes:
        model: The tf_keras model with one input and one output.
        task: What its outputs stand for.
        imported: How it was read.
        warnings: What is doubtful.
    """

    model: Any
    task: Task
    imported: Imported
    warnings: list[str]


def take_in(wanted: Settings, dataset: Dataset, expected: Callable[[Task], None] | None = None) -> Taken:
    """Read the model that the settings name, see what its outputs are and whether the data fit.

    Args:
        wanted: Of the run; ``model`` is what is read.
        dataset: What it is to answer.
        expected: Raises where the outputs are others than are needed, before they are judged.

    Raises:
        InputError: See ``import_model``.
    """
    from optkit import keras_models
    from optkit.data import check_outputs
    from optkit.keras_models import importing, lookup, outputs

    imported = importing.import_model(
        Path(wanted.model or ""),
        baseline=wanted.baseline,
        custom_objects=Path(wanted.custom_objects) if wanted.custom_objects else None,
    )
    model, left_out = chosen_output.cut(imported.model, dataset, wanted.output, wanted.model or "")
    if imported.post_training_only is None:
        check_skipped(wanted, model)
        given, model = model, lookup.with_real_input(model)
        if model is not given:
            left_out.append(
                f"{wanted.model} takes whole numbers: its files take them as float32, which has them up to 2²⁴"
            )
    _check_ports(model, wanted)
    shape = tuple(model.input_shape[1:])
    count = min(
        LOOKED_AT, len(dataset.train.labels), max(1, LOOKED_AT_VALUES // math.prod(axis or 1 for axis in shape))
    )
    raw, labels = dataset.train.images[:count], dataset.train.labels[:count]
    _check_shape(raw, shape, wanted)
    looks_up = bool(lookup.tables(model))
    if looks_up:
        lookup.check_numbers(model, *_reach(dataset), wanted.data)
    answered = keras_models.outputs_of(model, dataset.real(raw, shape))
    task = _task(dataset, answered, outputs.output_kind(model), wanted)
    if expected is not None:
        expected(task)
    check_outputs(dataset, task.size if task.kind == "multiclass" else max(2, task.classes))
    warnings = data_range.judge_answers(answered, labels, task, dataset.class_names, source=dataset.name)
    # Numbers that a model looks up, such as those of words, are not to be scaled.
    if not looks_up:
        warnings += data_range.judge(
            lambda images: keras_models.outputs_of(model, images.reshape(len(images), *shape)),
            raw,
            labels,
            task,
            dataset.preprocessing,
            allowed="range" in wanted.allow,
        )
    return Taken(model, task, imported, [*left_out, *warnings, *imported.notes])


def _reach(dataset: Dataset) -> tuple[float, float]:
    """Least and greatest real value of all parts."""
    least, most = math.inf, -math.inf
    for part in (dataset.train, dataset.validation, dataset.test):
        for chunk in chunks(part.images):
            real = dataset.real(chunk)
            least, most = min(least, float(real.min())), max(most, float(real.max()))
    return least, most


def _check_ports(model: Any, settings: Settings) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.output_shape) != 2:
        raise InputError(
            f"expected a model with one input and one output [batch, values], {settings.model} has inputs "
            f"{[list(port.shape) for port in model.inputs]}, outputs {[list(port.shape) for port in model.outputs]}: "
            "optkit has no way to feed or judge these; cut out the part that answers one image"
        )

    if not model.inputs[0].dtype.is_floating:
        raise InputError(
            f"expected a model of real inputs, {settings.model} takes {model.inputs[0].dtype.name} and does more "
            "than look them up in an Embedding layer; put that in a layer of its own, or give the part after it"
        )


def _check_shape(raw: np.ndarray, shape: tuple[int | None, ...], settings: Settings) -> None:
    """The data's examples must be what the model takes, up to an axis of one channel or being laid out flat."""
    if None in shape:
        raise InputError(
            f"expected an input of fixed size, {settings.model} takes {list(shape)}, where None is any; "
            "save it with the size that the device will give"
        )
    if int(np.prod(raw.shape[1:])) != int(np.prod([axis or 1 for axis in shape])):
        raise InputError(
            f"the model {settings.model} takes examples of shape {list(shape)}, the data {settings.data} have "
            f"{list(raw.shape[1:])}; give data of that shape (for pictures: --resize HEIGHTxWIDTH, --channels grey|rgb)"
        )


def _task(dataset: Dataset, answered: np.ndarray, kind: str | None, settings: Settings) -> Task:
    """What the outputs stand for, from their activation where it is known, else from what they are on real data."""
    size = int(answered.shape[-1])
    inside = bool((answered >= 0).all() and (answered <= 1).all())
    if dataset.classes == 0:
        if size != 1:
            raise InputError(
                f"the labels of {settings.data} are values to predict, the model has {size} outputs; optkit judges "
                "regression of one value"
            )
        return Task("regression", "values", 1, settings.metrics)
    outputs: Outputs
    if kind == "sigmoid":
        outputs = "sigmoids"
    elif kind == "softmax" or (
        kind is None and inside and np.allclose(answered.sum(axis=-1), 1, atol=_ROUNDING) and size > 1
    ):
        outputs = "probabilities"
    elif kind is None and inside:
        outputs = "sigmoids"
    else:
        outputs = "logits"
    if size == 1:
        return Task("binary", "logits" if outputs == "logits" else "probabilities", 1, settings.metrics)
    return Task("multiclass", outputs, size, settings.metrics)
