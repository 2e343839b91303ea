"""What a search shows on the screen when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from optkit.report import screen, tune_words

if TYPE_CHECKING:
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
    for name in tune_words.heads(report):
        table.add_column(name, justify="right")
    rows = tune_words.rows(report)
    for row in rows[:_LISTED]:
        table.add_row(*map(Text, row))
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
