"""The table on the terminal: every file in one line, the recommended one marked, and its rule."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from optkit.report import wording
from optkit.report.reference import baseline_of, find, formats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from optkit.schema import Report, Variant, Verdict

# Marks the recommended file without colour, in a column of its own.
MARK = "►"

# What a run folder has for people, in the order in which one would open it.
WRITTEN = ("report.html", "report.md", "report.json", "artifacts")

# With the longest name of the standard set the table takes 100 columns, and 80 without intervals and kB.
FULL_WIDTH = 100

# What a terminal that cannot show them gets instead.
_ASCII = str.maketrans({"►": ">", "×": "x", "µ": "u", "–": "-", "─": "-", "−": "-", "’": "'", "→": ">"})

_COLOURS = {"better": "green", "worse": "red", "no measurable difference": "default"}
_SHORT = {"better": "better", "worse": "worse", "no measurable difference": "no diff"}
_SHORT_SPEED = {"better": "faster", "worse": "slower", "no measurable difference": "no diff"}


def show(report: Report, folder: Path | None = None, *, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print the table, the recommendation with its rule, warnings and the files that were written.

    Args:
        report: What to show.
        folder: The run folder, whose written files are named at the end.
        stream: Where to; standard output when ``None``. Colour only where that is a terminal.
        width: Columns; those of the terminal when ``None``, and 100 where there is none.
    """
    stream = sys.stdout if stream is None else stream
    outside = Console(file=stream)
    columns = width or (outside.width if outside.is_terminal else FULL_WIDTH)
    # Drawn in memory first, so that characters which the stream cannot encode are replaced and not an error.
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=outside.is_terminal,
        no_color=outside.no_color,
        highlight=False,
        width=columns,
        legacy_windows=False,
    )
    _draw(console, report, folder)
    text = "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if not encoding.lower().startswith("utf"):
        text = text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    stream.write(text)
    stream.flush()


def _draw(console: Console, report: Report, folder: Path | None) -> None:
    for file_format in formats(report.variants):
        console.print(_table(report, file_format, wide=console.width >= FULL_WIDTH))
        console.print()
    console.print(
        "smaller, gzip (both files compressed), speed-up: against fp32 of the same format. acc. %: on the "
        "test set. "
        "no diff: no measurable difference." + (" [ ]: 95 % interval.\n" if console.width >= FULL_WIDTH else "\n"),
        style="dim",
        markup=False,
    )
    _failures(console, report.variants)
    _choice(console, report)
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    for path in [] if folder is None else [folder / name for name in WRITTEN]:
        if path.exists():
            console.print(f"wrote {escape(str(path))}", soft_wrap=True)


# Header, whether it is left out on narrow terminals, and its cell for (variant, baseline of the format).
_Cell = tuple["str", bool, "Callable[[Variant, Variant | None], str]"]


def _columns(*, wide: bool) -> list[_Cell]:
    return [
        ("acc. %", False, _accuracy),
        ("lost/\ngained", False, _flips),
        ("verdict", False, _accuracy_verdict),
        (
            "kB",
            True,
            lambda v, _: wording.MISSING if v.size is None else wording.three_digits(v.size.file_bytes / 1e3),
        ),
        ("smaller", False, lambda v, base: wording.times(wording.size_ratio(v, base))),
        ("gzip", False, lambda v, base: wording.times(wording.size_ratio(v, base, gzip=True))),
        (
            "p50 µs",
            False,
            lambda v, _: wording.MISSING if v.latency is None else wording.three_digits(v.latency.p50_us),
        ),
        ("speed-up", False, _speedup if wide else _ratio),
        ("speed", False, _speed_verdict),
    ]


def _table(report: Report, file_format: str, *, wide: bool) -> Table:
    columns = [column for column in _columns(wide=wide) if wide or not column[1]]
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
        table.add_row(MARK if chosen else "", escape(variant.name), *cells, style="bold" if chosen else None)
    return table


def _accuracy(variant: Variant, _: Variant | None) -> str:
    if variant.status == "failed":
        return "[red]FAILED[/red]"
    return wording.MISSING if variant.accuracy is None else f"{100 * variant.accuracy.top1:.2f}"


def _flips(variant: Variant, _: Variant | None) -> str:
    versus = None if variant.accuracy is None else variant.accuracy.versus_baseline
    return wording.MISSING if versus is None else f"{versus.lost}/{versus.gained}"


def _accuracy_verdict(variant: Variant, _: Variant | None) -> str:
    versus = None if variant.accuracy is None else variant.accuracy.versus_baseline
    return wording.MISSING if versus is None else _coloured(versus.verdict, _SHORT)


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
        console.print(
            "No file is recommended: none passed all checks with a measured accuracy on validation data "
            "that is not worse than that of the fp32 file."
        )
        return
    name = wording.file_name(chosen.name, chosen.format)
    sentence = wording.cost(chosen, baseline_of(report.variants, chosen.format))
    console.print(f"[bold]{MARK} {escape(name)}[/bold]: {escape(sentence)}.")
    console.print(escape(choice.rule))
