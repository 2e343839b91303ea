"""Draws on the terminal, or on whatever stands for it: width, colour, and characters that it cannot show."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optkit.errors import without_control

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Where there is no terminal: with room for marks of doubt beside the times.
PLAIN_WIDTH = 104

# What a terminal that cannot show them gets instead.
_PLAIN = {"►": ">", "×": "x", "µ": "u", "–": "-", "─": "-", "−": "-", "’": "'", "→": ">", "±": "+/-", "…": "~"}
_ASCII = str.maketrans(_PLAIN)


def table(title: str, name_width: int, *, of: str = "file") -> Table:
    """An empty table with a column for a mark, and one for the name of a file (or else), which alone may be broken."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    made.show_edge = False
    made.padding = 0
    made.add_column("", width=1)
    made.add_column(of, overflow="fold", min_width=name_width)
    return made


def fitting(rows: Sequence[Sequence[str]], goes: Sequence[int], room: int) -> list[int]:
    """Which columns a table has room for, so that none is cut: one that is too wide leaves its room to others.

    Args:
        rows: Cells (markup) of all columns, the headings among them.
        goes: Which go first: those with the highest numbers, those with 0 never.
        room: Columns of the terminal, without what stands to the left.
    """
    lines = [[max(map(cell_len, Text.from_markup(cell).plain.split("\n"))) for cell in row] for row in rows]
    # One column of the terminal stands between two of the table.
    widths = [1 + max(cells) for cells in zip(*lines, strict=True)]
    shown: list[int] = []
    for place in sorted(range(len(goes)), key=lambda place: goes[place]):
        if not goes[place] or sum(widths[one] for one in (*shown, place)) <= room:
            shown.append(place)
    return sorted(shown)


def show(draw: Callable[[Console], object], stream: TextIO | None = None, width: int | None = None) -> None:
    """Let ``draw`` print on a console, and send what it printed to the stream.

    Args:
        draw: Prints.
        stream: Where to; standard output when ``None``. Colour only where that is a terminal.
        width: Columns; those of the terminal when ``None``, and 104 where there is none.
    """
    stream = sys.stdout if stream is None else stream
    if stream is None:
        # Standard output is closed: nobody is there to read.
        return
    outside = Console(file=stream)
    columns = width or (outside.width if outside.is_terminal else PLAIN_WIDTH)
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
    draw(console)
    # By line breaks alone: splitlines() would take control characters in names for line breaks.
    drawn = without_control(buffer.getvalue()).removesuffix("\n")
    text = "".join(f"{line.rstrip()}\n" for line in drawn.split("\n")) if drawn else ""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if not encoding.lower().startswith("utf"):
        text = text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    stream.write(text)
    stream.flush()
