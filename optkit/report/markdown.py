"""report.md: the recommendation, every figure with its doubt, and how all of it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import headline, method, quality, search_text, sensitivity_text, wording
from optkit.report.markdown_measured import environment_facts, measured, runtimes, scaling
from optkit.report.markdown_text import escaped, table
from optkit.report.reference import baseline_of, controls, find, formats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Report, Training, Variant


def render(report: Report) -> str:
    """The whole of report.md, in GitHub's Markdown, drawn from the record alone."""
    sections = [
        "# optkit report",
        *_recommendation(report),
        *_warnings(report.warnings),
        *(part for name in formats(report.variants) for part in _files(report, name)),
        *search_text.markdown(report.search),
        *sensitivity_text.markdown(report.variants),
        *_doubts(report),
        *_control(report),
        *_named(report.variants),
        *_why(report.variants),
        *_failed(report.variants),
        *_skipped(report),
        *_training(report.training),
        *scaling(report.variants),
        *_operators(report.variants),
        *measured(report),
        *runtimes(report.variants),
        *environment_facts(report.environment),
        "## The same again",
        # Indented, not fenced: a command may itself have backticks.
        "\n".join(f"    {line}" for line in report.command.splitlines()),
        f"optkit {escaped(report.optkit_version)}, {escaped(report.created)}.",
    ]
    return "\n\n".join(sections) + "\n"


def _recommendation(report: Report) -> list[str]:
    choice = report.recommendation
    chosen = None if choice is None else find(report.variants, choice.variant, choice.format)
    if choice is None or chosen is None:
        facts = [f"- {escaped(fact.sentence)}." for fact in headline.facts(report)]
        reason = headline.reason(report)
        if facts:
            return ["\n".join(facts), reason]
        return [reason.replace("No file is recommended", "**No file is recommended**")]
    name = escaped(wording.file_name(chosen.name, chosen.format))
    sentence = wording.cost(chosen, baseline_of(report.variants, chosen.format))
    return [f"**{name}**: {sentence}.", escaped(choice.rule)]


def _warnings(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    return ["\n".join(f"> **Warning**: {escaped(warning)}  " for warning in warnings)]


# Columns that a report without data has nothing to put in, and what they are for values.
_QUALITY_COLUMNS = {
    "test accuracy [95 %]": "test MAE [95 %]",
    "lost, gained": "larger, smaller",
    "accuracy": "MAE",
}


def _files(report: Report, file_format: str) -> list[str]:
    written = [v for v in report.variants if v.format == file_format and v.status == "ok"]
    if not written:
        return []
    baseline = baseline_of(report.variants, file_format)
    reference = "none" if baseline is None else escaped(wording.file_name(baseline.name, file_format))
    rows = [_row(report, variant, baseline) for variant in written]
    values, has_quality = quality.of_values(report.variants), quality.any_tested(report.variants)
    header = [name for name in rows[0] if has_quality or name not in _QUALITY_COLUMNS]
    lost = " Lost images are right in the reference and wrong here; gained the reverse." if has_quality else ""
    if values:
        lost = (
            " MAE is the mean absolute error, in the unit of the values. It is larger on so many examples than the "
            "reference's, and smaller on so many."
        )
    # Two columns are called the same: each stands behind what it is about.
    names = [(_QUALITY_COLUMNS.get(name, name) if values else name).removesuffix(", gzip") for name in header]
    return [
        f"## {escaped(file_format)}",
        f"Reference: {reference}.{lost}",
        table(names, ([row[name] for name in header] for row in rows)),
    ]


def _row(report: Report, variant: Variant, baseline: Variant | None) -> dict[str, str]:
    measured, latency, size = quality.tested(variant), variant.latency, variant.size
    versus = None if measured is None else measured.versus_baseline
    speedup = None if latency is None else latency.speedup
    choice = report.recommendation
    is_chosen = choice is not None and (choice.variant, choice.format) == (variant.name, variant.format)
    name = escaped(variant.name)
    mark = method.doubt_mark(variant, method.doubts(report))
    p50 = wording.microseconds(None if latency is None else latency.p50_us)
    return {
        "file": f"**{name}** (recommended)" if is_chosen else name,
        "test accuracy [95 %]": wording.tested(variant),
        "lost, gained": wording.MISSING if versus is None else wording.pair(versus),
        "accuracy": wording.MISSING if versus is None else versus.verdict,
        "bytes": wording.count(None if size is None else size.file_bytes),
        "smaller": wording.times(wording.size_ratio(variant, baseline)),
        "gzip bytes": wording.count(None if size is None else size.gzip_bytes),
        "smaller, gzip": wording.times(wording.size_ratio(variant, baseline, gzip=True)),
        "p50": f"{p50} ({mark})" if mark else p50,
        "speed-up [95 %]": wording.speedup(speedup),
        "speed": wording.speed_verdict(None if speedup is None else speedup.verdict),
        "peak memory": wording.mebibytes(None if variant.memory is None else variant.memory.peak_rss_bytes),
        "checks": wording.checks(variant),
    }


def _doubts(report: Report) -> list[str]:
    lines = [f"- (?{number}) {escaped(sentence)}" for sentence, number in method.doubts(report).items()]
    return ["## Doubts about times", "\n".join(lines)] if lines else []


def _operators(variants: Sequence[Variant]) -> list[str]:
    """Where the operators are: their tables would bury the rest."""
    if not any(variant.operators for variant in variants):
        return []
    where = "report.html (details of each file) and in report.json (`variants[].operators`)"
    return [f"The operators of each file, with their MACs, weight bytes and share of the time, are in {where}."]


def _control(report: Report) -> list[str]:
    lines = []
    for control in controls(report.variants):
        measured = quality.tested(control)
        versus = None if measured is None else measured.versus_baseline
        if measured is None or versus is None:
            continue
        name = escaped(wording.file_name(control.name, control.format))
        lines.append(
            f"{name} was trained on like the compressed models and not compressed: "
            f"{wording.tested_figure(control)}, {wording.paired(measured, versus)} "
            f"against the "
            f"reference ({versus.verdict}). What it gained is the training's doing, not a technique's."
        )
    rows = [
        [
            escaped(wording.file_name(variant.name, variant.format)),
            wording.paired(measured, measured.versus_control),
            measured.versus_control.verdict,
        ]
        for variant in report.variants
        if (measured := quality.tested(variant)) is not None and measured.versus_control is not None
    ]
    header = ["file", "against the control", "MAE" if quality.of_values(report.variants) else "accuracy"]
    against = [table(header, rows)] if rows else []
    return ["## The control: the same training, nothing else", "\n\n".join(lines), *against] if lines else []


def _named(variants: Sequence[Variant]) -> list[str]:
    """Keras metrics that the user named, of each file on the test set."""
    found = [(variant, dict(wording.keras_metrics(variant))) for variant in variants]
    reasons = dict(item for variant in variants for item in wording.not_judged(variant))
    names = list(dict.fromkeys(name for _, figures in found for name in figures if figures[name] != wording.MISSING))
    rows = [
        [wording.file_name(variant.name, variant.format), *(figures.get(name, wording.MISSING) for name in names)]
        for variant, figures in found
        if figures
    ]
    shown = [table(["file", *map(escaped, names)], [[escaped(cell) for cell in row] for row in rows])] if names else []
    lines = [f"- {escaped(name)} was not judged: {escaped(reason)}." for name, reason in reasons.items()]
    parts = [*shown, *(["\n".join(lines)] if lines else [])]
    return ["## Keras metrics on the test set", *parts] if parts else []


def _why(variants: Sequence[Variant]) -> list[str]:
    """One line for a cause with the same evidence, however many files have it."""
    found: dict[tuple[str, str], list[str]] = {}
    for variant in variants:
        for why in variant.why:
            name = wording.file_name(variant.name, variant.format)
            found.setdefault((why.cause, why.detail), []).append(name)
    lines = [
        f"- **{escaped(cause)}** ({escaped(', '.join(names))}): {escaped(detail)}"
        for (cause, detail), names in found.items()
    ]
    return ["## Why not faster, why not smaller", "\n".join(lines)] if lines else []


def _failed(variants: Sequence[Variant]) -> list[str]:
    lines = [
        f"- **{escaped(wording.file_name(variant.name, variant.format))}**: {escaped('; '.join(_failures(variant)))}"
        for variant in variants
        if variant.status == "failed"
    ]
    return ["## Failed files", "\n".join(lines)] if lines else []


def _failures(variant: Variant) -> list[str]:
    """The stated failures, else the checks that did not pass, with what was seen and the limit."""
    checks = [
        f"{check.name}: observed {wording.observed(check.observed)}, "
        f"limit {wording.observed(check.limit)} {check.unit}".rstrip()
        for check in variant.checks
        if not check.passed
    ]
    return variant.failures or checks or ["no reason was recorded"]


def _skipped(report: Report) -> list[str]:
    lines = [f"- {escaped(wording.file_name(s.name, s.format))}: {escaped(s.reason)}" for s in report.skipped]
    return ["## Not made", "\n".join(lines)] if lines else []


def _course(losses: Sequence[float | None]) -> str:
    """First and last of several losses, or the only one."""
    ends = [losses[0], losses[-1]] if len(losses) > 1 else losses
    return " → ".join(wording.MISSING if loss is None else f"{loss:.4f}" for loss in ends)


def _hundredths(fraction: float | None) -> str:
    return wording.MISSING if fraction is None else f"{100 * fraction:.2f}"


def _training(stages: Sequence[Training]) -> list[str]:
    rows = []
    for training in stages:
        if not training.epochs:
            continue
        rows.append(
            [
                escaped(training.stage),
                str(len(training.epochs)),
                _course([epoch.loss for epoch in training.epochs]),
                _course([epoch.validation_loss for epoch in training.epochs]),
                " ".join(_hundredths(epoch.validation_accuracy) for epoch in training.epochs),
                f"{sum(epoch.seconds for epoch in training.epochs):.0f} s",
            ]
        )
    header = ["stage", "epochs", "loss", "validation loss", "validation accuracy of each epoch, %", "time"]
    if all(epoch.validation_accuracy is None for training in stages for epoch in training.epochs):
        # Values: there is no accuracy.
        header, rows = [*header[:4], header[5]], [[*row[:4], row[5]] for row in rows]
    return ["## Training", table(header, rows)] if rows else []
