"""A search for a file within limits, on the terminal and in report.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from optkit.report import screen, search_words
from optkit.report.markdown_text import escaped, table

if TYPE_CHECKING:
    from rich.console import Console

    from optkit.search_record import SearchRecord

# Of a long search the files that another one beats are left to the pages.
_MOST_ROWS = 12
_NAME_WIDTH = 14
# Which columns go first where the terminal is narrow, after the file's name.
_GOES = (3, 0, 0, 2, 0)


def draw(console: Console, record: SearchRecord) -> None:
    """The files of the front and the delivered one, each in a line, and what came out."""
    everything = search_words.rows(record)
    shown = [(one, cells) for one, cells in everything if one.on_front or search_words.is_delivered(record, one)]
    if len(everything) <= _MOST_ROWS:
        shown = everything
    cells = [search_words.header(record)[1:], *(row[1:] for _, row in shown)]
    places = screen.fitting([[escape(cell) for cell in row] for row in cells], _GOES, console.width - 2 - _NAME_WIDTH)
    drawn = screen.table("search, judged on validation data", _NAME_WIDTH)
    for place in places:
        drawn.add_column(escape(cells[0][place]), justify="right", no_wrap=True)
    for one, row in shown:
        chosen = search_words.is_delivered(record, one)
        mark = "►" if chosen else ""
        drawn.add_row(
            mark, escape(row[0]), *(escape(row[1:][place]) for place in places), style="bold" if chosen else None
        )
    console.print()
    console.print(drawn)
    more = len(everything) - len(shown)
    if more:
        console.print(
            f"{more} more, each beaten in accuracy and size by one of these, are in report.html.", style="dim"
        )
    console.print()
    colour = "green" if record.met else "yellow"
    console.print(f"[{colour}]search:[/{colour}] {escape(search_words.sentence(record))}")
    for note in search_words.notes(record):
        console.print(escape(note), style="dim")


def markdown(record: SearchRecord | None) -> list[str]:
    """The section of report.md."""
    if record is None:
        return []
    rows = [
        [f"**{escaped(cells[0])}** (delivered)" if search_words.is_delivered(record, one) else escaped(cells[0])]
        + [escaped(cell) for cell in cells[1:]]
        + ["yes" if one.on_front else "", escaped(one.recipe), escaped(one.reason)]
        for one, cells in search_words.rows(record)
    ]
    limits = [f"- {escaped(search_words.limit_words(one))}: {escaped(one.what)}" for one in record.limits]
    left_out = [f"- {escaped(names)}: {escaped(reason)}" for names, reason in search_words.not_made(record)]
    return [
        "## The search",
        escaped(search_words.sentence(record)),
        "\n".join(limits),
        table([*search_words.header(record), "front", "recipe", "failed"], rows),
        *(["Not made in the search:", "\n".join(left_out)] if left_out else []),
        " ".join(escaped(note) for note in search_words.notes(record)),
    ]
