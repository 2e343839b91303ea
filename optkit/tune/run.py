"""Runs a search in a run folder: opens the study, searches, trains what was chosen once more, and writes the pages."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import optkit
from optkit import environment, recipes, store
from optkit.data._facts import data_facts
from optkit.errors import InputError
from optkit.pipeline import building, train_data
from optkit.pipeline.progress import Event, OnEvent
from optkit.pipeline.run_log import LOG, logged
from optkit.pipeline.train_settings import resolve_training
from optkit.report import tune_pages
from optkit.report.tune_record import SCHEMA_VERSION, Dimension, Final, TuneReport
from optkit.statistics import wilson_interval
from optkit.tune import protocols, search
from optkit.tune import study as studies
from optkit.tune.executor import LocalExecutor
from optkit.tune.settings import TuneSettings, objectives_of
from optkit.tune.space import grid, value_of
from optkit.workers import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.data import Dataset
    from optkit.report.tune_record import Objective, TrialRecord
    from optkit.tune.executor import Executor

FOLDERS = ("models", "cache")
PAGES = ("best.toml", "tune.json", "tune.md", "tune.html")


def run_folder(settings: TuneSettings, out: str | os.PathLike[str] | None, *, is_shared: bool = False) -> Path:
    """The run folder: ``out``, else one named after the baseline.

    Args:
        settings: Of the search.
        out: As given.
        is_shared: Whether several processes work on the study: one that finds the folder in use takes the next.

    Raises:
        InputError: ``out`` is empty.
    """
    if out is None:
        name = f"optkit-tune-{settings.fixed.get('baseline', 'lenet5')}"
        names = (name, *(f"{name}-{number}" for number in range(2, 1_000))) if is_shared else (name,)
        return next((Path(one) for one in names if not store.is_locked(Path(one))), Path(name))
    if not str(out).strip():
        raise InputError("--out expects the name of a folder, found an empty one; name a folder, or . for this one")
    return Path(out)


def tune(
    settings: TuneSettings,
    *,
    out: str | os.PathLike[str] | None = None,
    storage: str | None = None,
    study_name: str = "optkit",
    command: str = "",
    on_event: OnEvent | None = None,
) -> TuneReport:
    """Search, train the chosen settings once more on all but the test part, judge that model once, write the folder.

    Args:
        settings: What is wanted.
        out: The run folder; ``optkit-tune-NAME`` by default.
        storage: The study's database; a file in the run folder by default.
        study_name: Its name there.
        command: The command to note.
        on_event: Receives progress.

    Returns:
        The record that was written to ``tune.json``.

    Raises:
        InputError: Something given cannot be used, the database is not there, or no trial could be trained.
        EnvironmentFailedError: A full disk, a killed worker; finished trials are kept.
    """
    folder = run_folder(settings, out, is_shared=storage is not None)
    training = resolve_training(settings.fixed)
    store.check_own(folder, "tune")
    store.check_apart(folder, {"--data": training.data})
    dataset = train_data.load(training)
    for index in range(settings.protocol.models if settings.protocol.kind != "holdout" else 0):
        # A protocol that the data are too few for stops before any work.
        protocols.trained_on(dataset, settings.protocol, index, seed=training.seed)
        break
    objectives = objectives_of(settings, regression=building.task_for(dataset).kind == "regression")
    # Path.exists raises for a name that is too long, which prepare_folder has a message for.
    is_new = not os.path.exists(folder)  # noqa: PTH110
    store.prepare_folder(folder, FOLDERS)
    try:
        return _search(
            settings, folder, dataset, objectives, place=(storage, study_name), command=command, on_event=on_event
        )
    except InputError:
        if is_new and not any((folder / "cache").glob("*.json")):
            shutil.rmtree(folder)
        raise


def _search(
    settings: TuneSettings,
    folder: Path,
    dataset: Dataset,
    objectives: list[Objective],
    *,
    place: tuple[str | None, str],
    command: str,
    on_event: OnEvent | None,
) -> TuneReport:
    """The search in its folder; ``place`` is the database, if it is not the folder's own, and the study's name."""
    (storage, study_name), training = place, resolve_training(settings.fixed)
    with store.locked(folder, "tune"), logged(folder):
        LOG.info("run: %s", command)
        url = storage or studies.default_url(folder)
        progress = _Progress(settings, on_event)
        started = time.monotonic()
        with studies.database(url), LocalExecutor(settings.jobs, training.data_spec, folder / "log.txt") as executor:
            study = studies.open_study(
                url,
                study_name,
                directions=[one.direction for one in objectives],
                identity=settings.identity | {"data": dataset.sha256},
                sampler=studies.make_sampler(
                    settings.sampler, settings.seed, grid(settings.space) if settings.sampler == "grid" else None
                ),
                pruner=studies.make_pruner(settings.pruner, training.plan.epochs),
                is_shared=storage is not None,
            )
            at_work = search.Search(settings, objectives, folder, dataset, executor, on_step=progress.step)
            stopped = at_work.run(study, is_shared=storage is not None)
            trials = search.records(study, objectives, folder)
            shares = search.importance(study, objectives)
            chosen = choose(trials, objectives)
            best = settings.fixed | drawn(chosen, settings)
            final = _train_chosen(best, folder, dataset, executor, progress)
        report = TuneReport(
            schema_version=SCHEMA_VERSION,
            optkit_version=optkit.__version__,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            command=command,
            study=f"{study_name} in {studies.without_password(url)}" if storage else study_name,
            environment=environment.with_load_after(environment.describe()),
            data=data_facts(dataset),
            fixed=settings.fixed,
            space=[Dimension(o.name, o.words, o.kind, o.low, o.high, o.log, list(o.choices)) for o in settings.space],
            protocol=settings.protocol.words,
            protocol_words=_protocol_words(settings, dataset),
            sampler=settings.sampler,
            pruner=settings.pruner,
            objectives=objectives,
            trials=trials,
            importance=shares,
            front=front(trials, objectives),
            chosen=chosen.number,
            rule=_rule(objectives),
            final=final,
            stopped=stopped,
            seconds=round(time.monotonic() - started, 1),
            warnings=[*dataset.warnings],
        )
        contents = {"best.toml": recipes.dump_toml(best, []).encode(), **tune_pages.contents(report)}
        for name, content in contents.items():
            store.write_bytes(folder / name, content)
        return report


def drawn(trial: TrialRecord, settings: TuneSettings) -> dict[str, Any]:
    """A trial's settings as training takes them: choices are kept as text in the study."""
    choices = {one.name for one in settings.space if one.kind == "choice"}
    return {name: value_of(name, value) if name in choices else value for name, value in trial.settings.items()}


def choose(trials: Sequence[TrialRecord], objectives: Sequence[Objective]) -> TrialRecord:
    """The best trial by the first objective; of equal ones the smaller network, then the earlier.

    Raises:
        InputError: None is complete, with the reason of the first.
    """
    complete = [one for one in trials if one.state == "complete"]
    if not complete:
        reason = next((one.reason for one in trials if one.reason), "none came to an end")
        raise InputError(f"no trial could be trained: {reason}; mend the search space or the fixed settings")
    first = objectives[0]
    sign = -1 if first.direction == "maximize" else 1
    return min(complete, key=lambda one: (sign * one.values[first.name], one.parameters or 0, one.number))


def front(trials: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[int]:
    """Numbers of the trials that no other one beats: at least as good in all objectives and better in one."""
    signs = {one.name: -1 if one.direction == "maximize" else 1 for one in objectives}
    complete = {
        one.number: [signs[name] * one.values[name] for name in signs] for one in trials if one.state == "complete"
    }

    def is_beaten(own: list[float]) -> bool:
        return any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in complete.values())

    return [number for number, own in complete.items() if not is_beaten(own)]


def _rule(objectives: Sequence[Objective]) -> str:
    first = objectives[0]
    which = "highest" if first.direction == "maximize" else "lowest"
    rest = " The other objectives are for you to weigh, see the front." if len(objectives) > 1 else ""
    return f"the {which} {first.name} ({first.words}); of equal ones the smaller network, then the earlier trial.{rest}"


def _protocol_words(settings: TuneSettings, dataset: Dataset) -> str:
    train, validation = len(dataset.train.labels), len(dataset.validation.labels)
    protocol = settings.protocol
    if protocol.kind == "holdout":
        return f"one model a trial, trained on {train:,} examples and judged on {validation:,} others"
    both = train + validation
    kind = {"kfold": "", "stratified": ", with each class's share in each part", "iterated": ""}[protocol.kind]
    orders = f", in {protocol.repeats} random orders" if protocol.kind == "iterated" else ""
    return (
        f"{protocol.models} models a trial: {both:,} training and validation examples in {protocol.folds} parts{kind}"
        f"{orders}; each part judges a model trained on the others"
    )


def _train_chosen(
    best: dict[str, Any], folder: Path, dataset: Dataset, executor: Executor, progress: _Progress
) -> Final:
    """Train the chosen settings on training and validation data and judge that model on the test part: once."""
    settings = msgspec.to_builtins(resolve_training(best))
    threads = len(os.sched_getaffinity(0))
    key = store.digest(["chosen", settings, threads, dataset.sha256, store.source_digest(search.CODE)])
    made = store.load_stage(folder, key)
    if made is None:
        arguments = {"folder": str(folder), "key": key, "settings": settings, "threads": threads}
        executor.run(Job("chosen", "optkit.tune.trial:train_chosen", arguments), progress.final)
        made = store.load_stage(folder, key)
    if made is None:
        raise InputError(f"files in {folder} were changed during the run; run the same command again")
    result, correct = made.result, made.result["correct"]
    return Final(
        trained_on=result["train"],
        tested_on=result["test"],
        correct=correct,
        accuracy=None if correct is None else correct / result["test"],
        ci95=None if correct is None else wilson_interval(correct, result["test"]),
        mean_absolute_error=result["mean_absolute_error"],
        parameters=result["parameters"],
        files=[one.path for one in made.files],
        seconds=made.seconds,
    )


class _Progress:
    """Shares of the search as events; trials run in threads."""

    def __init__(self, settings: TuneSettings, on_event: OnEvent | None) -> None:
        self._wanted, self._seconds, self._jobs = settings.wanted_trials, settings.seconds, settings.jobs
        self._on_event = on_event
        self._started = time.monotonic()
        self._begun: dict[int, float] = {}

    def step(self, number: int, fraction: float, words: str) -> None:
        """A trial has come so far."""
        self._begun[number] = fraction
        spent, done = time.monotonic() - self._started, sum(self._begun.values())
        shares = [done / self._wanted] if self._wanted else []
        shares += [spent / self._seconds] if self._seconds else []
        overall = min(1.0, max(shares, default=0.0))
        left = spent * (1 - overall) / overall if overall > 0 else None
        self._tell(f"trial {number}", fraction, words, overall, left)

    def final(self, message: dict[str, Any]) -> None:
        """The chosen settings are trained."""
        if "total" in message:
            words = f"epoch {message['epoch']}/{message['epochs']}, on training and validation data"
            self._tell("what was chosen", message["done"] / message["total"], words, 1.0, None)

    def _tell(self, name: str, fraction: float, words: str, overall: float, left: float | None) -> None:
        if self._on_event is not None:
            self._on_event(Event("train", name, fraction, words, overall, left))
