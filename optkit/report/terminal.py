"""The table on the terminal: every file in one line, the recommended one marked, and its rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.markup import escape
from rich.table import Table

from optkit.report import headline, method, quality, screen, wording
from optkit.report.reference import BASELINE_NAME, baseline_of, find, formats
from optkit.report.screen import FULL_WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from optkit.schema import Report, Variant, Verdict

# Marks the recommended file without colour, in a column of its own.
MARK = "►"

# What a run folder has for people, in the order in which one would open it.
WRITTEN = ("report.html", "report.md", "report.json", "artifacts")

_COLOURS = {"better": "green", "worse": "red", "no measurable difference": "default"}
_SHORT = {"better": "better", "worse": "worse", "no measurable difference": "no diff"}
_SHORT_THROUGHPUT = {"better": "more", "worse": "less", "no measurable difference": "no diff"}
_SHORT_SPEED = {"better": "faster", "worse": "slower", "no measurable difference": "no diff"}


def show(
    report: Report,
    folder: Path | None = None,
    *,
    written: Sequence[str] = WRITTEN,
    stream: TextIO | None = None,
    width: int | None = None,
) -> None:
    """Print the table, the recommendation with its rule, warnings and the files that were written.

    Args:
        report: What to show.
        folder: The run folder, whose written files are named at the end.
        written: Names of those files; the ones that are not there are passed over.
        stream: Where to; standard output when ``None``. Colour only where that is a terminal.
        width: Columns; those of the terminal when ``None``, and 104 where there is none.
    """
    paths = [] if folder is None else [folder / name for name in written]
    screen.show(lambda console: _draw(console, report, paths), stream, width)


def _draw(console: Console, report: Report, written: Sequence[Path]) -> None:
    wide = console.width >= FULL_WIDTH
    for file_format in formats(report.variants):
        console.print(_table(report, file_format, wide=wide))
        console.print()
    for scaling in (_scaling(report.variants, name) for name in formats(report.variants)):
        if scaling is not None:
            console.print(scaling)
            console.print()
    for sentence, number in method.doubts(report).items():
        console.print(f"[yellow]?{number}[/yellow] {escape(sentence)}")
    for stopping in report.stopping:
        console.print(f"{stopping.format}: {method.ended(stopping)}.", style="dim", markup=False)
    console.print(f"{_legend(report, wide=wide)}\n", style="dim", markup=False)
    _failures(console, report.variants)
    _choice(console, report)
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    for path in written:
        if path.exists():
            console.print(f"wrote {escape(str(path))}", soft_wrap=True)


def _legend(report: Report, *, wide: bool) -> str:
    held_against = wording.reference(report.variants)
    if held_against != BASELINE_NAME:
        found = [baseline_of(report.variants, name) for name in formats(report.variants)]
        names = [wording.file_name(baseline.name, baseline.format) for baseline in found if baseline is not None]
        held_against = f"the reference ({wording.listed(names)})" if names else held_against
    sentences = []
    if len(report.variants) > len(formats(report.variants)):
        sentences.append(f"smaller, gzip (both files compressed), speed-up: against {held_against} of the same format.")
    if quality.of_values(report.variants):
        sentences.append("MAE: mean absolute error on the test set, less is better; larger/smaller: examples.")
    elif _has_quality(report):
        sentences.append("acc. %: on the test set.")
    sentences.append("no diff: no measurable difference.")
    if wide:
        sentences.append("[ ]: 95 % interval.")
    return " ".join(sentences)


def _has_quality(report: Report) -> bool:
    return quality.any_tested(report.variants)


# Header, whether it is left out on narrow terminals, and its cell for (variant, baseline of the format).
_Cell = tuple["str", bool, "Callable[[Variant, Variant | None], str]"]


def _columns(report: Report, *, wide: bool) -> list[_Cell]:
    values = quality.of_values(report.variants)
    measured: list[_Cell] = [
        ("MAE" if values else "acc. %", False, _quality),
        # Of errors nearly every one changes a little: long counts that say less than the verdict.
        ("larger/\nsmaller" if values else "lost/\ngained", values, _paired),
        ("verdict", False, _quality_verdict),
    ]
    # Without data there is room for more of what was measured.
    times: list[_Cell] = [("p90 µs", True, _p90), ("load\nms", True, _load), ("MiB", True, _memory)]
    numbers = method.doubts(report)
    doubts: list[_Cell] = [("", False, lambda v, _: f"[yellow]{method.doubt_mark(v, numbers)}[/yellow]")]
    return [
        *(measured if _has_quality(report) else []),
        (
            "kB",
            _has_quality(report),
            lambda v, _: wording.MISSING if v.size is None else wording.three_digits(v.size.file_bytes / 1e3),
        ),
        ("smaller", False, lambda v, base: wording.times(wording.size_ratio(v, base))),
        ("gzip", False, lambda v, base: wording.times(wording.size_ratio(v, base, gzip=True))),
        *([] if _has_quality(report) else times[2:]),
        (
            "p50 µs",
            False,
            lambda v, _: wording.MISSING if v.latency is None else wording.three_digits(v.latency.p50_us),
        ),
        *(doubts if numbers else []),
        *([] if _has_quality(report) else times[:2]),
        ("speed-up", False, _speedup if wide else _ratio),
        ("speed", False, _speed_verdict),
    ]


def _table(report: Report, file_format: str, *, wide: bool) -> Table:
    columns = [column for column in _columns(report, wide=wide) if wide or not column[1]]
    table = Table(title=file_format, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.show_edge = False
    table.padding = 0
    table.add_column("", width=1)
    table.add_column("file", overflow="fold", min_width=12)
    for header, _, _ in columns:
        table.add_column(header, justify="right", no_wrap=True)
    baseline = baseline_of(report.variants, file_format)
    choice = report.recommendation
    for variant in report.variants:
        if variant.format != file_format:
            continue
        chosen = choice is not None and (choice.variant, choice.format) == (variant.name, file_format)
        cells = [cell(variant, baseline) for _, _, cell in columns]
        if variant.status == "failed":
            cells[0] = "[red]FAILED[/red]"
        table.add_row(MARK if chosen else "", escape(variant.name), *cells, style="bold" if chosen else None)
    return table


def _quality(variant: Variant, _: Variant | None) -> str:
    if variant.errors is not None:
        return wording.value(variant.errors.mae)
    return wording.MISSING if variant.accuracy is None else f"{100 * variant.accuracy.top1:.2f}"


def _paired(variant: Variant, _: Variant | None) -> str:
    if variant.errors is not None and variant.errors.versus_baseline is not None:
        changed = variant.errors.versus_baseline
        return f"{changed.larger}/{changed.smaller}"
    versus = None if variant.accuracy is None else variant.accuracy.versus_baseline
    return wording.MISSING if versus is None else f"{versus.lost}/{versus.gained}"


def _quality_verdict(variant: Variant, _: Variant | None) -> str:
    measured = quality.tested(variant)
    versus = None if measured is None else measured.versus_baseline
    return wording.MISSING if versus is None else _coloured(versus.verdict, _SHORT)


def _p90(variant: Variant, _: Variant | None) -> str:
    value = None if variant.latency is None else variant.latency.p90_us
    return wording.MISSING if value is None else wording.three_digits(value)


def _load(variant: Variant, _: Variant | None) -> str:
    return wording.MISSING if variant.latency is None else wording.three_digits(variant.latency.load_ms)


def _memory(variant: Variant, _: Variant | None) -> str:
    return wording.MISSING if variant.memory is None else f"{variant.memory.peak_rss_bytes / 2**20:.1f}"


def _speedup(variant: Variant, _: Variant | None) -> str:
    return escape(wording.speedup(None if variant.latency is None else variant.latency.speedup))


def _ratio(variant: Variant, _: Variant | None) -> str:
    value = None if variant.latency is None else variant.latency.speedup
    return wording.times(None if value is None else value.ratio)


def _speed_verdict(variant: Variant, _: Variant | None) -> str:
    value = None if variant.latency is None else variant.latency.speedup
    return wording.MISSING if value is None else _coloured(value.verdict, _SHORT_SPEED)


def _coloured(verdict: Verdict, words: dict[str, str]) -> str:
    return f"[{_COLOURS[verdict]}]{words[verdict]}[/]"


def _scaling(variants: Sequence[Variant], file_format: str) -> Table | None:
    """Other batches and thread counts, one line a point."""
    scaled = [variant for variant in variants if variant.format == file_format and variant.scaling]
    if not scaled:
        return None
    table = Table(
        title=f"{file_format}: batches and threads", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    table.show_edge = False
    table.padding = 0
    table.add_column("", width=1)
    table.add_column("file", overflow="fold", min_width=12)
    for header in ("threads", "batch", "p50 µs", "images/s", "throughput", "verdict"):
        table.add_column(header, justify="right", no_wrap=True)
    for variant in scaled:
        for index, point in enumerate(variant.scaling):
            value = point.throughput
            table.add_row(
                "",
                escape(variant.name) if index == 0 else "",
                str(point.threads),
                str(point.batch),
                wording.three_digits(point.p50_us),
                wording.three_digits(point.images_per_second),
                wording.MISSING if value is None else escape(wording.speedup(value)),
                wording.MISSING if value is None else _coloured(value.verdict, _SHORT_THROUGHPUT),
            )
    return table


def _failures(console: Console, variants: Sequence[Variant]) -> None:
    for variant in variants:
        checks = [check.name for check in variant.checks if not check.passed]
        if variant.status == "failed" or checks:
            reason = "; ".join(variant.failures) or f"did not pass {wording.listed(checks)}"
            name = wording.file_name(variant.name, variant.format)
            console.print(f"[red]failed:[/red] {escape(name)}: {escape(reason)}")


def _choice(console: Console, report: Report) -> None:
    choice = report.recommendation
    chosen = None if choice is None else find(report.variants, choice.variant, choice.format)
    if choice is None or chosen is None:
        for fact in headline.facts(report):
            name, _, rest = fact.sentence.partition(fact.file)
            console.print(f"{escape(name)}[bold]{escape(fact.file) if rest else ''}[/bold]{escape(rest)}.")
        console.print(escape(headline.reason(report)))
        return
    name = wording.file_name(chosen.name, chosen.format)
    sentence = wording.cost(chosen, baseline_of(report.variants, chosen.format))
    console.print(f"[bold]{MARK} {escape(name)}[/bold]: {escape(sentence)}.")
    console.print(escape(choice.rule))
