"""Runs a training in a run folder: what is there and intact is kept, the rest is made, then the pages are written."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from optkit import networks, registry, store, training, workers
from optkit.errors import InputError
from optkit.pipeline import building, train_data, train_logs, train_outputs
from optkit.pipeline.plan import TRAINING_PACKAGES, TRAINING_SOURCES, versions
from optkit.pipeline.progress import Event, OnEvent, Schedule
from optkit.pipeline.run_log import LOG, logged
from optkit.pipeline.stages import WORKER_ENVIRONMENT
from optkit.pipeline.train_settings import TrainSettings, resolve_training
from optkit.pipeline.train_stage import PRELOAD
from optkit.workers import Job, Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.data import Dataset
    from optkit.report.train_record import TrainReport

FOLDERS = ("models", "cache")
# Seconds on two cores; only their ratios matter, for the time left.
START_SECONDS = 6.0
EPOCH_SECONDS = 8.0
JUDGE_SECONDS = 3.0
_JUDGE_SOURCES = (
    "data",
    "keras_metrics.py",
    "keras_models",
    "measure/accuracy.py",
    "pipeline/train_judge.py",
    "pipeline/train_data.py",
)


class Plan(NamedTuple):
    """What a run makes: its name, and the keys of its two stages."""

    settings: TrainSettings
    name: str
    train_key: str
    judge_key: str


def network_name(settings: TrainSettings) -> str:
    """What the run's files are called: after the baseline, unless its layers were replaced."""
    own: tuple[str, ...] = registry.load("baselines", settings.baseline).NETWORK.layers
    return settings.baseline if settings.layers in {(), own} else "network"


def run_folder(settings: TrainSettings, out: str | os.PathLike[str] | None) -> Path:
    """The run folder: ``out``, else one named after the network.

    Raises:
        InputError: ``out`` is empty, as an unset shell variable is; the current folder must be named as ``.``.
    """
    if out is None:
        return Path(f"optkit-train-{network_name(settings)}")
    if not str(out).strip():
        raise InputError("--out expects the name of a folder, found an empty one; name a folder, or . for this one")
    return Path(out)


def train(
    *,
    recipe_files: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    command: str | None = None,
    on_event: OnEvent | None = None,
    **settings: Any,
) -> TrainReport:
    """Train a network, judge it on the test part, diagnose its learning curve, and write the run folder.

    Args:
        recipe_files: TOML files with a ``[settings]`` table.
        out: The run folder; ``optkit-train-NAME`` by default.
        command: The command to note as the one that was given.
        on_event: Receives progress.
        **settings: Fields of ``TrainSettings``, for example ``baseline="mlp-128"`` or ``epochs=3``.

    Returns:
        The record that was written to ``train.json``.

    Raises:
        InputError: Something given cannot be used; nothing was done.
        EnvironmentFailedError: A full disk, a killed worker; what was finished is kept.
    """
    chosen = resolve_training(settings, recipe_files)
    folder = run_folder(chosen, out)
    store.check_own(folder, "train")
    store.check_apart(folder, {"--data": chosen.data})
    dataset = train_data.load(chosen)
    # What can be told without TensorFlow is told at once.
    training.check(chosen.plan, building.task_for(dataset, chosen.metrics), dataset)
    networks.fitted(chosen.network, dataset.train.images.shape[1:])
    plan = make_plan(chosen, dataset)
    # Path.exists raises for a name that is too long, which prepare_folder has a message for.
    is_new = not os.path.exists(folder)  # noqa: PTH110
    store.prepare_folder(folder, FOLDERS)
    try:
        with store.locked(folder, "train"), logged(folder):
            again = train_outputs.command_line(folder)
            LOG.info("run: %s", command or again)
            return _run(plan, folder, dataset, command or again, on_event or _silent)
    except InputError:
        # That layers do not fit the data shows only once the network is built: then too nothing was done.
        if is_new and not any((folder / "models").iterdir()):
            shutil.rmtree(folder)
        raise


def _silent(_: Event) -> None:
    """No progress is wanted."""


def make_plan(settings: TrainSettings, dataset: Dataset) -> Plan:
    """Names and keys; whatever decides the trained weights is in the first key."""
    train_key = store.digest(
        {
            "stage": "train network",
            "baseline": settings.baseline,
            "network": settings.network,
            "plan": settings.plan,
            "data": dataset.sha256,
            "preprocessing": dataset.preprocessing,
            "target": settings.target,
            "train_samples": len(dataset.train.labels),
            "seed": settings.seed,
            # The number of threads decides the order of float additions.
            "threads": _cores(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "packages": versions(TRAINING_PACKAGES),
            "code": store.source_digest((*TRAINING_SOURCES, "pipeline/train_data.py", "pipeline/train_stage.py")),
        }
    )
    judge_key = store.digest(
        {
            "stage": "judge network",
            "model": train_key,
            "metrics": settings.metrics,
            "code": store.source_digest(_JUDGE_SOURCES),
        }
    )
    return Plan(settings, network_name(settings), train_key, judge_key)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _run(plan: Plan, folder: Path, dataset: Dataset, command: str, on_event: OnEvent) -> TrainReport:
    share = len(dataset.train.labels) / 55_000
    costs = {
        ("train", plan.name): START_SECONDS + plan.settings.plan.epochs * EPOCH_SECONDS * share,
        ("judge", plan.name): JUDGE_SECONDS,
    }
    _make(plan, folder, Schedule(costs, on_event))
    return train_outputs.write(train_outputs.Finished(plan, folder, dataset, command))


def _make(plan: Plan, folder: Path, schedule: Schedule) -> None:
    """Train, judge and log whatever is missing or damaged in the run folder, one after the other.

    Raises:
        OptkitError: What the stage raised.
    """
    preload = [*PRELOAD, f"optkit.data:preload:{msgspec.json.encode(plan.settings.data_spec).decode()}"]
    with Workers(preload, WORKER_ENVIRONMENT, folder / "log.txt") as pool:
        trained = store.load_stage(folder, plan.train_key)
        if trained is None:
            _one(pool, _train_job(plan, folder), schedule)
            trained = store.load_stage(folder, plan.train_key)
        else:
            schedule.keep("train", plan.name)
            if plan.settings.tensorboard and not (folder / train_logs.FOLDER).is_dir():
                arguments = {"folder": str(folder), "curve": trained.result["curve"]}
                _one(pool, Job(f"log {plan.name}", "optkit.pipeline.train_logs:write_logs", arguments), None)
        if store.load_stage(folder, plan.judge_key) is not None:
            schedule.keep("judge", plan.name)
        elif trained is not None and trained.result["is_sound"]:
            _one(pool, _judge_job(plan, folder), schedule)


def _train_job(plan: Plan, folder: Path) -> Job:
    arguments = {
        "folder": str(folder),
        "key": plan.train_key,
        "name": plan.name,
        "settings": msgspec.to_builtins(plan.settings),
        "threads": _cores(),
        "logs": plan.settings.tensorboard,
    }
    return Job(f"train {plan.name}", "optkit.pipeline.train_stage:train_network", arguments, threads=_cores())


def _judge_job(plan: Plan, folder: Path) -> Job:
    arguments = {
        "folder": str(folder),
        "key": plan.judge_key,
        "name": plan.name,
        "model_key": plan.train_key,
        "settings": msgspec.to_builtins(plan.settings),
        "threads": _cores(),
    }
    return Job(f"judge {plan.name}", "optkit.pipeline.train_judge:judge_network", arguments, threads=_cores())


def _one(pool: Workers, job: Job, schedule: Schedule | None) -> None:
    """Run one job to its end.

    Raises:
        OptkitError: What it raised.
    """
    phase, _, name = job.name.partition(" ")

    def on_event(job: Job, message: dict[str, Any]) -> None:
        if message["event"] in {"started", "returned", "failed"}:
            LOG.info("%s: %s", job.name, message["event"])
        if schedule is None:
            return
        if message["event"] == "progress" and "total" in message:
            text = f"epoch {message['epoch']}/{message['epochs']}"
            text += "" if message["accuracy"] is None else f", accuracy {message['accuracy']:.4f}"
            schedule.advance(phase, name, message["done"] / message["total"], text)
        elif message["event"] == "started":
            schedule.advance(phase, name, 0.0, "starting")
        elif message["event"] == "returned":
            schedule.advance(phase, name, 1.0)

    result = pool.run([job], cores=_cores(), on_event=on_event)[job.name]
    if isinstance(result, workers.Failure):
        raise workers.as_error(job.name, result)
