"""The words and figures of a search, the same on the page, in text and on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import wording

if TYPE_CHECKING:
    from optkit.report.tune_record import TrialRecord, TuneReport


def value(objective: str, number: float | None) -> str:
    """An objective's value with its unit."""
    if number is None:
        return wording.MISSING
    if objective == "accuracy":
        return f"{100 * number:.2f} %"
    if objective == "parameters":
        return wording.count(round(number))
    return f"{number:.3g} µs" if objective == "latency" else f"{number:.4g}"


def chosen(report: TuneReport) -> TrialRecord:
    """The trial whose settings were taken."""
    return next(trial for trial in report.trials if trial.number == report.chosen)


def setting(text: object) -> str:
    """A knob's value."""
    return f"{text:.4g}" if isinstance(text, float) else str(text)


def settings(trial: TrialRecord) -> str:
    """All of a trial's, in a line."""
    return ", ".join(f"{name} {setting(one)}" for name, one in sorted(trial.settings.items()))


def sentence(report: TuneReport) -> str:
    """What came out, in one sentence."""
    return f"Best of {len(report.trials)} trials: {settings(chosen(report))}"


def final(report: TuneReport) -> tuple[str, str]:
    """(figure, doubt) of the chosen settings' model on the test part."""
    made = report.final
    if made.accuracy is None or made.ci95 is None:
        return value("error", made.mean_absolute_error), f"mean absolute error on {made.tested_on:,} test examples"
    low, high = made.ci95
    return f"{100 * made.accuracy:.2f} %", f"[{100 * low:.2f}, {100 * high:.2f}], {made.tested_on:,} test examples"


def tiles(report: TuneReport) -> list[tuple[str, str, str]]:
    """(title, figure, words)."""
    trial, first = chosen(report), report.objectives[0]
    spread = "" if trial.spread is None else f" ± {_spread(report, trial.spread)} over {len(trial.scores)} models"
    states = [sum(one.state == state for one in report.trials) for state in ("complete", "pruned", "failed")]
    figure, doubt = final(report)
    return [
        (
            "Validation, best trial",
            value(first.name, trial.values[first.name]),
            f"trial {trial.number}{spread if first.name in {'accuracy', 'error'} else ''}",
        ),
        ("Test, trained on all the rest", figure, doubt),
        ("Parameters", wording.count(report.final.parameters), f"trained on {report.final.trained_on:,} examples"),
        ("Trials", str(len(report.trials)), f"{states[0]} complete, {states[1]} ended early, {states[2]} failed"),
    ]


def _with_interval(objective: str, trial: TrialRecord) -> str:
    """A trial's value; a measured time with its 95 % interval."""
    words = value(objective, trial.values.get(objective))
    if objective != "latency" or trial.time is None:
        return words
    low, high = trial.time.ci95
    return f"{words} [{low:.3g}, {high:.3g}]"


def _spread(report: TuneReport, spread: float) -> str:
    """In percentage points where trials are judged by accuracy."""
    is_error = any(one.name == "error" for one in report.objectives)
    return f"{spread:.2g}" if is_error else f"{100 * spread:.2f}"


def heads(report: TuneReport) -> list[str]:
    """Column heads of the table of trials."""
    objectives = [one.name for one in report.objectives]
    spread = ["±"] if any(trial.spread is not None for trial in report.trials) else []
    counted = [] if "parameters" in objectives else ["parameters"]
    return ["trial", *objectives, *spread, *[one.name for one in report.space], *counted, "time", "state"]


def rows(report: TuneReport) -> list[list[str]]:
    """The table of trials, the best by the first objective first."""
    first = report.objectives[0]
    sign = -1 if first.direction == "maximize" else 1
    has_spread, counted = "±" in heads(report), any(one.name == "parameters" for one in report.objectives)

    def order(trial: TrialRecord) -> tuple[int, float, int]:
        known = trial.values.get(first.name)
        return (0, sign * known, trial.number) if known is not None else (1, 0.0, trial.number)

    found = []
    for trial in sorted(report.trials, key=order):
        spread = "" if trial.spread is None else _spread(report, trial.spread)
        found.append(
            [
                f"{trial.number}{' ►' if trial.number == report.chosen else ''}",
                *[_with_interval(one.name, trial) for one in report.objectives],
                *([spread] if has_spread else []),
                *[setting(trial.settings.get(one.name, wording.MISSING)) for one in report.space],
                *([] if counted else [wording.count(trial.parameters)]),
                wording.MISSING if trial.seconds is None else f"{trial.seconds:.0f} s",
                {"complete": "complete", "pruned": "ended early", "failed": f"failed: {trial.reason}"}[trial.state],
            ]
        )
    return found


def facts(report: TuneReport) -> list[tuple[str, str]]:
    """How it was searched."""
    searched = ", ".join(f"{one.name} = {one.words}" for one in report.space)
    fixed = ", ".join(f"{name} = {setting(one)}" for name, one in sorted(report.fixed.items()))
    pairs = [
        ("searched", searched),
        ("fixed", fixed or "nothing but the baseline's own settings"),
        ("validation", report.protocol_words),
        ("sampler, pruner", f"{report.sampler}, {report.pruner}"),
        ("ended", f"{report.stopped}, after {report.seconds:,.0f} s"),
        ("chosen", report.rule),
        ("study", report.study),
        ("data", f"{report.data.name}, SHA-256 {report.data.sha256[:16]}…"),
        ("machine", f"{report.environment.cpu_model}, {report.environment.cores} cores"),
    ]
    return [(name, words) for name, words in pairs if words]
