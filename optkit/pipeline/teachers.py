"""The stage that takes in a model that a technique learns from, and refuses it before anything is trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import data, store
from optkit.errors import InputError
from optkit.pipeline.building import task_for
from optkit.pipeline.importing import take_in
from optkit.pipeline.settings import Settings
from optkit.pipeline.stages import model_path
from optkit.problem import Task
from optkit.store import StageRecord
from optkit.techniques import BASELINE_TEACHER, Teacher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optkit.workers import Tell


def import_teacher(
    tell: Tell,  # noqa: ARG001  # a stage's signature
    *,
    folder: str,
    key: str,
    path: str,
    baseline_key: str,
    settings: Mapping[str, Any],
) -> None:
    """Read a teacher, compare its outputs with the baseline's, see whether the data are scaled for it, and save it.

    Raises:
        InputError: It cannot be read, or answers something else than the baseline does.
    """
    from optkit import keras_models
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    wanted = msgspec.convert(settings, Settings)
    configure_tensorflow(wanted.seed, threads=1)
    dataset = data.load(wanted.data_spec, train_samples=wanted.train_samples)
    root = Path(folder)
    if wanted.model is None:
        # The baseline is not trained yet.
        task = task_for(dataset, wanted.metrics)
    else:
        task = msgspec.convert(_record(root, baseline_key).result["task"], Task)
    own = msgspec.structs.replace(wanted, model=path, output=None, skip_layers=())
    try:
        taken = take_in(own, dataset, lambda found: check_outputs(path, found, task))
    except InputError as error:
        raise _of_teacher(path, error) from error
    file = root / "cache" / f"{key}.teacher{_suffix(taken.imported.post_training_only)}"
    keras_models.save(taken.model, file)
    files = [file] if file.is_file() else sorted(one for one in file.rglob("*") if one.is_file())
    store.save_stage(
        root,
        StageRecord(
            key=key,
            stage=f"teacher {path}",
            files=[store.describe_file(root, one) for one in files],
            result={
                "task": msgspec.to_builtins(taken.task),
                "file": file.name,
                "warnings": [f"teacher {path}: {warning}" for warning in taken.warnings],
            },
            seconds=round(time.perf_counter() - started, 3),
        ),
    )


def _suffix(post_training_only: str | None) -> str:
    from optkit.keras_models import SAVED_MODEL

    return ".h5" if post_training_only is None else SAVED_MODEL


def check_outputs(path: str, found: Task, wanted: Task) -> None:
    """Stop at a teacher that answers something else than its students.

    Raises:
        InputError: It has another number of outputs, or they stand for something else.
    """
    comparable = {"probabilities", "logits"}
    alike = found.outputs == wanted.outputs or {found.outputs, wanted.outputs} == comparable
    if found.size == wanted.size and found.kind == wanted.kind and alike:
        return
    raise InputError(
        f"teacher {path}: expected outputs like those of the model to be taught, {_words(wanted)}, found "
        f"{_words(found)}; give a teacher that was trained on the same labels"
    )


def _of_teacher(path: str, error: InputError) -> InputError:
    """A refusal that speaks of a model and its data as one that says which model, and why it gets these data."""
    reason, subject = str(error), f"teacher {path}"
    if reason.startswith(subject):
        return error
    return InputError(f"{subject}, which gets the examples of the model that it teaches: {reason}, or another teacher")


def _words(task: Task) -> str:
    return f"{task.size} {task.outputs} ({task.kind})"


def found_teachers(folder: Path, keys: Mapping[str, str]) -> tuple[Teacher, ...]:
    """What a technique is given for the teachers that it named.

    Args:
        folder: The run folder.
        keys: Of the teachers' stages by the name that the technique has for them.

    Raises:
        InputError: A file was changed during the run.
    """
    found = []
    for name, key in keys.items():
        result = _record(folder, key).result
        path = model_path(folder, name, result) if name == BASELINE_TEACHER else folder / "cache" / result["file"]
        found.append(Teacher(path, msgspec.convert(result["task"], Task)))
    return tuple(found)


def _record(folder: Path, key: str) -> StageRecord:
    found = store.load_stage(folder, key)
    if found is None:
        raise InputError(f"a model in {folder} was changed during the run; run the command again")
    return found
