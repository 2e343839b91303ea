"""What a training shows on the screen when it is done: how good, what the curve shows, what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from optkit.report import screen, train_words, wording

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from optkit.report.train_record import TrainReport

# Epochs at the end, and at the beginning, that are listed.
_LISTED = 12
_CONFUSED = 3
WRITTEN = "train.html, train.md, train.json, history.json, recipe.toml"


def show(report: TrainReport, folder: Path, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print it on standard output, or on ``stream``."""
    screen.show(lambda console: _draw(console, report, folder), stream, width)


def _draw(console: Console, report: TrainReport, folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in train_words.EPOCH_HEADS:
        table.add_column(name, justify="right")
    rows = train_words.epochs(report)
    shown = rows if len(rows) <= 2 * _LISTED else [*rows[:_LISTED], ("…",) * len(rows[0]), *rows[-_LISTED:]]
    for row in shown:
        table.add_row(*row)
    console.print(table)
    name, figure, doubt = train_words.tested(report)
    console.print()
    console.print(Text(f"{name}: {figure} {doubt}"), soft_wrap=True)
    for words, value in train_words.figures(report):
        console.print(Text(f"{words}: {value}"), soft_wrap=True)
    if report.confused:
        pairs = [
            f"{train_words.class_name(report, pair.label)} taken for {train_words.class_name(report, pair.answer)} "
            f"({pair.images})"
            for pair in report.confused[:_CONFUSED]
        ]
        console.print(Text(f"Confused most: {', '.join(pairs)}"), soft_wrap=True)
    console.print(
        Text(
            f"Network: {wording.count(report.summary.parameters)} parameters, {wording.count(report.summary.macs)} "
            f"multiply-accumulates; {train_words.duration(report.curve)}"
        ),
        soft_wrap=True,
    )
    console.print()
    console.print(Text(f"Diagnosis: {report.diagnosis.sentence}"))
    for note in report.diagnosis.notes:
        console.print(Text(f"note: {note}"))
    for finding in report.diagnosis.findings:
        for cure in finding.cures:
            console.print(Text(f"  {cure.words}{f': {cure.option}' if cure.option else ''}"), soft_wrap=True)
    for warning in report.warnings:
        console.print(Text(f"warning: {warning}"))
    console.print()
    console.print(Text(f"wrote {', '.join([*report.files, WRITTEN])} in {folder}"), soft_wrap=True)
    if report.compress_command:
        console.print(Text(f"next: {report.compress_command}"), soft_wrap=True)
