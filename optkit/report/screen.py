"""Draws on the terminal, or on whatever stands for it: width, colour, and characters that it cannot show."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from optkit.errors import without_control

if TYPE_CHECKING:
    from collections.abc import Callable

# With the longest name of the standard set a table takes 100 columns, and 80 without intervals and kB.
FULL_WIDTH = 100
# Where there is no terminal: with room for marks of doubt beside the times.
PLAIN_WIDTH = 104

# What a terminal that cannot show them gets instead.
_PLAIN = {"►": ">", "×": "x", "µ": "u", "–": "-", "─": "-", "−": "-", "’": "'", "→": ">", "±": "+/-", "…": "~"}
_ASCII = str.maketrans(_PLAIN)


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
