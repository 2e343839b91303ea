"""Runs a plan in a run folder: what is there and intact is kept, the rest is made, then the report is written."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import data, registry, store, workers
from optkit.errors import EnvironmentFailedError, InputError
from optkit.pipeline import figures, outputs
from optkit.pipeline.plan import (
    CHECK_SOURCES,
    RUNTIME_PACKAGES,
    FileStage,
    ModelStage,
    Plan,
    make_plan,
    versions,
)
from optkit.pipeline.progress import Event, OnEvent, Schedule
from optkit.pipeline.settings import Settings, resolve
from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.schema import Report, Skipped
from optkit.store import StageRecord, digest, source_digest
from optkit.workers import Failure, Job, Workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optkit.data import Dataset

LOG = logging.getLogger("optkit")
# Seconds that stages took on two cores for LeNet-5: only their ratios matter, for the time left.
EPOCH_SECONDS = {"baseline": 8.0, "finetune": 8.0, "prune": 11.0, "cluster": 17.0, "qat": 14.0}
TRACE_SECONDS = 4.0
EXPORT_SECONDS = 3.0
CHECK_SECONDS = 4.0
TRAINED_AT_ONCE = 2

Costs = dict[tuple[str, str], float]


def run_folder(settings: Settings, out: str | os.PathLike[str] | None) -> Path:
    """The run folder: ``out``, else one named after the baseline.

    Raises:
        InputError: ``out`` is empty, as an unset shell variable is; the current folder must be named as ``.``.
    """
    if out is None:
        return Path(f"optkit-run-{settings.baseline}{'-quick' if settings.quick else ''}")
    if not str(out).strip():
        raise InputError("--out expects the name of a folder, found an empty one; name a folder, or . for this one")
    return Path(out)


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
    dataset = data.load(chosen.data, train_samples=chosen.train_samples)
    if chosen.calibration_count > len(dataset.train.labels):
        raise InputError(
            f"--calibration-count expects at most the {len(dataset.train.labels)} training images, "
            f"found {chosen.calibration_count}"
        )
    plan = make_plan(chosen, named, dataset.sha256)
    # Path.exists raises for a name that is too long, which prepare_folder has a message for.
    is_new = not os.path.exists(folder)  # noqa: PTH110
    store.prepare_folder(folder)
    try:
        with store.locked(folder), _logged(folder):
            command = command or outputs.command_line(folder)
            LOG.info("run: %s", command)
            return _run(plan, folder, dataset, command, on_event or _silent)
    except InputError:
        # Some mistakes show only once the network is built (a layer's name): then too nothing was done.
        if is_new and not any((folder / "models").iterdir()):
            shutil.rmtree(folder)
        raise


def _silent(_: Event) -> None:
    """No progress is wanted."""


class _QuietHandler(logging.FileHandler):
    """A full disk is reported once, as the error that it is, and not again for every line of the log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's signature
        """Say nothing."""


class _logged:  # noqa: N801  # used as a function: a context manager with state
    """Sends the package's log to ``log.txt`` in the run folder."""

    def __init__(self, folder: Path) -> None:
        self._handler = _QuietHandler(folder / "log.txt", encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def __enter__(self) -> None:
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
        LOG.addHandler(self._handler)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            LOG.error("run ended: %s", kind.__name__ if kind else "", exc_info=error)
            if isinstance(error, Exception):
                error.add_note(f"log: {self._handler.baseFilename}")
        LOG.removeHandler(self._handler)
        self._handler.close()


def _run(plan: Plan, folder: Path, dataset: Dataset, command: str, on_event: OnEvent) -> Report:
    costs = _expected_seconds(plan, dataset)
    schedule = Schedule(costs, on_event)
    arguments = {"folder": str(folder), "settings": msgspec.to_builtins(plan.settings)}
    samples = {"train_samples": plan.settings.train_samples}
    cores = len(os.sched_getaffinity(0))
    with Workers(PRELOAD, WORKER_ENVIRONMENT, folder / "log.txt") as pool:
        stages = _Stages(pool, folder, schedule)
        refused = _make_models(plan, stages, arguments | samples, costs)
        plan = _without(plan, refused)
        failures = stages.run("export", [_export_job(plan, file, arguments | samples) for file in plan.files], cores)
        plan = _without_refused_files(plan, failures)
        made = [file for file in plan.files if file.key not in failures]
        keys = {file.key: _check_key(folder, file) for file in made}
        crashed = stages.run("check", [_check_job(plan, file, keys[file.key], arguments) for file in made], cores)
        failures |= {file.key: crashed[keys[file.key]] for file in made if keys[file.key] in crashed}
    measured = figures.measure_files(plan, made, folder, dataset, schedule)
    return outputs.write(outputs.Finished(plan, folder, dataset, keys, failures, measured, command))


class _Stages:
    """Runs jobs whose stage record is not there yet."""

    def __init__(self, pool: Workers, folder: Path, schedule: Schedule) -> None:
        self._pool = pool
        self._folder = folder
        self._schedule = schedule

    def run(self, phase: str, jobs: Iterable[Job], at_once: int) -> dict[str, Failure]:
        """Run what is missing; returns failures by stage key.

        Raises:
            EnvironmentFailedError: The disk is full or the like: going on would fail as well.
        """
        missing = []
        for job in jobs:
            if store.load_stage(self._folder, job.arguments["key"]) is None:
                missing.append(job)
            else:
                self._schedule.keep(phase, job.name)

        def on_event(job: Job, message: dict[str, Any]) -> None:
            if message["event"] == "progress" and "total" in message:
                text = f"epoch {message['epoch']}/{message['epochs']}, accuracy {message['accuracy']:.4f}"
                self._schedule.advance(phase, job.name, message["done"] / message["total"], text)
            elif message["event"] == "started":
                LOG.info("%s %s: started", phase, job.name)
                self._schedule.advance(phase, job.name, 0.0, "starting")
            elif message["event"] in {"returned", "failed"}:
                LOG.info("%s %s: %s", phase, job.name, message["event"])
                self._schedule.advance(phase, job.name, 1.0)

        results = self._pool.run(missing, at_once=at_once, on_event=on_event) if missing else {}
        failures = {}
        for job in missing:
            result = results[job.name]
            if not isinstance(result, Failure):
                continue
            error = workers.as_error(f"{phase} {job.name}", result)
            if isinstance(error, EnvironmentFailedError):
                raise error
            failures[job.arguments["key"]] = result
        return failures


def _make_models(plan: Plan, stages: _Stages, arguments: dict[str, Any], costs: Costs) -> dict[str, str]:
    """Train the baseline on all cores, then the techniques, each after its parent, two at a time on half the cores.

    Small networks leave one of two threads idle for much of a step: two stages on one thread each take about two
    thirds of the time that they take one after the other on two threads.

    Returns:
        The reason for each model that could not be made.
    """
    cores = len(os.sched_getaffinity(0))
    baseline, *others = plan.models
    failed = stages.run("train", [_model_job(plan, baseline, arguments | {"threads": cores})], 1)
    if failed:
        raise workers.as_error("training the baseline", failed[baseline.key])
    # What others wait for longest goes first.
    others.sort(key=lambda model: -_path_seconds(plan, model, costs))
    shared = arguments | {"threads": max(1, cores // TRAINED_AT_ONCE)}
    failed = stages.run("train", [_model_job(plan, model, shared) for model in others], TRAINED_AT_ONCE)
    return {model.name: failed[model.key].message for model in others if model.key in failed}


def _path_seconds(plan: Plan, model: ModelStage, costs: Costs) -> float:
    """Expected time from the start of a model's training to the end of the longest chain that builds on it."""
    children = [child for child in plan.models if child.parent == model.name]
    return costs["train", model.name] + max((_path_seconds(plan, child, costs) for child in children), default=0.0)


def _without(plan: Plan, refused: dict[str, str]) -> Plan:
    """The plan less the files whose model could not be made, which are listed as skipped with the reason."""
    skipped = [Skipped(file.name, file.format, refused[file.model]) for file in plan.files if file.model in refused]
    return plan._replace(
        models=[model for model in plan.models if model.name not in refused],
        files=[file for file in plan.files if file.model not in refused],
        skipped=plan.skipped + skipped,
    )


def _without_refused_files(plan: Plan, failures: dict[str, Failure]) -> Plan:
    """The plan less the files that the exporter cannot make, which are listed as skipped with its reason."""
    refused = {key: failure.message for key, failure in failures.items() if failure.kind == InputError.__name__}
    skipped = [Skipped(file.name, file.format, refused[file.key]) for file in plan.files if file.key in refused]
    return plan._replace(files=[file for file in plan.files if file.key not in refused], skipped=plan.skipped + skipped)


def _model_job(plan: Plan, model: ModelStage, arguments: dict[str, Any]) -> Job:
    own = {"key": model.key, "name": model.name}
    if model.parent is None:
        return Job(model.name, "optkit.pipeline.stages:train_baseline", arguments | own)
    parent = plan.model(model.parent)
    own |= {"parent_key": parent.key, "parent_name": parent.name, "steps": msgspec.to_builtins(model.steps)}
    return Job(model.name, "optkit.pipeline.stages:apply_technique", arguments | own, after=(model.parent,))


def _file_arguments(plan: Plan, file: FileStage, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "name": file.name,
        "format": file.format,
        "model_key": plan.model(file.model).key,
        "recipe": msgspec.to_builtins(file.recipe),
    }


def _export_job(plan: Plan, file: FileStage, arguments: dict[str, Any]) -> Job:
    own = _file_arguments(plan, file, file.key) | {"model_name": file.model}
    return Job(f"{file.name}.{file.format}", "optkit.pipeline.stages:export_file", arguments | own)


def _check_job(plan: Plan, file: FileStage, key: str, arguments: dict[str, Any]) -> Job:
    own = _file_arguments(plan, file, key)
    return Job(f"{file.name}.{file.format}", "optkit.pipeline.stages:check_file", arguments | own)


def _check_key(folder: Path, file: FileStage) -> str:
    exported = _must_load(folder, file.key)
    return digest(
        {
            "stage": "check",
            "file": exported.files[0].sha256,
            "export": file.key,
            "packages": versions(RUNTIME_PACKAGES),
            "code": source_digest(CHECK_SOURCES),
        }
    )


def _must_load(folder: Path, key: str) -> StageRecord:
    record = store.load_stage(folder, key)
    if record is None:
        raise InputError(f"files in {folder} were changed during the run; run the same command again")
    return record


def _expected_seconds(plan: Plan, dataset: Dataset) -> Costs:
    share = len(dataset.train.labels) / 55_000
    expected: Costs = {}
    for model in plan.models:
        if model.parent is None:
            epochs = plan.settings.epochs or registry.load("baselines", plan.settings.baseline).TRAINING.epochs
            cost = EPOCH_SECONDS["baseline"]
        else:
            step = model.steps[-1]
            epochs, cost = step.params["epochs"], EPOCH_SECONDS.get(step.name, EPOCH_SECONDS["finetune"])
        expected["train", model.name] = TRACE_SECONDS + epochs * cost * share
    cores = len(os.sched_getaffinity(0))
    for file in plan.files:
        expected["export", f"{file.name}.{file.format}"] = EXPORT_SECONDS / cores
        expected["check", f"{file.name}.{file.format}"] = CHECK_SECONDS / cores
    return expected | figures.expected_seconds(plan)
