"""Layer sensitivity on the terminal and in report.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from optkit.report import screen, sensitivity_words, wording
from optkit.report.markdown_text import escaped, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from optkit.schema import Sensitivity, Variant

# Of a deep network the less sensitive layers that are in int8 are left to the pages.
_MOST_ROWS = 8
_NAME_WIDTH = 14
# Which columns go first where the terminal is narrow, after the layer's name; reasons are for the pages.
_GOES = (0, 1, 0)


def draw(console: Console, variants: Sequence[Variant]) -> None:
    """For each file that has it the most sensitive layers, and what came out."""
    for variant, record in sensitivity_words.measured(variants):
        console.print(_table(console, variant, record))
        colour = "green" if record.within else "yellow"
        sentence = escape(sensitivity_words.sentence(variant, record))
        console.print(f"[{colour}]layers:[/{colour}] {sentence}.\n")


def _table(console: Console, variant: Variant, record: Sensitivity) -> object:
    everything = sensitivity_words.rows(record)
    shown = [row for place, row in enumerate(everything) if place < _MOST_ROWS or record.layers[place].excluded]
    header = sensitivity_words.header(record)
    cells = [header[1:4], *(row[1:4] for row in shown)]
    places = screen.fitting([[escape(cell) for cell in row] for row in cells], _GOES, console.width - 2 - _NAME_WIDTH)
    title = f"{wording.file_name(variant.name, variant.format)}: {sensitivity_words.CAPTION.lower()}"
    drawn = screen.table(escape(title), _NAME_WIDTH, of=header[0])
    for place in places:
        drawn.add_column(escape(cells[0][place]), justify="right", no_wrap=True)
    for row in shown:
        chosen = row[3] != "int8"
        values = [escape(row[1:4][place]) for place in places]
        drawn.add_row("", escape(row[0]), *values, style="bold" if chosen else None)
    more = len(everything) - len(shown)
    if more:
        drawn.add_row("", f"{more} less so", *("" for _ in places), style="dim")
    return drawn


def markdown(variants: Sequence[Variant]) -> list[str]:
    """The section of report.md."""
    parts = []
    for variant, record in sensitivity_words.measured(variants):
        found = [[escaped(cell) for cell in row] for row in sensitivity_words.rows(record)]
        parts += [
            f"### {escaped(wording.file_name(variant.name, variant.format))}",
            f"{escaped(sensitivity_words.sentence(variant, record))}.",
            table(list(map(escaped, sensitivity_words.header(record))), found),
            escaped(sensitivity_words.note(record)),
        ]
    return ["## Which layers lose most when quantized", *parts] if parts else []
