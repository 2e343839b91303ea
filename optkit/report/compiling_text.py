"""What compiling a file to C did, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.markup import escape
from rich.table import Table

from optkit.report import compiling, screen

if TYPE_CHECKING:
    from rich.console import Console

    from optkit.report.compiling import Compiling


def show(found: Compiling, *, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print where the bytes are and what was shown of the outputs.

    Args:
        found: What to show.
        stream: Where to; standard output when ``None``.
        width: Columns; those of the terminal when ``None``.
    """
    screen.show(lambda console: _draw(console, found), stream, width)


def _draw(console: Console, found: Compiling) -> None:
    console.print(f"{escape(found.path)} → [bold]{escape(found.out)}[/bold]")
    console.print(f"target {found.target}, prefer {found.prefer}, {found.macs:,} multiply-accumulates", highlight=False)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_row("part", "bytes", style="dim")
    for what, number in compiling.rows(found.bytes):
        grid.add_row(what, number, style="bold" if what.endswith("in all") else "")
    console.print(grid)
    console.print(found.tested, highlight=False, markup=False)
    for note in found.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}", highlight=False)
