"""The lessons' experiments, each with several seeds, beside what the lesson claims: did it hold?

``--full`` uses all images, ``--only NAME`` one experiment. Finished trainings are kept in ``.bench/lessons``, so that a
run that was stopped goes on; ``--again`` trains everything anew.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchmarks import _lessons_page as page
from benchmarks import _lessons_plots as plots
from benchmarks._files import CACHE
from benchmarks._lessons_experiments import EXPERIMENTS, Experiment, trainings
from benchmarks._lessons_outcome import Outcome, outcome
from benchmarks._lessons_train import Run, Training, load
from benchmarks._result import Figure, write
from benchmarks._screen import Screen
from optkit import environment, store
from optkit.errors import nearest
from optkit.pipeline.progress import Schedule
from optkit.pipeline.stages import WORKER_ENVIRONMENT
from optkit.pipeline.train_settings import TrainSettings, resolve_training
from optkit.workers import Failure, Job, Workers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

AT_ONCE = 2
MOST_MINUTES = 20.0
# Seconds for 1,000 images and one epoch on one thread: only their ratios matter, for the order and the time left.
PER_1000 = {"mlp-256-128": 0.05, "mlp-128": 0.035, "mlp-512": 0.03, "cnn-dropout": 1.6}
START_SECONDS = 4.0
TRAINING_IMAGES = 55_000


class Trained(NamedTuple):
    """Finished trainings by key, what went wrong with others, and how many were there already."""

    runs: dict[str, Run]
    failed: list[str]
    kept: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--full", action="store_true", help="all training and test images; writes lessons-full.*")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="one experiment; may be repeated")
    parser.add_argument("--again", action="store_true", help="take no training that was kept")


def run(
    results: Path,
    names: list[str],
    *,
    full: bool = False,
    only: Sequence[str] = (),
    again: bool = False,
    experiments: tuple[Experiment, ...] = EXPERIMENTS,
    cache: Path = CACHE / "lessons",
) -> list[str]:
    """Train, judge and write ``lessons.json``, ``lessons.md`` and ``lessons/*.svg``.

    Args:
        results: Where to write; experiments that are not run keep what an earlier run wrote.
        names: Experiments, as ``only``.
        full: All training and test images.
        only: Experiments to run; all when empty.
        again: Take no training that was kept.
        experiments: What there is.
        cache: Where finished trainings are kept.

    Returns:
        A line for each training that failed and each promise that was not kept.
    """
    known = [experiment.name for experiment in experiments]
    wanted = [*names, *only]
    for name in wanted:
        if name not in known:
            raise SystemExit(f"unknown experiment {name!r}: {nearest(name, known)}")
    asked = trainings(experiments, full=full)
    chosen = [experiment for experiment in experiments if not wanted or experiment.name in wanted]
    before, started = environment.describe(), time.monotonic()
    jobs = {one.key: one for experiment in chosen for arm in asked[experiment.name] for one in arm}
    done = _train(jobs, cache, again=again)
    minutes = (time.monotonic() - started) / 60
    name = "lessons-full" if full else "lessons"
    outcomes, failed = _earlier(results / f"{name}.json"), list(done.failed)
    for experiment in chosen:
        runs = [[done.runs.get(one.key) for one in arm] for arm in asked[experiment.name]]
        complete = [[one for one in arm if one is not None] for arm in runs]
        if any(len(arm) < experiment.seeds for arm in complete):
            failed.append(f"{experiment.name}: not judged, since a training failed")
            continue
        outcomes[experiment.name] = outcome(experiment, complete, dt.datetime.now(dt.UTC).date().isoformat())
    ordered = [outcomes[experiment.name] for experiment in experiments if experiment.name in outcomes]
    described = environment.with_load_after(before)
    more: dict[str, object] = {
        "experiments": msgspec.to_builtins(ordered),
        "load_average_at_start": described.load_average_before,
        "load_average_at_end": described.load_average_after,
    }
    missed = write(results, name, _figures(ordered, done, minutes, limited=not (full or wanted)), more)
    plots.write(ordered, results / name)
    text = page.page(ordered, json.loads((results / f"{name}.json").read_bytes()), name)
    store.write_bytes(results / f"{name}.md", text.encode())
    return failed + missed


def _figures(outcomes: Sequence[Outcome], done: Trained, minutes: float, *, limited: bool) -> list[Figure]:
    """What is counted; the time is promised only for a run that trained everything."""
    figures = [
        Figure(f"claims: {verdict}", sum(one.verdict == verdict for one in outcomes), ">=", None, "")
        for verdict in ("held", "did not hold", "cannot be told")
    ]
    trained = len(done.runs) - done.kept
    figures.append(Figure("trainings in this run", trained, ">=", None, ""))
    promise = MOST_MINUTES if limited and not done.kept else None
    return [*figures, Figure("wall time of this run", round(minutes, 2), "<=", promise, "minutes")]


def _earlier(path: Path) -> dict[str, Outcome]:
    if not path.is_file():
        return {}
    found = msgspec.convert(json.loads(path.read_bytes())["experiments"], list[Outcome])
    return {one.name: one for one in found}


def _train(wanted: dict[str, Training], cache: Path, *, again: bool) -> Trained:
    """Every training that is not kept, two at a time on one thread each, the longest first.

    Two networks of this size on one thread each take less time than one after the other on two threads.
    """
    cache.mkdir(parents=True, exist_ok=True)
    paths = {key: cache / f"{key[:32]}.json" for key in wanted}
    runs = {} if again else {key: run for key, path in paths.items() if (run := load(path)) is not None}
    missing = {key: training for key, training in wanted.items() if key not in runs}
    kept = len(runs)
    failed: list[str] = []
    print(f"{len(wanted)} trainings, {kept} of them kept from an earlier run")
    if not missing:
        return Trained(runs, failed, kept)
    resolved = {key: resolve_training(training.settings) for key, training in missing.items()}
    order = sorted(missing, key=lambda key: -_seconds(resolved[key]))
    show = Screen(len(missing))
    schedule = Schedule({("train", key): _seconds(resolved[key]) for key in missing}, show.note)
    jobs = []
    for key in order:
        arguments = {"training": msgspec.to_builtins(missing[key]), "path": str(paths[key])}
        jobs.append(Job(key, "benchmarks._lessons_train:train_once", arguments))

    def on_event(job: Job, message: dict[str, Any]) -> None:
        if message["event"] == "progress":
            schedule.advance("train", job.name, message["done"] / message["total"])
        elif message["event"] in {"returned", "failed"}:
            schedule.advance("train", job.name, 1.0, _named(missing[job.name]))

    specs = {msgspec.json.encode(settings.data_spec).decode(): None for settings in resolved.values()}
    preload = ["tensorflow", "tf_keras", *(f"optkit.data:preload:{spec}" for spec in specs)]
    with Workers(preload, WORKER_ENVIRONMENT, cache / "log.txt") as pool:
        results = pool.run(jobs, cores=AT_ONCE, on_event=on_event)
    for key, training in missing.items():
        if isinstance(results[key], Failure):
            failed.append(f"{_named(training)}: {results[key].kind}: {results[key].message}")
        elif (run := load(paths[key])) is not None:
            runs[key] = run
    return Trained(runs, failed, kept)


def _seconds(settings: TrainSettings) -> float:
    """Expected time of a training."""
    images = settings.train_samples or TRAINING_IMAGES
    per_1000 = PER_1000.get(settings.baseline, max(PER_1000.values()))
    return START_SECONDS + settings.plan.epochs * images / 1000 * per_1000


def _named(training: Training) -> str:
    settings = {name: value for name, value in training.settings.items() if name != "baseline"}
    words = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"{training.settings['baseline']}, {words}, seed {training.seed}"
