"""Makes the recipes of a round in the run folder, and judges their files on validation data."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from optkit import recipes, store
from optkit.data._inputs import form_in, size_of
from optkit.drop import Drop, drop_of
from optkit.pipeline import figures, jobs, kept
from optkit.pipeline.checking import failed_checks
from optkit.pipeline.plan import CHOOSING_PARTS, make_plan
from optkit.pipeline.progress import Event, Schedule
from optkit.pipeline.timing import Timer
from optkit.report.reference import BASELINE_NAME
from optkit.schema import Check, Parity
from optkit.search.evidence import standings
from optkit.search.probes import Known, text_of
from optkit.search_record import TriedFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from optkit.data import Dataset
    from optkit.engines import Engine
    from optkit.pipeline.plan import FileStage, Plan
    from optkit.pipeline.progress import OnEvent
    from optkit.pipeline.settings import Settings
    from optkit.search.budget import Budget
    from optkit.search.candidates import Round
    from optkit.workers import Failure

# fp32's answers to the validation part, by format.
Answers = dict[str, np.ndarray]
Times = dict[tuple[str, str], tuple[float, tuple[float, float]] | str]


class TimeUpError(BaseException):
    """The time of the search is up; no ``Exception``, so that nothing on the way takes it for a failure of its own."""


class Place(NamedTuple):
    """Where rounds run, and on what.

    Attributes:
        settings: Of every file.
        budget: What they are held against.
        folder: The run folder, which is locked.
        dataset: All data.
        data_sha256: Digest of all data that the run reads.
        engine: What runs stages; it stays from round to round.
        batch: Recipes that are drawn at once.
        cpu_model: Processor of the machine that files are timed on.
        on_event: Receives progress.
    """

    settings: Settings
    budget: Budget
    folder: Path
    dataset: Dataset
    data_sha256: str
    engine: Engine
    batch: int
    cpu_model: str
    on_event: OnEvent


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise ``TimeUpError`` in the block when the time is up; in the main thread also while it waits.

    In another thread there are no signals: there time is looked at whenever a stage tells of its progress.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TimeUpError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def try_round(place: Place, wanted: Round, seconds: float | None) -> tuple[list[Known], bool]:
    """Make and judge a round's recipes.

    Args:
        place: Where.
        wanted: What.
        seconds: Time for it; ``None`` for as long as it takes.

    Returns:
        The recipes with their files, and whether all of it was done; where the time was up, those that have files.
    """
    plan = make_plan(place.settings, wanted.recipes, place.data_sha256, CHOOSING_PARTS)
    try:
        with time_limit(seconds):
            plan, failures = _make(place, plan, seconds)
            return _known(place, plan, wanted, failures, _timed(place, plan, failures)), True
    except TimeUpError:
        # What is running would go on.
        place.engine.stop()
    done = [file for file in plan.files if store.load_stage(place.folder, file.check_key) is not None]
    plan = plan._replace(files=done, skipped=[])
    return [one for one in _known(place, plan, wanted, {}, _timed(place, plan, {})) if one.files], False


def _make(place: Place, plan: Plan, seconds: float | None) -> tuple[Plan, dict[str, Failure]]:
    started = time.monotonic()

    def on_event(event: Event) -> None:
        if seconds is not None and time.monotonic() - started >= seconds:
            raise TimeUpError
        place.on_event(event)

    costs = jobs.expected_seconds(plan, place.dataset)
    return jobs.make(
        plan,
        place.folder,
        Schedule(costs, on_event),
        costs,
        example_values=size_of(form_in(place.dataset.train.images)),
        engine=place.engine,
        goals_end_it=False,
    )


def _timed(place: Place, plan: Plan, failures: Mapping[str, Failure]) -> Times:
    """Times of the files that are there, where they matter; none of the test part's examples is used."""
    files = [file for file in plan.files if file.key not in failures and file.check_key not in failures]
    if not place.budget.times_matter or not files:
        return {}
    path = place.folder / "cache" / "timed-validation.npy"
    figures.timed_examples(path, place.dataset, place.dataset.validation)
    timer = Timer(place.folder, place.engine)
    return figures.time_files(plan, files, place.folder, path, Schedule({}, place.on_event), timer=timer)


def _known(place: Place, plan: Plan, wanted: Round, failures: Mapping[str, Failure], times: Times) -> list[Known]:
    found = []
    references = _references(place)
    for recipe in wanted.recipes:
        text = text_of(recipe)
        bare = TriedFile(recipe.name, "", text, wanted.stage, "failed")
        files = []
        for file in plan.files:
            failure = failures.get(file.key) or failures.get(file.check_key)
            if file.name == recipe.name and failure is not None:
                reason = f"{failure.kind}: {failure.message}"
                files.append(msgspec.structs.replace(bare, format=file.format, reason=reason))
            elif file.name == recipe.name:
                named = msgspec.structs.replace(bare, format=file.format)
                files.append(_judged(place, file, named, references, times.get((file.name, file.format))))
        files += [
            TriedFile(one.name, one.format, text, wanted.stage, "not made", reason=one.reason)
            for one in plan.skipped
            if one.name == recipe.name
        ]
        found.append(Known(text, wanted.stage, files))
    return found


def _references(place: Place) -> Answers:
    """What the fp32 files answer, those that are there."""
    plan = make_plan(place.settings, [recipes.parse(BASELINE_NAME)], place.data_sha256, CHOOSING_PARTS)
    made = [file for file in plan.files if store.load_stage(place.folder, file.check_key) is not None]
    found = {file.format: kept.answers(place.folder, file.check_key).get("validation") for file in made}
    return {name: answers for name, answers in found.items() if answers is not None}


def _judged(
    place: Place,
    file: FileStage,
    bare: TriedFile,
    references: Answers,
    timed: tuple[float, tuple[float, float]] | str | None,
) -> TriedFile:
    """One file that is there with its figures, and how it stands to the limits."""
    path = place.folder / "artifacts" / f"{file.name}.{file.format}"
    checked = kept.record(place.folder, file.check_key).result
    reasons = failed_checks(msgspec.convert(checked["checks"], list[Check]))
    parity = msgspec.convert(checked["parity"], Parity | None)
    reasons += [] if parity is None or parity.passed else ["its outputs are not those of its Keras model"]
    reasons += [f"latency: {timed}"] if isinstance(timed, str) else []
    labels = place.dataset.validation.labels
    answers = kept.answers(place.folder, file.check_key).get("validation")
    drop = None if answers is None else _drop(file, labels, answers, references)
    p50, interval = timed if isinstance(timed, tuple) else (None, None)
    size = path.stat().st_size
    against = standings(place.budget.limits, drop, size, interval)
    values = labels.dtype.kind == "f"
    return msgspec.structs.replace(
        bare,
        path=path.relative_to(place.folder).as_posix(),
        state="failed" if reasons else "within" if all(one.met for one in against) else "beyond",
        file_bytes=size,
        drop=None if drop is None or not np.isfinite(drop.drop) else drop.drop,
        drop_ci95=None if drop is None or not np.isfinite(drop.ci95).all() else drop.ci95,
        correct=None if answers is None or values else int((answers == labels).sum()),
        mean_absolute_error=None
        if answers is None or not values
        else float(np.abs(answers.astype(np.float64) - labels.astype(np.float64)).mean()),
        p50_us=p50,
        p50_ci95_us=interval,
        standings=against,
        reason="; ".join(reasons),
    )


def _drop(file: FileStage, labels: np.ndarray, answers: np.ndarray, references: Answers) -> Drop | None:
    """Against the fp32 file of the same format; ``None`` where that has no answers. Its own is 0, without doubt."""
    if file.name == BASELINE_NAME:
        return Drop(0.0, (0.0, 0.0))
    reference = references.get(file.format)
    return None if reference is None else drop_of(labels, reference, answers)
