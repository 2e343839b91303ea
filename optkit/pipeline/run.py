"""Runs a plan in a run folder: what is there and intact is kept, the rest is made, then the report is written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optkit import data, store
from optkit.data._inputs import form_in, size_of
from optkit.errors import InputError
from optkit.pipeline import figures, jobs, outputs
from optkit.pipeline.calibration import check_calibration, data_digest
from optkit.pipeline.exclusion import check_limits
from optkit.pipeline.plan import make_plan
from optkit.pipeline.progress import Event, OnEvent, Schedule
from optkit.pipeline.run_log import LOG, logged
from optkit.pipeline.settings import Settings, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.data import Dataset
    from optkit.pipeline.plan import Plan
    from optkit.schema import Report


def run_folder(settings: Settings, out: str | os.PathLike[str] | None) -> Path:
    """The run folder: ``out``, else one named after the model or the baseline.

    Raises:
        InputError: ``out`` is empty, as an unset shell variable is; the current folder must be named as ``.``.
    """
    if out is None:
        name = settings.baseline if settings.model is None else _model_name(settings.model)
        return Path(f"optkit-run-{name}{'-quick' if settings.quick else ''}")
    if not str(out).strip():
        raise InputError("--out expects the name of a folder, found an empty one; name a folder, or . for this one")
    return Path(out)


def _model_name(model: str) -> str:
    """A model's name without the ending of its kind: mine.v1.keras and mine.v2.keras have folders of their own."""
    # Absolute, for a SavedModel that is the current folder.
    name = os.path.basename(os.path.abspath(model))  # noqa: PTH100, PTH119  # Path resolves links, whose names count
    ending = next((one for one in (".weights.h5", ".keras", ".h5", ".hdf5") if name.lower().endswith(one)), "")
    return name[: len(name) - len(ending)] or "model"


def compress(
    *,
    recipes: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    command: str | None = None,
    on_event: OnEvent | None = None,
    **settings: Any,
) -> Report:
    """Train the baseline, compress it, export, verify and measure every file, and write the run folder.

    Args:
        recipes: Recipes such as ``prune:sparsity=0.8+int8``, or paths that end in ``.toml``; the standard set by
            default.
        out: The run folder; ``optkit-run-BASELINE`` by default.
        command: The command to note as the one that makes it again.
        on_event: Receives progress.
        **settings: Fields of ``optkit.pipeline.Settings``, for example ``baseline="mlp-128"`` or ``seed=1``.

    Returns:
        The report that was written to ``report.json``; a file that failed has ``status == "failed"``.

    Raises:
        InputError: Something given cannot be used; nothing was done.
        EnvironmentFailedError: A full disk, a killed worker; what was finished is kept.
    """
    chosen, named = resolve(settings, recipes)
    folder = run_folder(chosen, out)
    store.check_own(folder, "compress")
    store.check_apart(folder, {"MODEL": chosen.model, "--data": chosen.data, "--calibration": chosen.calibration})
    dataset = data.load(chosen.data_spec, train_samples=chosen.train_samples)
    check_limits(named, dataset)
    warnings = check_calibration(
        dataset, chosen, int8=any(recipe.precision.name in {"int8", "int4"} for recipe in named)
    )
    plan = make_plan(chosen, named, data_digest(dataset))
    # Path.exists raises for a name that is too long, which prepare_folder has a message for.
    is_new = not os.path.exists(folder)  # noqa: PTH110
    store.prepare_folder(folder)
    try:
        with store.locked(folder, "compress"), logged(folder):
            command = command or outputs.command_line(folder)
            LOG.info("run: %s", command)
            return _run(plan, folder, dataset, command, on_event or _silent, warnings=warnings)
    except InputError:
        # Some mistakes show only once the network is built (a layer's name): then too nothing was done.
        if is_new and not any((folder / "models").iterdir()):
            shutil.rmtree(folder)
        raise


def _silent(_: Event) -> None:
    """No progress is wanted."""


def _run(
    plan: Plan, folder: Path, dataset: Dataset, command: str, on_event: OnEvent, *, warnings: Sequence[str]
) -> Report:
    costs = jobs.expected_seconds(plan, dataset)
    schedule = Schedule(costs | figures.expected_seconds(plan), on_event)
    plan, failures = jobs.make(plan, folder, schedule, costs, example_values=size_of(form_in(dataset.train.images)))
    exported = [file for file in plan.files if file.key not in failures]
    measured = figures.measure_files(plan, exported, folder, dataset, schedule)
    return outputs.write(outputs.Finished(plan, folder, dataset, failures, measured, command, tuple(warnings)))
