"""The stage that takes the user's own model in, in place of training a baseline."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from optkit import data
from optkit.data._inputs import form_in, form_of, parts, size_of
from optkit.data._views import chunks
from optkit.errors import InputError
from optkit.pipeline import chosen_output
from optkit.pipeline.settings import Settings
from optkit.pipeline.stages import check_skipped, finish_model, first_result
from optkit.problem import Task
from optkit.verify import data_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.data import Dataset
    from optkit.data._inputs import Form
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
            whole = [
                name
                for name, port in zip(given.input_names, given.inputs, strict=True)
                if not port.dtype.is_floating and len(given.inputs) > 1
            ]
            where = f" at {', '.join(map(repr, whole))}" if whole else ""
            left_out.append(
                f"{wanted.model} takes whole numbers{where}: its files take them as float32, which has them up to 2²⁴"
            )
    _check_ports(model, wanted)
    form = form_of(model)
    count = min(LOOKED_AT, len(dataset.train.labels), max(1, LOOKED_AT_VALUES // size_of(form)))
    raw, labels = dataset.train.images[:count], dataset.train.labels[:count]
    _check_form(raw, form, wanted)
    looked_up = lookup.tables(model)
    reach = _reach(dataset) if looked_up else {}
    for port, layers in looked_up.items():
        lookup.check_numbers(layers, *reach[port if len(model.inputs) > 1 else ""], wanted.data)
    answered = keras_models.outputs_of(model, dataset.real(raw, form))
    task = _task(dataset, answered, outputs.output_kind(model), wanted)
    if expected is not None:
        expected(task)
    check_outputs(dataset, task.size if task.kind == "multiclass" else max(2, task.classes))
    warnings = data_range.judge_answers(answered, labels, task, dataset.class_names, source=dataset.name)
    # Numbers that a model looks up, such as those of words, are not to be scaled; nor are those of several inputs,
    # which are given as the model takes them.
    if not looked_up and not isinstance(form, Mapping):
        warnings += data_range.judge(
            lambda images: keras_models.outputs_of(model, images.reshape(len(images), *form)),
            raw,
            labels,
            task,
            dataset.preprocessing,
            allowed="range" in wanted.allow,
        )
    return Taken(model, task, imported, [*left_out, *warnings, *imported.notes])


def _reach(dataset: Dataset) -> dict[str, tuple[float, float]]:
    """Least and greatest real value of each input in all parts."""
    found: dict[str, tuple[float, float]] = {}
    for part in (dataset.train, dataset.validation, dataset.test):
        for chunk in chunks(part.images):
            for name, real in parts(dataset.real(chunk)).items():
                least, most = found.get(name, (math.inf, -math.inf))
                found[name] = min(least, float(real.min())), max(most, float(real.max()))
    return found


def _check_ports(model: Any, settings: Settings) -> None:
    if len(model.outputs) != 1 or len(model.output_shape) != 2:
        raise InputError(
            f"expected a model with one output [batch, values], {settings.model} has outputs "
            f"{[list(port.shape) for port in model.outputs]}: optkit has no way to judge these; cut out the part that "
            "answers one example"
        )
    for port, name in zip(model.inputs, model.input_names, strict=True):
        if not port.dtype.is_floating:
            raise InputError(
                f"expected a model of real inputs, {settings.model} takes {port.dtype.name} at {name!r} and does more "
                "than look them up in an Embedding layer; put that in a layer of its own, or give the part after it"
            )


def _check_form(raw: np.ndarray, form: Form, settings: Settings) -> None:
    """The data's examples must be what the model takes, up to an axis of one channel or being laid out flat."""
    wanted, given = form if isinstance(form, Mapping) else {"": form}, form_in(raw)
    there = given if isinstance(given, Mapping) else {"": given}
    for name, shape in wanted.items():
        if None in shape:
            raise InputError(
                f"expected an input of fixed size, {settings.model} takes {list(shape)}{_at(name)}, where None is any; "
                "save it with the size that the device will give"
            )
    if wanted.keys() != there.keys():
        arrays = " and ".join(f"x_train.{name}" for name in wanted)
        way = f"arrays for each, {arrays}, in an .npz file" if isinstance(form, Mapping) else "one array x_train"
        raise InputError(
            f"the model {settings.model} takes {_inputs_in_words(wanted)}, the data {settings.data} have "
            f"{_inputs_in_words(there)}; give {way}"
        )
    for name, shape in wanted.items():
        if size_of(shape) != size_of(there[name]):
            raise InputError(
                f"the model {settings.model} takes examples of shape {list(shape)}{_at(name)}, the data "
                f"{settings.data} have {list(there[name])}; give data of that shape (for pictures: --resize "
                "HEIGHTxWIDTH, --channels grey|rgb)"
            )


def _at(name: str) -> str:
    return f" at {name!r}" if name else ""


def _inputs_in_words(forms: Mapping[str, tuple[int, ...]]) -> str:
    if "" in forms:
        return "one input"
    return "the inputs " + ", ".join(f"{name} {list(shape)}" for name, shape in forms.items())


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
    if size == 1 and dataset.classes > 2:
        subject = "the model" if settings.output is None else f"the output {settings.output}"
        ways = ["write values to predict with a decimal point (24.0)", "give the labels of two classes"]
        ways += [] if settings.output is None else ["name another --output"]
        raise InputError(
            f"the labels of {settings.data} are whole numbers, which are {dataset.classes} classes, and {subject} "
            f"gives one value; {', or '.join(ways)}"
        )
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
