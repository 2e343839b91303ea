"""The part of report.md on how the figures came about: data, times, batches and threads, runtimes, machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import chart_scaling, method, quality, wording
from optkit.report.markdown_text import escaped, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import DataFacts, Environment, Report, Variant


def scaling(variants: Sequence[Variant]) -> list[str]:
    """Every file's images per second with other batches and thread counts."""
    rows = [
        [
            escaped(row.file),
            str(row.threads),
            str(row.batch),
            row.time,
            f"{row.rate} {row.interval}",
            row.throughput or wording.MISSING,
            row.verdict,
        ]
        for row in chart_scaling.table(variants)
    ]
    header = ["file", "threads", "batch", "time per call", "images per second [95 %]", "throughput [95 %]", "verdict"]
    words = "Throughput is images per second over those of the file's first point, from paired blocks."
    return ["## Batches and threads", words, table(header, rows)] if rows else []


def runtimes(variants: Sequence[Variant]) -> list[str]:
    """What the runtimes make of the files."""
    rows = [[escaped(cell) for cell in row] for row in method.runtime_rows(variants)]
    header = ["file", "measured with", "opens from version", "optimization", "graph"]
    return ["### What the runtimes make of the files", table(header, rows, numbers_from=len(header))] if rows else []


def measured(report: Report) -> list[str]:
    """What the figures are and what they were taken on."""
    lines = [*_data(report.data), *(f"- Outputs: {words}." for words in method.outputs(report.task))]
    validated = any(quality.validated(variant) is not None for variant in report.variants)
    chosen = " Choices were made on validation data." if validated else ""
    if quality.of_values(report.variants):
        lines.append(
            "- The mean absolute error is that of the exported file in its own runtime on the whole test set, with "
            f"Student's 95 % interval; verdicts come from paired absolute errors (paired t test).{chosen}"
        )
    elif quality.any_tested(report.variants):
        lines.append(
            "- Accuracy is that of the exported file in its own runtime on the whole test set, with Wilson's 95 % "
            f"interval; verdicts come from paired answers (exact McNemar test).{chosen}"
        )
    lines += [
        "- Size is that of the file that ships; gzip stands beside it. Each format is compared with its own reference.",
        "- Peak memory is the resident set of a fresh process less that of the runtime alone: approximate.",
        *_timing(report),
    ]
    return ["## How it was measured", "\n".join(lines)]


def _data(data: DataFacts | None) -> list[str]:
    if data is None:
        return [f"- {method.GENERATED}"]
    lines = [f"- Data: {escaped(data.name)}, SHA-256 `{escaped(data.sha256)}`; {method.split(data)}."]
    if data.preprocessing is not None:
        lines.append(f"- Inputs of the model: {method.preprocessing(data.preprocessing)}.")
    if data.calibration is not None:
        apart = "disjoint from" if data.calibration.disjoint_from_test else "**overlapping with**"
        source = escaped(data.calibration.source)
        lines.append(
            f"- Calibration: {data.calibration.count:,} images from {source}, {apart} the test set by content."
        )
    return lines


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
    lines += [f"- {escaped(stopping.format)}: {method.ended(stopping)}." for stopping in report.stopping]
    lines += [
        f"- Noise floor, {escaped(floor.format)}: the reference against itself gives {floor.low:.3f} "
        f"to {floor.high:.3f}."
        for floor in report.noise_floor
    ]
    return lines


def environment_facts(environment: Environment) -> list[str]:
    """The machine, its packages and how busy it was."""
    loads = [
        f"{when} {', '.join(f'{load:.2f}' for load in values)}"
        for when, values in (
            ("before", environment.load_average_before),
            ("after", environment.load_average_after),
        )
        if values is not None
    ]
    packages = ", ".join(
        f"{escaped(name)} {escaped(version)}" for name, version in sorted(environment.packages.items())
    )
    return [
        "## Environment",
        "\n".join(
            [
                (
                    f"- {escaped(environment.cpu_model)}, {environment.cores} cores, "
                    f"{wording.mebibytes(environment.memory_bytes)} memory"
                ),
                f"- {escaped(environment.os)}, {escaped(environment.python)}",
                f"- {packages}",
                f"- Load average {'; '.join(loads) if loads else 'not known'}",
            ]
        ),
    ]
