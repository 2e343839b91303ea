"""The table on the terminal: every file in one line, the recommended one marked, and its rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TextIO

from rich.markup import escape

from optkit.report import headline, method, quality, screen, search_text, sensitivity_text, wording
from optkit.report.reference import BASELINE_NAME, baseline_of, find, formats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from optkit.schema import Report, ScalingPoint, Variant, Verdict

# Marks the recommended file without colour, in a column of its own.
MARK = "►"

# What a run folder has for people, in the order in which one would open it.
WRITTEN = ("report.html", "report.md", "report.json", "artifacts")

# Longer names are broken before a column goes.
_SHORTEST_NAME = 14

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
    columns, intervals = _fitting(report, console.width)
    for file_format in formats(report.variants):
        console.print(_table(report, file_format, columns))
        console.print()
    for scaling in (_scaling(report.variants, name, console.width) for name in formats(report.variants)):
        if scaling is not None:
            console.print(scaling)
            console.print()
    for sentence, number in method.doubts(report).items():
        console.print(f"[yellow]?{number}[/yellow] {escape(sentence)}")
    for stopping in report.stopping:
        console.print(f"{stopping.format}: {method.ended(stopping)}.", style="dim", markup=False)
    console.print(f"{_legend(report, intervals=intervals)}\n", style="dim", markup=False)
    _failures(console, report.variants)
    _not_made(console, report)
    sensitivity_text.draw(console, report.variants)
    _choice(console, report)
    if report.search is not None:
        search_text.draw(console, report.search)
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    for path in written:
        if path.exists():
            console.print(f"wrote {escape(str(path))}", soft_wrap=True)


def _legend(report: Report, *, intervals: bool) -> str:
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
    if intervals:
        sentences.append("[ ]: 95 % interval.")
    return " ".join(sentences)


def _has_quality(report: Report) -> bool:
    return quality.any_tested(report.variants)


class _Column(NamedTuple):
    """A column: its heading, when it goes (the highest number first, 0 never), its cell for (variant, baseline)."""

    header: str
    goes: int
    cell: Callable[[Variant, Variant | None], str]


def _columns(report: Report, *, intervals: bool) -> list[_Column]:
    values = quality.of_values(report.variants)
    numbers = method.doubts(report)
    measured = [
        _Column("MAE" if values else "acc. %", 0, _quality),
        # Of errors nearly every one changes a little: long counts that say less than the verdict.
        _Column("larger/\nsmaller" if values else "lost/\ngained", 10 if values else 7, _paired),
        _Column("verdict", 0, _quality_verdict),
    ]
    sizes = [_Column("smaller", 3, _smaller), _Column("gzip", 8, _gzip)]
    p50 = [_Column("p50 µs", 6, _p50)]
    doubts = [_Column("", 5, lambda v, _: f"[yellow]{method.doubt_mark(v, numbers)}[/yellow]")] if numbers else []
    speed = [
        _Column("speed-up", 4, _speedup if intervals else _ratio),
        _Column("speed", 0, _speed_verdict),
    ]
    if _has_quality(report):
        return [*measured, _Column("kB", 9, _kilobytes), *sizes, *p50, *doubts, *speed]
    # Without data there is room for more of what was measured.
    times = [_Column("p90 µs", 10, _p90), _Column("load\nms", 11, _load)]
    return [
        _Column("kB", 0, _kilobytes),
        *sizes,
        _Column("MiB", 9, _memory),
        *(column._replace(goes=0) for column in p50),
        *doubts,
        *times,
        *speed,
    ]


def _fitting(report: Report, room: int) -> tuple[list[_Column], bool]:
    """The columns that a terminal has room for, none of them cut, and whether speed-ups have their intervals."""
    left = room - len(f"{MARK} ") - _name_width(report.variants)
    columns: list[_Column] = []
    for intervals in (True, False):
        columns = _columns(report, intervals=intervals)
        rows = [_cells(variant, baseline_of(report.variants, variant.format), columns) for variant in report.variants]
        headings = [column.header for column in columns]
        shown = screen.fitting([headings, *rows], [column.goes for column in columns], left)
        if len(shown) == len(columns):
            return columns, intervals
    return [columns[place] for place in shown], False


def _name_width(variants: Sequence[Variant]) -> int:
    return max(12, min(_SHORTEST_NAME, max((len(variant.name) for variant in variants), default=0)))


def _cells(variant: Variant, baseline: Variant | None, columns: Sequence[_Column]) -> list[str]:
    cells = [column.cell(variant, baseline) for column in columns]
    return ["[red]FAILED[/red]", *cells[1:]] if variant.status == "failed" else cells


def _table(report: Report, file_format: str, columns: Sequence[_Column]) -> Table:
    table = screen.table(file_format, _name_width(report.variants))
    for column in columns:
        table.add_column(column.header, justify="right", no_wrap=True)
    baseline = baseline_of(report.variants, file_format)
    choice = report.recommendation
    for variant in report.variants:
        if variant.format != file_format:
            continue
        chosen = choice is not None and (choice.variant, choice.format) == (variant.name, file_format)
        cells = _cells(variant, baseline, columns)
        table.add_row(MARK if chosen else "", escape(variant.name), *cells, style="bold" if chosen else None)
    return table


def _kilobytes(variant: Variant, _: Variant | None) -> str:
    return wording.MISSING if variant.size is None else wording.three_digits(variant.size.file_bytes / 1e3)


def _smaller(variant: Variant, baseline: Variant | None) -> str:
    return wording.times(wording.size_ratio(variant, baseline))


def _gzip(variant: Variant, baseline: Variant | None) -> str:
    return wording.times(wording.size_ratio(variant, baseline, gzip=True))


def _p50(variant: Variant, _: Variant | None) -> str:
    return wording.MISSING if variant.latency is None else wording.three_digits(variant.latency.p50_us)


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


# Headings of the table of other batches and thread counts, and when each goes.
_SCALING = (("threads", 0), ("batch", 0), ("p50 µs", 2), ("images/s", 0), ("throughput", 1), ("verdict", 0))


def _scaling(variants: Sequence[Variant], file_format: str, room: int) -> Table | None:
    """Other batches and thread counts, one line a point."""
    scaled = [variant for variant in variants if variant.format == file_format and variant.scaling]
    if not scaled:
        return None
    rows = [_point(point) for variant in scaled for point in variant.scaling]
    name_width = _name_width(scaled)
    headings, goes = zip(*_SCALING, strict=True)
    shown = screen.fitting([headings, *rows], goes, room - len(f"{MARK} ") - name_width)
    table = screen.table(f"{file_format}: batches and threads", name_width)
    for place in shown:
        table.add_column(headings[place], justify="right", no_wrap=True)
    names = [variant.name if index == 0 else "" for variant in scaled for index in range(len(variant.scaling))]
    for name, row in zip(names, rows, strict=True):
        table.add_row("", escape(name), *(row[place] for place in shown))
    return table


def _point(point: ScalingPoint) -> list[str]:
    value = point.throughput
    return [
        str(point.threads),
        str(point.batch),
        wording.three_digits(point.p50_us),
        wording.three_digits(point.images_per_second),
        wording.MISSING if value is None else escape(wording.speedup(value)),
        wording.MISSING if value is None else _coloured(value.verdict, _SHORT_THROUGHPUT),
    ]


def _failures(console: Console, variants: Sequence[Variant]) -> None:
    for variant in variants:
        checks = [check.name for check in variant.checks if not check.passed]
        if variant.status == "failed" or checks:
            reason = "; ".join(variant.failures) or f"did not pass {wording.listed(checks)}"
            name = wording.file_name(variant.name, variant.format)
            console.print(f"[red]failed:[/red] {escape(name)}: {escape(reason)}")


def _not_made(console: Console, report: Report) -> None:
    """What was asked for and is not there; files with one reason in one line."""
    files: dict[str, list[str]] = {}
    for one in report.skipped:
        files.setdefault(one.reason, []).append(wording.file_name(one.name, one.format))
    for reason, names in files.items():
        label = "" if reason.startswith("not measured") else "[yellow]not made:[/yellow] "
        console.print(f"{label}{escape(wording.listed(names))}: {escape(reason)}")


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
