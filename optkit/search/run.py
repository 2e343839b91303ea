"""Searches in a run folder, round by round, and delivers one file: within all limits, else the nearest."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import data, engines, recipes, store
from optkit.data._inputs import form_in, size_of
from optkit.errors import InputError, nearest
from optkit.pipeline import figures, jobs, outputs
from optkit.pipeline.calibration import check_calibration, data_digest
from optkit.pipeline.exclusion import check_limits
from optkit.pipeline.plan import make_plan
from optkit.pipeline.progress import Event, OnEvent, Schedule
from optkit.pipeline.run import run_folder
from optkit.pipeline.run_log import LOG, logged
from optkit.pipeline.settings import resolve
from optkit.pipeline.timing import Timer
from optkit.report.reference import BASELINE_NAME
from optkit.report.search_words import missed_words
from optkit.schema import Recipe, Report
from optkit.search import candidates, state
from optkit.search.budget import Budget, check_task, read_budget
from optkit.search.choose_engine import idle_words, read_engine
from optkit.search.evidence import evidence, standings
from optkit.search.rounds import Place, try_round
from optkit.search.select import Choice, on_front, select
from optkit.search_record import SearchRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optkit.pipeline.figures import Measured
    from optkit.pipeline.settings import Settings
    from optkit.search_record import TriedFile

BUDGET = ("max_drop", "max_size", "max_latency", "time")


def compress_within(
    budget: Mapping[str, str | None],
    *,
    recipe_arguments: Sequence[str] = (),
    engine: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    command: str | None = None,
    on_event: OnEvent | None = None,
    say: Callable[[str], object] | None = None,
    **settings: Any,
) -> Report:
    """Search for the best file within limits and deliver it, or the nearest, in a run folder.

    Args:
        budget: ``max_drop``, ``max_size``, ``max_latency`` and ``time``, as ``optkit compress`` takes them.
        recipe_arguments: Recipes to choose from; by default the search finds its own.
        engine: What runs the trials: ``engine`` (its name, ``local`` by default), ``workers``, ``trial_memory``,
            ``address``, ``latency_node`` and ``batch``, as ``optkit compress`` takes them.
        out: The run folder.
        command: The command to note as the one that makes it again.
        on_event: Receives progress.
        say: Gets sentences for the screen, first what drop the data can show.
        **settings: As for ``optkit.compress``.

    Returns:
        The report that was written; ``report.search`` has every file tried, and whether the limits are met.

    Raises:
        InputError: Something given cannot be used, or no file could be within the limits; nothing was done.
        EnvironmentFailedError: A full disk, a killed worker; what was finished is kept.
    """
    for name in budget:
        if name not in BUDGET:
            raise InputError(f"unknown limit {name!r}: {nearest(name, list(BUDGET))}")
    where = read_engine(engine or {})
    chosen, named = resolve(settings, recipe_arguments)
    from_file, own = recipes.read_all(recipe_arguments)
    given = [one for one in named if one.name != BASELINE_NAME and any(one.steps == mine.steps for mine in own)]
    chosen = _slim(chosen)
    # What is best without a word depends on the limits.
    prefer = chosen.prefer if "prefer" in {**from_file, **settings} else None
    wanted = read_budget(budget, prefer=prefer, formats=chosen.formats, threads=chosen.threads)
    folder = run_folder(chosen, out)
    store.check_own(folder, "compress")
    store.check_apart(folder, {"MODEL": chosen.model, "--data": chosen.data, "--calibration": chosen.calibration})
    dataset = data.load(chosen.data_spec, train_samples=chosen.train_samples)
    check_task(wanted, values=dataset.validation.labels.dtype.kind == "f")
    shown = evidence(wanted, len(dataset.validation.labels))
    check_limits(given, dataset)
    warnings = check_calibration(dataset, chosen, int8=True)
    say = say or (lambda _: None)
    say(f"{shown[1]}.")
    idle = idle_words(where)
    if idle is not None:
        say(idle)
    # Path.exists raises for a name that is too long, which prepare_folder has a message for.
    is_new = not os.path.exists(folder)  # noqa: PTH110
    store.prepare_folder(folder)
    try:
        with (
            store.locked(folder, "compress"),
            logged(folder),
            engines.open_engine(where.name, jobs.surroundings(chosen, folder, say), where.wishes) as at_work,
        ):
            command = command or outputs.command_line(folder)
            LOG.info("run: %s", command)
            cpu_model = Timer(folder, at_work).describe().cpu_model
            progress = _Progress(wanted, on_event)
            place = Place(
                chosen, wanted, folder, dataset, data_digest(dataset), at_work, where.batch, cpu_model, progress
            )
            return _run(place, given, shown, command, warnings)
    except InputError:
        if is_new and not any((folder / "models").iterdir()):
            shutil.rmtree(folder)
        raise


def _slim(settings: Settings) -> Settings:
    """Files of a search are slim: names that no runtime needs would count against the size."""
    formats = settings.formats if settings.format is None else (settings.format,)
    return msgspec.structs.replace(settings, slim=True, formats=formats, format=None)


def _run(
    place: Place, given: Sequence[Recipe], shown: tuple[float | None, str], command: str, warnings: Sequence[str]
) -> Report:
    key = state.key_of(place, given)
    known, stopped = _search(place, key, given)
    record, choice = _record(place, known, shown, stopped)
    LOG.info("search: %s; %s", stopped, "nothing to deliver" if choice is None else choice.tried.name)
    return _deliver(place, record, choice, command, warnings)


def _search(place: Place, key: str, given: Sequence[Recipe]) -> tuple[state.State, str]:
    """Round after round until there is nothing more to try or the time is up; says which."""
    now = state.load(place, key)
    began, before, seconds = time.monotonic(), now.seconds, place.budget.seconds

    def spent() -> float:
        return round(before + time.monotonic() - began, 1)

    if not given and not now.known:
        # Whatever the time, so that there is something to deliver.
        found, _ = try_round(place, candidates.least(), None)
        now = _keep(place, key, state.State(found, [], spent()))
    while True:
        left = None if seconds is None else seconds - spent()
        if left is not None and left <= 0:
            return now, f"the time of {seconds:g} s is up"
        wanted = candidates.next_round(
            now.known,
            place.budget,
            seed=place.settings.seed,
            given=given,
            endless=seconds is not None,
            batch=place.batch,
        )
        if wanted is None:
            return now, "there is nothing more to try"
        LOG.info("round %s: %s", wanted.stage, ", ".join(one.name for one in wanted.recipes))
        # What the user named is made whatever the time.
        found, is_whole = try_round(place, wanted, None if given else left)
        if not is_whole:
            return _keep(place, key, state.State(now.known, found, spent())), f"the time of {seconds:g} s is up"
        now = _keep(place, key, state.State([*now.known, *found], [], spent()))


def _keep(place: Place, key: str, now: state.State) -> state.State:
    """Keep what is known, for the next run, and the nearest so far for whoever looks into the folder."""
    state.save(place, key, now)
    record, _ = _record(place, now, (None, ""), "it is not over")
    store.write_bytes(place.folder / state.NAME, msgspec.json.format(msgspec.json.encode(record, order="sorted")))
    return now


def _record(
    place: Place, now: state.State, shown: tuple[float | None, str], stopped: str
) -> tuple[SearchRecord, Choice | None]:
    trials: list[TriedFile] = [file for one in (*now.known, *now.partial) for file in one.files]
    choice = select(trials, place.budget)
    front = on_front(trials)
    record = SearchRecord(
        limits=list(place.budget.limits),
        prefer=place.budget.prefer,
        validation=len(place.dataset.validation.labels),
        smallest_drop=shown[0],
        evidence=shown[1],
        cpu_model=place.cpu_model,
        latency_node=place.engine.timed_on,
        engine=place.engine.facts(),
        trials=[msgspec.structs.replace(one, on_front=(one.name, one.format) in front) for one in trials],
        delivered=None if choice is None else choice.tried.name,
        delivered_format=None if choice is None else choice.tried.format,
        met=choice is not None and choice.met,
        missed=[] if choice is None else choice.missed,
        rule="no file passed its checks" if choice is None else choice.rule,
        stopped=stopped,
        seconds=now.seconds,
    )
    return record, choice


def _deliver(
    place: Place, record: SearchRecord, choice: Choice | None, command: str, warnings: Sequence[str]
) -> Report:
    """An ordinary run of the delivered file and its reference: now the test part is read, for these two alone."""
    settings, folder, dataset = place.settings, place.folder, place.dataset
    wanted = [Recipe(BASELINE_NAME, recipes.parse(BASELINE_NAME).steps)]
    if choice is not None:
        settings = msgspec.structs.replace(settings, formats=(choice.tried.format,))
        if choice.tried.name != BASELINE_NAME:
            wanted.append(Recipe(choice.tried.name, recipes.parse(choice.tried.recipe).steps))
    plan = make_plan(settings, wanted, place.data_sha256)
    costs = jobs.expected_seconds(plan, dataset)
    schedule = Schedule(costs | figures.expected_seconds(plan), place.on_event)
    examples = size_of(form_in(dataset.train.images))
    plan, failures = jobs.make(plan, folder, schedule, costs, example_values=examples, engine=place.engine)
    # Nothing of the run competes with what is timed.
    place.engine.stop()
    exported = [file for file in plan.files if file.key not in failures]
    measured = figures.measure_files(plan, exported, folder, dataset, schedule, timer=Timer(folder, place.engine))
    record = msgspec.structs.replace(record, engine=place.engine.facts())
    if choice is not None:
        record = _timed_again(record, choice, place.budget, measured)
    store.write_bytes(folder / state.NAME, msgspec.json.format(msgspec.json.encode(record, order="sorted")))
    return outputs.write(
        outputs.Finished(plan, folder, dataset, failures, measured, command, tuple(warnings), search=record)
    )


def _timed_again(record: SearchRecord, choice: Choice, budget: Budget, measured: Measured) -> SearchRecord:
    """The delivered file is timed once more beside its reference: a limit that it is then beyond is not met."""
    limit = budget.limit("latency")
    latency = measured.latency.get((choice.tried.name, choice.tried.format))
    if limit is None or latency is None or not choice.met or latency.p50_us <= limit.limit:
        return record
    (standing,) = standings([limit], None, 0, (latency.p50_us, latency.p50_us))
    missed = f"{missed_words(limit, standing)}, when timed again beside fp32"
    return msgspec.structs.replace(record, met=False, missed=[missed])


class _Progress:
    """Events of the rounds, with the share of the time in place of a round's own, where a time was given."""

    def __init__(self, budget: Budget, on_event: OnEvent | None) -> None:
        self._seconds, self._on_event = budget.seconds, on_event
        self._began = time.monotonic()

    def __call__(self, event: Event) -> None:
        if self._on_event is None:
            return
        if self._seconds is not None:
            spent = time.monotonic() - self._began
            left = self._seconds - spent
            event = event._replace(overall=min(1.0, spent / self._seconds), seconds_left=left if left > 0 else None)
        self._on_event(event)
