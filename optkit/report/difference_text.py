"""How two model files differ, on the terminal: the changed answers, then layer by layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.markup import escape
from rich.table import Table

from optkit.report import screen, wording
from optkit.report.prediction import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from optkit.report.difference import Change, Difference, LayerDifference, Layers

# Below this width the layers' kinds are left out.
_WIDE = 100
_MEANINGS = {
    "better": ("green", "B is measurably better"),
    "worse": ("red", "B is measurably worse"),
    "no measurable difference": ("default", "no measurable difference"),
}


def show(
    difference: Difference,
    *,
    first: int = 10,
    names: Sequence[str] = (),
    stream: TextIO | None = None,
    width: int | None = None,
) -> None:
    """Print how two files differ.

    Args:
        difference: What to show.
        first: How many changed answers are listed.
        names: Names of the classes, where there are some.
        stream: Where to; standard output when ``None``. Colour only where that is a terminal.
        width: Columns; those of the terminal when ``None``, and 104 where there is none.
    """
    screen.show(lambda console: _draw(console, difference, first, names), stream, width)


def _draw(console: Console, found: Difference, first: int, names: Sequence[str]) -> None:
    console.print(_sides(found))
    console.print(f"{found.images:,} test images of {escape(found.data)}", style="dim")
    console.print()
    _answers(console, found, first, names)
    if found.layers is not None:
        console.print()
        _layers(console, found.layers)
    for note in found.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")


def _sides(found: Difference) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(no_wrap=True, justify="right")
    for label, side in (("A", found.a), ("B", found.b)):
        right = "" if side.correct is None else f"{100 * side.correct / found.images:.2f} % right"
        grid.add_row(label, escape(side.path), right)
    return grid


def _answers(console: Console, found: Difference, first: int, names: Sequence[str]) -> None:
    gap = f"mean {found.mean_abs_difference:.2g}, largest {found.max_abs_difference:.2g}"
    if found.a.outputs == "values":
        console.print(f"[bold]{found.changed:,} of {found.images:,} values differ[/bold]: {gap}")
        _values(console, found, first)
        return
    share = 100 * found.changed / found.images
    words = f"[bold]{found.changed:,} of {found.images:,} answers changed ({share:.2f} %)[/bold]"
    if found.versus is not None:
        versus = found.versus
        colour, verdict = _MEANINGS[versus.verdict]
        words += (
            f": B lost {versus.lost:,}, gained {versus.gained:,}; [{colour}]{verdict}[/] (McNemar {_p(versus.p_value)})"
        )
    console.print(words)
    console.print(f"difference of probabilities: {gap}", style="dim", markup=False)
    for said in dict.fromkeys(side.outputs_words for side in (found.a, found.b)):
        if "as the model gives" not in said:
            console.print(said, style="dim", markup=False)
    if found.changes and first:
        console.print()
        console.print(_changes(found.changes[:first], names))
        if len(found.changes) > first:
            console.print(f"and {len(found.changes) - first:,} more (--first, --json)", style="dim")


def _p(value: float) -> str:
    if value < 1e-99:
        return "p < 1e-99"
    return f"p = {value:.2f}" if value >= 0.1 else f"p = {value:.2g}"


def _changes(changes: Sequence[Change], names: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    labelled = any(change.label is not None for change in changes)
    table.add_column("image", justify="right", no_wrap=True)
    if labelled:
        table.add_column("label", justify="right", no_wrap=True)
    for header in ("A says", "B gives it", "B says", "A gives it"):
        table.add_column(header, justify="right", no_wrap=True)
    if labelled:
        table.add_column("", no_wrap=True)

    def name(number: int) -> str:
        return escape(names[number]) if number < len(names) else str(number)

    for change in changes:
        mark = ""
        if change.label is not None:
            lost, gained = change.answer_a == change.label, change.answer_b == change.label
            mark = "[red]lost[/red]" if lost else "[green]gained[/green]" if gained else "both wrong"
        table.add_row(
            str(change.index),
            *([name(change.label) if change.label is not None else ""] if labelled else []),
            f"{name(change.answer_a)} {percent(change.confidence_a)}",
            percent(change.confidence_b_in_a),
            f"{name(change.answer_b)} {percent(change.confidence_b)}",
            percent(change.confidence_a_in_b),
            *([mark] if labelled else []),
        )
    return table


def _values(console: Console, found: Difference, first: int) -> None:
    rows = found.largest_value_changes[:first]
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for header in ("example", "label", "A", "B", "B − A"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        label = wording.MISSING if row.label is None else f"{row.label:.6g}"
        gap = row.value_b - row.value_a
        table.add_row(str(row.index), label, f"{row.value_a:.6g}", f"{row.value_b:.6g}", f"{gap:+.3g}")
    console.print()
    console.print(table)


def _layers(console: Console, layers: Layers) -> None:
    if layers.untold is not None:
        console.print(f"[yellow]layers:[/yellow] {escape(layers.untold)}")
        return
    console.print(f"layer by layer on {layers.images} images, matched by {layers.matched_by}", style="dim")
    console.print(_layer_table(layers, wide=console.width >= _WIDE))
    console.print(
        "SNR: power of A's values over that of the difference. explained: what the layer's inputs and both files' "
        "rounding leave; a layer parts below the limit, or where its kernel is another one.",
        style="dim",
        markup=False,
    )
    if layers.first is None:
        console.print("[bold]No layer parts beyond what the precision of the two files explains.[/bold]")
        return
    row = layers.layers[layers.first]
    kinds = row.kind_a if row.kind_a == row.kind_b else f"{row.kind_a} and {row.kind_b}"
    console.print(
        f"[bold red]They part at {escape(row.name)}[/bold red] ({escape(kinds)}): {escape(layers.reason or '')}."
    )


def _layer_table(layers: Layers, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", width=1, no_wrap=True)
    table.add_column("layer", overflow="ellipsis", no_wrap=True, min_width=12)
    if wide:
        table.add_column("operator", overflow="ellipsis", no_wrap=True, max_width=34)
    for header in ("SNR dB", "explained", "limit"):
        table.add_column(header, justify="right", no_wrap=True)
    compared = any(row.kernels != "not compared" for row in layers.layers)
    if compared:
        table.add_column("kernels", no_wrap=True)
    for position, row in enumerate(layers.layers):
        is_first = position == layers.first
        kinds = row.kind_a if row.kind_a == row.kind_b else f"{row.kind_a}, {row.kind_b}"
        cells = [
            "►" if is_first else "",
            escape(row.name),
            *([escape(kinds)] if wide else []),
            _snr(row),
            _whole(row.explained_db),
            _whole(row.limit_db),
            *([_kernels(row)] if compared else []),
        ]
        table.add_row(*cells, style="bold red" if is_first else "yellow" if row.parts else None)
    return table


def _snr(row: LayerDifference) -> str:
    if row.snr_db is None:
        return "equal"
    # No "-0.0".
    return f"{round(row.snr_db, 1) + 0.0:.1f}" if math.isfinite(row.snr_db) else "none"


def _whole(decibels: float) -> str:
    return f"{round(decibels)}" if math.isfinite(decibels) else "none"


def _kernels(row: LayerDifference) -> str:
    if row.kernels == "not compared":
        return ""
    if row.kernels == "different" and row.kernel_db is not None:
        return f"different, {row.kernel_db:.0f} dB"
    return row.kernels
