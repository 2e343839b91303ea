"""report.md: the recommendation, every figure with its doubt, and how all of it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import wording
from optkit.report.reference import baseline_of, controls, find, formats

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optkit.schema import Environment, Report, Training, Variant


def render(report: Report) -> str:
    """The whole of report.md, in GitHub's Markdown, drawn from the record alone."""
    sections = [
        "# optkit report",
        *_recommendation(report),
        *_warnings(report.warnings),
        *(part for name in formats(report.variants) for part in _files(report, name)),
        *_control(report),
        *_why(report.variants),
        *_failed(report.variants),
        *_skipped(report),
        *_training(report.training),
        *_measured(report),
        *_environment(report.environment),
        "## The same again",
        # Indented, not fenced: a command may itself have backticks.
        "\n".join(f"    {line}" for line in report.command.splitlines()),
        f"optkit {_text(report.optkit_version)}, {_text(report.created)}.",
    ]
    return "\n\n".join(sections) + "\n"


def _text(value: str) -> str:
    """Text from outside (names, reasons, warnings) that must not become markup or break a table row."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_[]<>|#&~$" else letter for letter in value)
    return " ".join(escaped.split())


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1) -> str:
    """A table whose columns from ``numbers_from`` on are aligned to the right."""
    rule = ["---" if column < numbers_from else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def _recommendation(report: Report) -> list[str]:
    choice = report.recommendation
    chosen = None if choice is None else find(report.variants, choice.variant, choice.format)
    if choice is None or chosen is None:
        return [
            (
                "**No file is recommended**: none passed all checks with an accuracy on validation data that "
                "was "
                "measured and is not worse than that of the fp32 file."
            )
        ]
    name = _text(wording.file_name(chosen.name, chosen.format))
    sentence = wording.cost(chosen, baseline_of(report.variants, chosen.format))
    return [f"**{name}**: {sentence}.", _text(choice.rule)]


def _warnings(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    return ["\n".join(f"> **Warning**: {_text(warning)}  " for warning in warnings)]


def _files(report: Report, file_format: str) -> list[str]:
    written = [v for v in report.variants if v.format == file_format and v.status == "ok"]
    if not written:
        return []
    baseline = baseline_of(report.variants, file_format)
    header = [
        "file",
        "test accuracy [95 %]",
        "lost, gained",
        "accuracy",
        "bytes",
        "smaller",
        "gzip bytes",
        "smaller",
        "p50",
        "speed-up [95 %]",
        "speed",
        "peak memory",
        "checks",
    ]
    reference = "none" if baseline is None else _text(wording.file_name(baseline.name, file_format))
    return [
        f"## {_text(file_format)}",
        f"Reference: {reference}. Lost images are right in the reference and wrong here; gained the reverse.",
        _table(header, (_row(report, variant, baseline) for variant in written)),
    ]


def _row(report: Report, variant: Variant, baseline: Variant | None) -> list[str]:
    accuracy, latency, size = variant.accuracy, variant.latency, variant.size
    versus = None if accuracy is None else accuracy.versus_baseline
    speedup = None if latency is None else latency.speedup
    choice = report.recommendation
    is_chosen = choice is not None and (choice.variant, choice.format) == (variant.name, variant.format)
    name = _text(variant.name)
    return [
        f"**{name}** (recommended)" if is_chosen else name,
        wording.accuracy(accuracy),
        wording.MISSING if versus is None else f"{versus.lost:,}, {versus.gained:,}",
        wording.MISSING if versus is None else versus.verdict,
        wording.count(None if size is None else size.file_bytes),
        wording.times(wording.size_ratio(variant, baseline)),
        wording.count(None if size is None else size.gzip_bytes),
        wording.times(wording.size_ratio(variant, baseline, gzip=True)),
        wording.microseconds(None if latency is None else latency.p50_us),
        wording.speedup(speedup),
        wording.speed_verdict(None if speedup is None else speedup.verdict),
        wording.mebibytes(None if variant.memory is None else variant.memory.peak_rss_bytes),
        wording.checks(variant),
    ]


def _control(report: Report) -> list[str]:
    found = [variant for variant in controls(report.variants) if variant.accuracy is not None]
    if not found:
        return []
    lines = []
    for control in found:
        versus = None if control.accuracy is None else control.accuracy.versus_baseline
        if control.accuracy is None or versus is None:
            continue
        name = _text(wording.file_name(control.name, control.format))
        lines.append(
            f"{name} was trained on like the compressed models and not compressed: "
            f"{wording.percent(control.accuracy.top1)}, {wording.flips(versus, control.accuracy.total)} "
            f"against the "
            f"reference ({versus.verdict}). What it gained is the training's doing, not a technique's."
        )
    rows = [
        [
            _text(wording.file_name(variant.name, variant.format)),
            wording.flips(variant.accuracy.versus_control, variant.accuracy.total),
            variant.accuracy.versus_control.verdict,
        ]
        for variant in report.variants
        if variant.accuracy is not None and variant.accuracy.versus_control is not None
    ]
    table = [_table(["file", "against the control", "accuracy"], rows)] if rows else []
    return ["## The control: the same training, nothing else", "\n\n".join(lines), *table] if lines else []


def _why(variants: Sequence[Variant]) -> list[str]:
    """One line for a cause with the same evidence, however many files have it."""
    found: dict[tuple[str, str], list[str]] = {}
    for variant in variants:
        for why in variant.why:
            name = wording.file_name(variant.name, variant.format)
            found.setdefault((why.cause, why.detail), []).append(name)
    lines = [
        f"- **{_text(cause)}** ({_text(', '.join(names))}): {_text(detail)}" for (cause, detail), names in found.items()
    ]
    return ["## Why not faster, why not smaller", "\n".join(lines)] if lines else []


def _failed(variants: Sequence[Variant]) -> list[str]:
    lines = [
        f"- **{_text(wording.file_name(variant.name, variant.format))}**: {_text('; '.join(_failures(variant)))}"
        for variant in variants
        if variant.status == "failed"
    ]
    return ["## Failed files", "\n".join(lines)] if lines else []


def _failures(variant: Variant) -> list[str]:
    """The stated failures, else the checks that did not pass, with what was seen and the limit."""
    checks = [
        f"{check.name}: observed {check.observed}, limit {check.limit} {check.unit}".rstrip()
        for check in variant.checks
        if not check.passed
    ]
    return variant.failures or checks or ["no reason was recorded"]


def _skipped(report: Report) -> list[str]:
    lines = [f"- {_text(wording.file_name(s.name, s.format))}: {_text(s.reason)}" for s in report.skipped]
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
                _text(training.stage),
                str(len(training.epochs)),
                _course([epoch.loss for epoch in training.epochs]),
                _course([epoch.validation_loss for epoch in training.epochs]),
                " ".join(f"{100 * epoch.validation_accuracy:.2f}" for epoch in training.epochs),
                f"{sum(epoch.seconds for epoch in training.epochs):.0f} s",
            ]
        )
    header = ["stage", "epochs", "loss", "validation loss", "validation accuracy of each epoch, %", "time"]
    return ["## Training", _table(header, rows)] if rows else []


def _measured(report: Report) -> list[str]:
    data = report.data
    apart = "disjoint from" if data.calibration.disjoint_from_test else "**overlapping with**"
    lines = [
        (
            f"- Data: {_text(data.name)}, SHA-256 `{_text(data.sha256)}`; {data.train:,} train, "
            f"{data.validation:,} "
            f"validation, {data.test:,} test."
        ),
        (
            f"- Calibration: {data.calibration.count:,} images from {_text(data.calibration.source)}, "
            f"{apart} "
            f"the test "
            "set by content."
        ),
        (
            "- Accuracy is that of the exported file in its own runtime on the whole test set, with Wilson's "
            "95 "
            "% interval; "
            "verdicts come from paired answers (exact McNemar test). Choices were made on validation data."
        ),
        (
            "- Size is that of the file that ships; gzip stands beside it. Each format is compared with its "
            "own "
            "reference."
        ),
        "- Peak memory is the resident set of a fresh process less that of the runtime alone: approximate.",
        *_timing(report),
    ]
    return ["## How it was measured", "\n".join(lines)]


def _timing(report: Report) -> list[str]:
    timed = [variant.latency for variant in report.variants if variant.latency is not None]
    lines = []
    if timed:
        settings = sorted({(latency.threads, latency.batch, latency.processes) for latency in timed})
        words = "; ".join(f"{t} thread{'' if t == 1 else 's'}, batch {b}, {p} fresh processes" for t, b, p in settings)
        samples = sorted({latency.samples for latency in timed})
        span = f"{samples[0]:,}" if len(samples) == 1 else f"{samples[0]:,} to {samples[-1]:,}"
        lines.append(
            f"- Time is one call of the runtime ({words}), files interleaved in blocks in random order, "
            f"{span} samples "
            "a file. p50 is the median over processes of the block medians; the speed-up is the ratio of "
            "paired blocks "
            "with a bootstrap 95 % interval. An interval that contains 1 or lies inside the noise floor is "
            "no measurable "
            "difference."
        )
    lines += [
        f"- Noise floor, {_text(floor.format)}: the reference against itself gives {floor.low:.3f} to {floor.high:.3f}."
        for floor in report.noise_floor
    ]
    return lines


def _environment(environment: Environment) -> list[str]:
    loads = [
        f"{when} {', '.join(f'{load:.2f}' for load in values)}"
        for when, values in (
            ("before", environment.load_average_before),
            ("after", environment.load_average_after),
        )
        if values is not None
    ]
    packages = ", ".join(f"{_text(name)} {_text(version)}" for name, version in sorted(environment.packages.items()))
    return [
        "## Environment",
        "\n".join(
            [
                (
                    f"- {_text(environment.cpu_model)}, {environment.cores} cores, "
                    f"{wording.mebibytes(environment.memory_bytes)} memory"
                ),
                f"- {_text(environment.os)}, {_text(environment.python)}",
                f"- {packages}",
                f"- Load average {'; '.join(loads) if loads else 'not known'}",
            ]
        ),
    ]
