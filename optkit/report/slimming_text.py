"""What slimming a file did, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.markup import escape
from rich.table import Table

from optkit.quality import Comparison
from optkit.report import screen, wording

if TYPE_CHECKING:
    from rich.console import Console

    from optkit.report.slimming import Merge, Slimming
    from optkit.verify.identity import Identity


def show(slimming: Slimming, *, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print what was saved, by kind, and what was shown of the file's outputs.

    Args:
        slimming: What to show.
        stream: Where to; standard output when ``None``. Colour only where that is a terminal.
        width: Columns; those of the terminal when ``None``, and 104 where there is none.
    """
    screen.show(lambda console: _draw(console, slimming), stream, width)


def _draw(console: Console, found: Slimming) -> None:
    before, after = found.file_bytes_before, found.file_bytes_after
    console.print(f"{escape(found.path)} → [bold]{escape(found.out)}[/bold]")
    share = (
        f" ({100 * (after - before) / before:+.1f} %)" if after != before else ": nothing can be saved, it is a copy"
    )
    console.print(f"[bold]{before:,} → {after:,} bytes[/bold]{share}", highlight=False)
    console.print(f"gzip {found.gzip_bytes_before:,} → {found.gzip_bytes_after:,} bytes", highlight=False)
    if after != before:
        console.print()
        console.print(_saved(found))
    console.print()
    merged = found.merge is not None and found.merge.merged
    console.print(_identical(found.identity, found.data, merged=merged), highlight=False, markup=False)
    if found.merge is not None:
        console.print(_merged(found.merge), highlight=False, markup=False)
    for note in found.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}", highlight=False)


def _saved(found: Slimming) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row("saved", "bytes", style="dim")
    for kind, saved in found.saved_bytes.items():
        if saved:
            grid.add_row(kind, f"{saved:,}")
    if found.merge is not None and found.merge.merged:
        grid.add_row("one scale for each kernel", f"{found.merge.bytes:,}")
    return grid


def _identical(identity: Identity, data: str | None, *, merged: bool) -> str:
    """What was shown, and on what; merged scales come after it."""
    source = f"inputs of {data}" if data and identity.kind == "real" else "generated inputs"
    batches = "" if len(identity.batches) == 1 else f", and at a batch of {identity.batches[-1]}"
    seen = "one output to all of them" if identity.distinct == 1 else f"{identity.distinct:,} different outputs"
    which = "Before its scales were merged, its" if merged else "Its"
    words = (
        f"{which} outputs are the same bit for bit: {identity.inputs:,} {source}{batches}, with "
        f"{' and '.join(identity.kernels)} ({seen})."
    )
    if identity.distinct < 2 <= identity.inputs:
        words += " The file answers the same to all of them, so that this shows little: give --data."
    return words


def _merged(merge: Merge) -> str:
    versus = merge.versus
    on = f"on {merge.examples:,} validation examples"
    if isinstance(versus, Comparison):
        low, high = (100 * one for one in versus.difference_ci95)
        change = f"{versus.lost:,} lost, {versus.gained:,} gained, {low:+.2f} to {high:+.2f} points"
        seen = f"{change}, {versus.verdict} (exact McNemar p = {versus.p_value:.2g})"
    else:
        change = f"mean absolute error {versus.mae_difference:+.3g}"
        seen = f"{change}, {versus.verdict} (paired t test p = {versus.p_value:.2g})"
    if merge.merged:
        return f"With one scale for each kernel, {on}: {seen}; {wording.listed(merge.notes)}."
    return f"Scales were not merged, which would save {merge.bytes:,} bytes: {on}: {seen}."
