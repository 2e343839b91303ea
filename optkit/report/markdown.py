"""report.md: the recommendation, every figure with its doubt, and how all of it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import headline, method, wording
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
        *_doubts(report),
        *_control(report),
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


# Columns that a report without data has nothing to put in.
_ACCURACY_COLUMNS = ("test accuracy [95 %]", "lost, gained", "accuracy")


def _files(report: Report, file_format: str) -> list[str]:
    written = [v for v in report.variants if v.format == file_format and v.status == "ok"]
    if not written:
        return []
    baseline = baseline_of(report.variants, file_format)
    reference = "none" if baseline is None else escaped(wording.file_name(baseline.name, file_format))
    rows = [_row(report, variant, baseline) for variant in written]
    has_accuracy = any(variant.accuracy is not None for variant in report.variants)
    header = [name for name in rows[0] if has_accuracy or name not in _ACCURACY_COLUMNS]
    lost = " Lost images are right in the reference and wrong here; gained the reverse." if has_accuracy else ""
    return [
        f"## {escaped(file_format)}",
        f"Reference: {reference}.{lost}",
        # Two columns are called the same: each stands behind what it is about.
        table([name.removesuffix(", gzip") for name in header], ([row[name] for name in header] for row in rows)),
    ]


def _row(report: Report, variant: Variant, baseline: Variant | None) -> dict[str, str]:
    accuracy, latency, size = variant.accuracy, variant.latency, variant.size
    versus = None if accuracy is None else accuracy.versus_baseline
    speedup = None if latency is None else latency.speedup
    choice = report.recommendation
    is_chosen = choice is not None and (choice.variant, choice.format) == (variant.name, variant.format)
    name = escaped(variant.name)
    mark = method.doubt_mark(variant, method.doubts(report))
    p50 = wording.microseconds(None if latency is None else latency.p50_us)
    return {
        "file": f"**{name}** (recommended)" if is_chosen else name,
        "test accuracy [95 %]": wording.accuracy(accuracy),
        "lost, gained": wording.MISSING if versus is None else f"{versus.lost:,}, {versus.gained:,}",
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
    found = [variant for variant in controls(report.variants) if variant.accuracy is not None]
    if not found:
        return []
    lines = []
    for control in found:
        versus = None if control.accuracy is None else control.accuracy.versus_baseline
        if control.accuracy is None or versus is None:
            continue
        name = escaped(wording.file_name(control.name, control.format))
        lines.append(
            f"{name} was trained on like the compressed models and not compressed: "
            f"{wording.percent(control.accuracy.top1)}, {wording.flips(versus, control.accuracy.total)} "
            f"against the "
            f"reference ({versus.verdict}). What it gained is the training's doing, not a technique's."
        )
    rows = [
        [
            escaped(wording.file_name(variant.name, variant.format)),
            wording.flips(variant.accuracy.versus_control, variant.accuracy.total),
            variant.accuracy.versus_control.verdict,
        ]
        for variant in report.variants
        if variant.accuracy is not None and variant.accuracy.versus_control is not None
    ]
    against = [table(["file", "against the control", "accuracy"], rows)] if rows else []
    return ["## The control: the same training, nothing else", "\n\n".join(lines), *against] if lines else []


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


def _course(losses: Sequence[float]) -> str:
    """First and last of several losses, or the only one."""
    return " → ".join(f"{loss:.4f}" for loss in ([losses[0], losses[-1]] if len(losses) > 1 else losses))


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
                " ".join(f"{100 * epoch.validation_accuracy:.2f}" for epoch in training.epochs),
                f"{sum(epoch.seconds for epoch in training.epochs):.0f} s",
            ]
        )
    header = ["stage", "epochs", "loss", "validation loss", "validation accuracy of each epoch, %", "time"]
    return ["## Training", table(header, rows)] if rows else []
