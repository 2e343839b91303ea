"""The search itself: each trial is drawn, trained by the executor, judged, and told to the study."""

from __future__ import annotations

import statistics
import time
import warnings
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import store
from optkit.errors import InputError, OptkitError
from optkit.measure.latency import measure_latency
from optkit.measure.latency_figures import scaling
from optkit.pipeline.plan import TRAINING_SOURCES
from optkit.pipeline.train_settings import resolve_training
from optkit.report import tune_words
from optkit.report.tune_record import FileTime, TrialRecord
from optkit.tune import study as studies
from optkit.tune.space import suggested
from optkit.tune.trial import verdict_path
from optkit.workers import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from optkit.data import Dataset
    from optkit.report.tune_record import Objective
    from optkit.store import StageRecord
    from optkit.tune.executor import Executor
    from optkit.tune.settings import TuneSettings

CODE = (*TRAINING_SOURCES, "tune/trial.py", "tune/protocols.py", "pipeline/train_data.py")
MEASURED_SECONDS = 0.6
PROCESSES = 3
# With fewer complete trials shares are chance.
LEAST_FOR_IMPORTANCE = 8
LEAST_GOOD = 10


class TrialFailedError(Exception):
    """A trial whose settings cannot be trained; the search goes on."""


class Search:
    """One search in a run folder.

    Args:
        settings: What is wanted.
        objectives: With their directions.
        folder: The run folder, which is locked.
        dataset: All data; trials load their own, without the test part.
        executor: Where trials run.
        on_step: Receives (trial's number, share done, words) while trials run.
    """

    def __init__(
        self,
        settings: TuneSettings,
        objectives: Sequence[Objective],
        folder: Path,
        dataset: Dataset,
        executor: Executor,
        *,
        on_step: Callable[[int, float, str], None],
    ) -> None:
        self._settings, self._objectives, self._folder = settings, list(objectives), folder
        self._dataset, self._executor, self._on_step = dataset, executor, on_step
        self._code = store.source_digest(CODE)
        self._standing = ""

    def run(self, study: Study, *, is_shared: bool) -> str:
        """Search until there are enough trials or the time is up; says which.

        Raises:
            OptkitError: The database or a worker failed.
        """
        studies.queue_unfinished(study, is_shared=is_shared)
        wanted, started = self._settings.wanted_trials, time.monotonic()
        self._note_standing(study)
        left = None if wanted is None else wanted - self._finished(study)
        if left is not None and left <= 0:
            return f"{wanted} trials were finished already"

        def enough(study: Study, _: FrozenTrial) -> None:
            self._note_standing(study)
            if wanted is not None and self._finished(study) >= wanted:
                study.stop()

        study.optimize(
            self._try,
            n_trials=left,
            timeout=self._settings.seconds,
            n_jobs=self._executor.slots,
            callbacks=[enough],
            catch=(TrialFailedError,),
        )
        if is_shared:
            studies.wait_for_others(study)
        seconds = self._settings.seconds
        if seconds is not None and time.monotonic() - started >= seconds:
            return f"the time of {seconds:g} s is up"
        return f"{self._finished(study)} trials are finished, as many as were asked for"

    def _note_standing(self, study: Study) -> None:
        """What progress says of all trials: how many are finished, and the best."""
        from optuna.trial import TrialState

        first = self._objectives[0]
        better = max if first.direction == "maximize" else min
        known = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        values = [one.values[0] for one in known if one.values]
        best = f", best {tune_words.value(first.name, better(values))}" if values else ""
        self._standing = f"{self._finished(study)} done{best}"

    @staticmethod
    def _finished(study: Study) -> int:
        """Trials that came to an end of their own."""
        from optuna.trial import TrialState

        known = study.get_trials(deepcopy=False)
        ended = {TrialState.COMPLETE, TrialState.PRUNED}
        return sum(one.state in ended or (one.state == TrialState.FAIL and "reason" in one.user_attrs) for one in known)

    def _try(self, trial: Trial) -> list[float]:
        """One trial's values, as Optuna's objective function.

        Raises:
            TrialPruned: It was ended early.
            TrialFailedError: Its settings cannot be trained.
        """
        import optuna

        studies.claim(trial)
        drawn = suggested(trial, self._settings.space)
        try:
            key = self._key(drawn)
            trial.set_user_attr("key", key)
            record = store.load_stage(self._folder, key) or self._trained(trial, key, drawn)
            if record is None:
                raise optuna.TrialPruned
            measured = self._time(key) if "latency" in self._settings.objectives else None
        except InputError as error:
            trial.set_user_attr("reason", str(error))
            raise TrialFailedError from error
        if measured is not None:
            trial.set_user_attr("time", msgspec.to_builtins(measured))
        return [self._value(one, record, measured) for one in self._objectives]

    def _key(self, drawn: dict[str, Any]) -> str:
        """What decides the trial's result.

        Raises:
            InputError: These settings do not go together.
        """
        whole = msgspec.to_builtins(resolve_training({**self._settings.fixed, **drawn}))
        threads = self._executor.threads
        return studies.trial_key(whole, self._settings.protocol.words, threads, self._code, self._dataset.sha256)

    def _trained(self, trial: Trial, key: str, drawn: dict[str, Any]) -> StageRecord | None:
        """The record of a trial that is trained now; ``None`` when it was ended early."""
        asks = self._settings.pruner != "none"
        single = len(self._objectives) == 1
        sign = -1.0 if self._objectives[0].name == "error" else 1.0

        def on_message(message: dict[str, Any]) -> None:
            if "step" in message:
                if single:
                    trial.report(sign * message["value"], message["step"])
                if message["asks"]:
                    said = "stop" if trial.should_prune() else "go on"
                    path = verdict_path(self._folder, key, message["step"])
                    store.write_bytes(path, said.encode())
            elif "total" in message:
                known = "" if message["accuracy"] is None else f", accuracy {message['accuracy']:.4f}"
                words = f"epoch {message['epoch']}/{message['epochs']}{known}; {self._standing}"
                self._on_step(trial.number, message["done"] / message["total"], words)

        arguments = {
            "folder": str(self._folder),
            "key": key,
            "settings": msgspec.to_builtins(resolve_training({**self._settings.fixed, **drawn})),
            "protocol": msgspec.to_builtins(self._settings.protocol),
            "threads": self._executor.threads,
            "with_file": "latency" in self._settings.objectives,
            "asks": asks,
        }
        self._executor.run(Job(f"trial {trial.number}", "optkit.tune.trial:run_trial", arguments), on_message)
        return store.load_stage(self._folder, key)

    def _value(self, objective: Objective, record: StageRecord, measured: FileTime | None) -> float:
        if objective.name == "parameters":
            return float(record.result["parameters"])
        if objective.name == "latency":
            if measured is None:
                raise InputError("a trial's file was not measured; run the same command again")
            return measured.p50_us
        mean = statistics.fmean(record.result["scores"])
        return -mean if objective.name == "error" else mean

    def _time(self, key: str) -> FileTime:
        """Time of the trial's file in fresh processes, by optkit's own harness, while no trial runs."""
        file, log = self._folder / "cache" / f"{key}.tflite", self._folder / "log.txt"
        result = measure_latency([file], file, None, log=log, processes=PROCESSES, seconds_per_file=MEASURED_SECONDS)
        if str(file) in result.failures:
            raise InputError(f"a trial's file cannot be run: {result.failures[str(file)]}")
        figures = scaling(result, file)[0]
        low, high = figures.ci95
        return FileTime(figures.p50_us, (1e6 / high, 1e6 / low))


def records(study: Study, objectives: Sequence[Objective], folder: Path) -> list[TrialRecord]:
    """Every trial that came to an end, in order."""
    from optuna.trial import TrialState

    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    found = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state not in states or (trial.state == TrialState.FAIL and "reason" not in trial.user_attrs):
            continue
        made = store.load_stage(folder, trial.user_attrs.get("key", "none"))
        result = {} if made is None or trial.state != TrialState.COMPLETE else made.result
        scores = [abs(one) for one in result.get("scores", [])]
        reported = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
        taken = trial.duration
        values = dict(zip([one.name for one in objectives], trial.values or [], strict=False))
        found.append(
            TrialRecord(
                number=trial.number,
                state=states[trial.state],  # type: ignore[arg-type]  # of the three words above
                settings=dict(trial.params),
                values=values if trial.state == TrialState.COMPLETE else {},
                scores=scores,
                mean=statistics.fmean(scores) if scores else None,
                spread=statistics.stdev(scores) if len(scores) > 1 else None,
                reported=reported,
                parameters=result.get("parameters"),
                time=msgspec.convert(trial.user_attrs.get("time"), FileTime | None),
                seconds=None if taken is None else round(taken.total_seconds(), 3),
                reason=trial.user_attrs.get("reason", ""),
            )
        )
    return found


def importance(study: Study, objectives: Sequence[Objective]) -> dict[str, dict[str, float]]:
    """Share of each knob in what made trials good, by objective (PED-ANOVA: Watanabe et al., 2023, arXiv:2304.10255).

    Only for accuracy or error: size and time follow from the network's structure, and what else good trials share is
    the sampler's doing. Empty where there are too few complete trials, or only one knob.
    """
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) < LEAST_FOR_IMPORTANCE:
        return {}
    # A tenth of all is usual; of few trials that is one or two, whose knobs are chance.
    share = min(0.5, max(0.1, LEAST_GOOD / len(complete)))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
    warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator computes", UserWarning)
    found: dict[str, dict[str, float]] = {}
    for index, one in enumerate(objectives):
        if one.name not in {"accuracy", "error"}:
            continue
        # It asks what low values come from.
        sign = -1.0 if one.direction == "maximize" else 1.0
        try:
            shares = optuna.importance.get_param_importances(
                study,
                evaluator=evaluator,
                target=lambda trial, index=index, sign=sign: sign * trial.values[index],  # type: ignore[misc]  # bound now
            )
        except (OptkitError, RuntimeError, ValueError):
            # Every trial had the same value, or a knob never varied.
            continue
        found[one.name] = {name: float(share) for name, share in shares.items()}
    return found
