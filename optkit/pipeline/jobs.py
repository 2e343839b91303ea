"""Makes what a plan lacks: train, export and check, each job as soon as what it builds on is there."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import data, registry, store, workers
from optkit.engines import Surroundings, local
from optkit.errors import EnvironmentFailedError, InputError, UnreachableError
from optkit.exporters import _excluding
from optkit.pipeline.plan import BASELINE
from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.schema import Skipped
from optkit.techniques import BASELINE_TEACHER
from optkit.workers import Failure, Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optkit.data import Dataset
    from optkit.engines import Engine
    from optkit.pipeline.plan import FileStage, ModelStage, Plan, TeacherStage
    from optkit.pipeline.progress import Schedule
    from optkit.pipeline.settings import Settings

LOG = logging.getLogger("optkit")
# Seconds that stages took on two cores for LeNet-5: only their ratios matter, for the time left.
EPOCH_SECONDS = {"baseline": 8.0, "finetune": 8.0, "prune": 11.0, "cluster": 17.0, "qat": 14.0, "distill": 12.0}
TRACE_SECONDS = 4.0
EXPORT_SECONDS = 3.0
# Which layers stay in float is found out with several files.
LIMITED_EXPORTS = 4
CHECK_SECONDS = 4.0
TRAINED_AT_ONCE = 2

Costs = dict[tuple[str, str], float]


def make(
    plan: Plan,
    folder: Path,
    schedule: Schedule,
    costs: Costs,
    *,
    example_values: int,
    engine: Engine | None = None,
    goals_end_it: bool = True,
) -> tuple[Plan, dict[str, Failure]]:
    """Train, export and check whatever is missing or damaged in the run folder.

    The baseline trains on all cores. Techniques train two at a time on half the cores each: small networks leave one
    of two threads idle for much of a step, so that two stages on one thread each take about two thirds of the time
    that they take one after the other on two threads. Exports and checks take what cores are left.

    Args:
        plan: What is wanted.
        folder: The run folder.
        schedule: Receives progress.
        costs: See ``expected_seconds``.
        example_values: Numbers in one example of the data, on which it depends how long a user's own model may take.
        engine: What runs the jobs; by default worker processes of this machine, which end with them.
        goals_end_it: Whether a goal that cannot be reached ends the run; else its files are listed as skipped.

    Returns:
        The plan less the files that cannot be made, which are listed as skipped with the reason, and the failures of
        the others by key of the export or check.

    Raises:
        OptkitError: The baseline cannot be trained.
        EnvironmentFailedError: The disk is full or the like: going on would fail as well.
        UnreachableError: A technique cannot do what it was asked for by name.
    """
    jobs = _jobs(plan, folder, costs, example_values)
    missing: dict[str, Job] = {}
    for name, job in jobs.items():
        # A file that is made again is checked again, even if it comes out the same.
        remade = name.startswith("check ") and job.after[-1] in missing
        if remade or store.load_stage(folder, job.arguments["key"]) is None:
            missing[name] = job
        else:
            schedule.keep(*name.split(" ", 1))

    told = _Told(schedule)

    def on_event(job: Job, message: dict[str, Any]) -> None:
        told.see(job, message)
        phase, name = job.name.split(" ", 1)
        if message["event"] == "failed":
            failure = Failure(message["kind"], message["message"], message["exit_code"])
            error = workers.as_error(job.name, failure)
            # What all else builds on, what the user named by its path, and a goal that cannot be reached: it was asked
            # for by name, so that it is refused and not left out.
            ends = (EnvironmentFailedError, UnreachableError) if goals_end_it else EnvironmentFailedError
            if name == BASELINE or phase == "import" or isinstance(error, ends):
                raise error

    if not missing:
        return plan, {}
    # What is there already is waited for by nobody.
    pending = [job._replace(after=tuple(name for name in job.after if name in missing)) for job in missing.values()]
    own = contextlib.nullcontext(engine) if engine is not None else local.Local(surroundings(plan.settings, folder))
    with own as at_work:
        results = at_work.run(pending, on_event=on_event)
    return _without_refused(plan, {name: one for name, one in results.items() if isinstance(one, Failure)})


class _Told:
    """What jobs tell of themselves, for the log and for who watches; with the machine, where there are several."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._places: dict[str, str] = {}

    def see(self, job: Job, message: dict[str, Any]) -> None:
        """Pass one message on."""
        phase, name = job.name.split(" ", 1)
        event = message["event"]
        if event == "started":
            LOG.info("%s: started", job.name)
            if "place" in message:
                self._places[job.name] = f", on {message['place']}"
                LOG.info("%s: on %s", job.name, message["place"])
        place = self._places.get(job.name, "")
        if event == "progress" and "total" in message:
            text = message.get("text") or f"epoch {message['epoch']}/{message['epochs']}"
            text += "" if message["accuracy"] is None else f", accuracy {message['accuracy']:.4f}"
            self._schedule.advance(phase, name, message["done"] / message["total"], text + place)
        elif event == "started":
            self._schedule.advance(phase, name, 0.0, f"starting{place}")
        elif event in {"returned", "failed"}:
            LOG.info("%s: %s", job.name, event)
            self._schedule.advance(phase, name, 1.0)


def surroundings(settings: Settings, folder: Path, say: Callable[[str], object] = lambda _: None) -> Surroundings:
    """What the jobs of a run need around them: the frameworks and the data in memory."""
    spec = settings.data_spec
    return Surroundings(
        folder=folder,
        preload=(*PRELOAD, "optkit.data:preload"),
        preload_argument=msgspec.json.encode(spec).decode(),
        environment=WORKER_ENVIRONMENT,
        reads=_user_paths(settings),
        say=say,
    )


def _user_paths(settings: Settings) -> tuple[str, ...]:
    """The user's own data, as they were given: what is a data set of the package is there wherever optkit is."""
    spec = settings.data_spec
    own = [path for path in (spec.source, spec.calibration) if path is not None and not data.is_built_in(path)]
    return tuple(dict.fromkeys(own))


def expected_seconds(plan: Plan, dataset: Dataset) -> Costs:
    """Expected cost of training, exporting and checking, by phase and name."""
    share = len(dataset.train.labels) / 55_000
    expected: Costs = {}
    for model in plan.models:
        if model.parent is None:
            epochs = 0 if plan.settings.model else plan.settings.epochs
            if epochs is None:
                epochs = registry.load("baselines", plan.settings.baseline).TRAINING.epochs
            cost = EPOCH_SECONDS["baseline"]
        else:
            step = model.steps[-1]
            epochs, cost = step.params.get("epochs", 0), EPOCH_SECONDS.get(step.name, EPOCH_SECONDS["finetune"])
        expected["train", model.name] = TRACE_SECONDS + epochs * cost * share
    for teacher in plan.teachers:
        expected["import", teacher.name] = TRACE_SECONDS
    for file in plan.files:
        files = LIMITED_EXPORTS if _excluding.wanted(file.recipe) else 1
        expected["export", _file_name(file)] = EXPORT_SECONDS * files / _cores()
        expected["check", _file_name(file)] = CHECK_SECONDS / _cores()
    return expected


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _file_name(file: FileStage) -> str:
    return f"{file.name}.{file.format}"


def _jobs(plan: Plan, folder: Path, costs: Costs, example_values: int) -> dict[str, Job]:
    """All jobs of a plan by name, in the order in which they should start when several can."""
    common = {"folder": str(folder), "settings": msgspec.to_builtins(plan.settings)}
    baseline, *others = plan.models
    # What others wait for longest goes first.
    others.sort(key=lambda model: -_path_seconds(plan, model, costs))
    jobs = [_teacher_job(plan, teacher, common) for teacher in plan.teachers]
    jobs += [_model_job(plan, model, common) for model in (baseline, *others)]
    shared = _shared(plan)
    jobs = [
        job._replace(example_values=example_values, trial=shared.get(job.name.partition(" ")[2], job.name))
        for job in jobs
    ]
    for file in plan.files:
        model = plan.model(file.model)
        own = {
            "name": file.name,
            "format": file.format,
            "model_key": model.key,
            "recipe": msgspec.to_builtins(file.recipe),
        }
        export, check = f"export {_file_name(file)}", f"check {_file_name(file)}"
        wanted = common | own | {"key": file.key, "model_name": file.model}
        export_job = Job(export, "optkit.pipeline.stages:export_file", wanted, after=(f"train {file.model}",))
        jobs.append(export_job._replace(trial=file.name, needs=(model.key,)))
        wanted = common | own | {"key": file.check_key, "export_key": file.key, "parts": list(plan.parts)}
        # It reads what the model answers as well, which may be made again where the file is kept.
        after = (f"train {file.model}", export)
        check_job = Job(check, "optkit.pipeline.checking:check_file", wanted, after=after)
        jobs.append(check_job._replace(trial=file.name, needs=(model.key, file.key)))
    return {job.name: job for job in jobs}


def _teacher_job(plan: Plan, teacher: TeacherStage, common: dict[str, Any]) -> Job:
    """Before anything is trained; a model of the user's own is only read, and says what its teachers must answer."""
    own = {"key": teacher.key, "path": teacher.name, "baseline_key": plan.models[0].key}
    after = () if plan.settings.model is None else (f"train {BASELINE}",)
    function = "optkit.pipeline.teachers:import_teacher"
    return Job(f"import {teacher.name}", function, common | own, after, opens=teacher.name)


def _model_job(plan: Plan, model: ModelStage, common: dict[str, Any]) -> Job:
    own: dict[str, Any] = {"key": model.key, "name": model.name}
    if model.parent is None:
        threads = plan.settings.train_threads or _cores()
        arguments = common | own | {"threads": threads}
        given = plan.settings.model is not None
        function = "optkit.pipeline.importing:import_model" if given else "optkit.pipeline.stages:train_baseline"
        after = () if given else tuple(f"import {teacher.name}" for teacher in plan.teachers)
        return Job(f"train {model.name}", function, arguments, after, threads, opens=plan.settings.model or "")
    threads = plan.settings.train_threads or max(1, _cores() // TRAINED_AT_ONCE)
    parent = plan.model(model.parent)
    own |= {"parent_key": parent.key, "parent_name": parent.name, "steps": msgspec.to_builtins(model.steps)}
    own["teachers"] = model.teachers
    learned_from = tuple(f"import {name}" for name in model.teachers if name != BASELINE_TEACHER)
    return Job(
        f"train {model.name}",
        "optkit.pipeline.stages:apply_technique",
        common | own | {"threads": threads},
        after=(f"train {model.parent}", *learned_from),
        threads=threads,
        needs=(parent.key, *model.teachers.values()),
    )


def _shared(plan: Plan) -> dict[str, str]:
    """By model the one recipe that it is for; what several need is a trial of its own, made once."""
    users: dict[str, set[str]] = {}
    for file in plan.files:
        name: str | None = file.model
        while name is not None:
            users.setdefault(name, set()).add(file.name)
            name = plan.model(name).parent
    return {name: next(iter(found)) for name, found in users.items() if len(found) == 1 and name != BASELINE}


def _path_seconds(plan: Plan, model: ModelStage, costs: Costs) -> float:
    """Expected time from the start of a model's training to the end of the longest chain that builds on it."""
    children = [child for child in plan.models if child.parent == model.name]
    return costs["train", model.name] + max((_path_seconds(plan, child, costs) for child in children), default=0.0)


def _without_refused(plan: Plan, failed: dict[str, Failure]) -> tuple[Plan, dict[str, Failure]]:
    """Tell apart what cannot be made, and is skipped with the reason, from what went wrong."""
    models = [model for model in plan.models if f"train {model.name}" not in failed]
    files, skipped, failures = [], list(plan.skipped), {}
    for file in plan.files:
        train, export, check = f"train {file.model}", f"export {_file_name(file)}", f"check {_file_name(file)}"
        made = failed.get(train) or failed.get(export)
        if made is not None and made.kind in {InputError.__name__, UnreachableError.__name__}:
            skipped.append(Skipped(file.name, file.format, made.message))
            continue
        files.append(file)
        if made is not None:
            failures[file.key] = made
        elif check in failed:
            failures[file.check_key] = failed[check]
    return plan._replace(models=models, files=files, skipped=skipped), failures
