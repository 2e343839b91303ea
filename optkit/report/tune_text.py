"""What a search shows on the screen when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from optkit.report import screen, tune_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from optkit.report.tune_record import TuneReport

# Trials that are listed, the best first.
_LISTED = 10


def show(report: TuneReport, folder: Path, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print it on standard output, or on ``stream``."""
    screen.show(lambda console: _draw(console, report, folder), stream, width)


def _draw(console: Console, report: TuneReport, folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows = tune_words.rows(report)
    listed = [tune_words.heads(report), *([*row[:-1], row[-1].partition(":")[0]] for row in rows[:_LISTED])]
    kept = _fitting(report, listed, console.width)
    for index in kept:
        table.add_column(listed[0][index], justify="right", no_wrap=True)
    for row in listed[1:]:
        table.add_row(*(Text(row[index]) for index in kept))
    console.print(table)
    if len(rows) > _LISTED:
        console.print(f"… and {len(rows) - _LISTED} more, see {folder}/tune.html")
    for objective, shares in report.importance.items():
        words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in sorted(shares.items(), key=lambda o: -o[1]))
        console.print(Text(f"importance for {objective}: {words}"), soft_wrap=True)
    console.print()
    console.print(Text(f"► {tune_words.sentence(report)}"), soft_wrap=True)
    figure, doubt = tune_words.final(report)
    console.print(
        Text(f"test, trained on all {report.final.trained_on:,} other examples: {figure} {doubt}"), soft_wrap=True
    )
    console.print(Text(f"ended: {report.stopped}"), soft_wrap=True)
    for warning in report.warnings:
        console.print(Text(f"warning: {warning}"), soft_wrap=True)
    console.print(Text(f"wrote {folder}/best.toml, tune.html, tune.md, tune.json, {', '.join(report.final.files)}"))
    console.print(Text(f"next: optkit train --recipe {folder}/best.toml"), soft_wrap=True)


def _fitting(report: TuneReport, rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Columns that fit side by side: the least important go first, and no figure loses a digit."""
    heads = list(rows[0])
    kept = list(range(len(heads)))
    knobs = [one.name for one in reversed(report.space)]
    for name in ("time", "parameters", "±", "state", *knobs, *(one.name for one in report.objectives[:0:-1])):
        if sum(max(len(row[index]) for row in rows) + 2 for index in kept) - 2 <= width:
            break
        kept = [index for index in kept if heads[index] != name or (name == "parameters" and index < 2)]
    return kept
