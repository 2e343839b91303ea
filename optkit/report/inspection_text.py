"""What is in a model file, on the terminal: one line per operator, then the sums and where the bytes are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO

from rich import box
from rich.markup import escape
from rich.table import Table

from optkit.report import screen, wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from optkit.report.inspection import Inspection, Layer, Stored, Tensor

# They carry no arithmetic: a runtime fuses or drops them, and the types of the others tell what they do.
PLUMBING = {"QuantizeLinear", "DequantizeLinear", "QUANTIZE", "DEQUANTIZE", "Cast", "CAST", "Identity"}
_LEGEND = "output: shape for one image. distinct: different weights of a kernel; /ch: the most in any output channel."
_GAP = 2
_SHORTEST_NAME = 22
_LONGEST_KIND = 20
_BAR = 24
_LONG_NAMES = {"scales_and_constants": "scales, constants", "structure": "structure"}


def show(
    inspection: Inspection, *, show_all: bool = False, stream: TextIO | None = None, width: int | None = None
) -> None:
    """Print the account of a file.

    Args:
        inspection: What to show.
        show_all: Also operators that only quantize, dequantize or cast.
        stream: Where to; standard output when ``None``. Colour only where that is a terminal.
        width: Columns; those of the terminal when ``None``, and 104 where there is none.
    """
    screen.show(lambda console: _draw(console, inspection, show_all=show_all), stream, width)


def _draw(console: Console, found: Inspection, *, show_all: bool) -> None:
    console.print(f"[bold]{escape(found.path)}[/bold]  {found.format}, {found.file_bytes:,} bytes", soft_wrap=True)
    if found.sha256:
        console.print(f"sha256 {found.sha256}", style="dim", soft_wrap=True)
    console.print(_ports(found))
    console.print()
    listed = [layer for layer in found.layers if show_all or layer.kind not in PLUMBING]
    if listed:
        console.print(_operators(listed, console.width))
    hidden = len(found.layers) - len(listed)
    if hidden:
        kinds = found.totals.operators_by_kind
        names = wording.listed([f"{count} {kind}" for kind, count in kinds.items() if kind in PLUMBING])
        console.print(f"not listed, the types say what they do: {names} (--all)", style="dim", markup=False)
    if any(_kernel(layer) for layer in listed):
        console.print(_LEGEND, style="dim", markup=False)
    console.print()
    _sums(console, found)
    console.print(_bytes(found))
    if found.metadata or found.signatures:
        console.print()
        console.print(_metadata(found))
    for note in found.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")


def _ports(found: Inspection) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, ports in (("input", found.inputs), ("output", found.outputs)):
        for port in ports:
            grid.add_row(label, escape(_port(port)))
    return grid


def _port(port: Tensor) -> str:
    name = f"{port.name}  " if port.name else ""
    if not port.dtype:
        return port.name
    if port.scale is None:
        return f"{name}{port.dtype} {shape(port.shape)}"
    return f"{name}{port.dtype} {shape(port.shape)}  {_quantized(port)}"


def _quantized(port: Tensor) -> str:
    return wording.MISSING if port.scale is None else f"scale {port.scale:.4g}, zero {port.zero_point}"


def shape(axes: Sequence[int]) -> str:
    """``28×28×1``, a dynamic axis as ``?``; ``scalar`` without axes."""
    return "×".join("?" if axis < 0 else str(axis) for axis in axes) or "scalar"


def short_name(name: str) -> str:
    """A tensor's name as its layer: the first of those that a converter fused, without what all share."""
    first = name.split(";", maxsplit=1)[0]
    while first.startswith("StatefulPartitionedCall/"):
        first = first.removeprefix("StatefulPartitionedCall/")
    return first or name


def _common_prefix(names: Sequence[str]) -> int:
    """Length of the folder-like prefix (``lenet5/``) that all but the last of many names begin with."""
    heads = [name.partition("/")[0] for name in names if "/" in name]
    if len(heads) < 2 or len(set(heads)) != 1:
        return 0
    return len(heads[0]) + 1


class _Column(NamedTuple):
    """A column of the table; the highest ``sacrifice`` is left out first on a narrow terminal, 0 never."""

    header: str
    cells: list[str]
    sacrifice: int
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        return max(map(len, [self.header, *self.cells]))


def _operators(layers: Sequence[Layer], width: int) -> Table:
    names = [short_name(layer.name) for layer in layers]
    cut = _common_prefix(names)
    weights = [_kernel(layer) for layer in layers]
    outputs = [layer.outputs[0] if layer.outputs else None for layer in layers]
    both = list(zip(layers, weights, outputs, strict=True))
    columns = [
        _Column("#", [str(index) for index in range(len(layers))], 5),
        _Column("operator", [_clipped(layer.kind, _LONGEST_KIND) for layer in layers], 0, "left"),
        _Column("name", [name[cut:] if "/" in name else name for name in names], 0, "left"),
        _Column("output", [_output(output) for output in outputs], 0),
        _Column("type", [_types(layer, weight) for layer, weight, _ in both], 2, "left"),
        _Column("MACs", [_macs(layer.macs) for layer in layers], 0),
        _Column("params", [f"{layer.parameters:,}" if layer.parameters else "" for layer in layers], 0),
        _Column("zero %", [_sparsity(weight) for weight in weights], 4),
        _Column("distinct", [_distinct(weight) for weight in weights], 3),
        _Column("weight scales", [_weight_scales(weight) for weight in weights], 7),
        _Column("scale, zero", [_output_scale(output) for output in outputs], 6),
        _Column("bytes", [f"{layer.file_bytes:,}" if layer.file_bytes else "" for layer in layers], 1),
    ]
    columns = [one for one in columns if set(one.cells) - {"", wording.MISSING}]
    while _needed(columns) > width and any(one.sacrifice for one in columns):
        columns.remove(max(columns, key=lambda one: one.sacrifice))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    # What the others leave; the table itself would cut figures.
    room = max(_SHORTEST_NAME // 2, width - _needed(columns) + _SHORTEST_NAME)
    for one in columns:
        table.add_column(one.header, justify=one.justify, no_wrap=True)
    for position, layer in enumerate(layers):
        cells = [escape(_clipped(one.cells[position], room if one.header == "name" else width)) for one in columns]
        table.add_row(*cells, style=None if layer.parameters else "dim")
    return table


def _needed(columns: Sequence[_Column]) -> int:
    """Terminal columns with a name that is cut to what is bearable."""
    wide = sum(_SHORTEST_NAME if one.header == "name" else one.width for one in columns)
    return wide + _GAP * len(columns)


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _output(output: Tensor | None) -> str:
    """Shape for one image: the batch says nothing here."""
    if output is None or not output.shape:
        return wording.MISSING
    batched = len(output.shape) > 1 and output.shape[0] in {1, -1}
    return shape(output.shape[1:] if batched else output.shape)


def _kernel(layer: Layer) -> Stored | None:
    """The largest weight of a layer."""
    weights = [one for one in layer.stored if one.role == "weight"]
    return max(weights, key=lambda one: one.values, default=None)


def _types(layer: Layer, weight: Stored | None) -> str:
    """The type of the result, and that of the weights where it is another."""
    made = layer.outputs[0].dtype if layer.outputs else ""
    if weight is None or weight.dtype == made or not made:
        return made or (weight.dtype if weight else wording.MISSING)
    return f"{weight.dtype}→{made}"


def _macs(macs: int | None) -> str:
    return "?" if macs is None else wording.count(macs) if macs else ""


def _sparsity(weight: Stored | None) -> str:
    return "" if weight is None else f"{100 * weight.sparsity:.1f}"


def _distinct(weight: Stored | None) -> str:
    if weight is None:
        return ""
    if weight.scales > 1 and weight.distinct_per_channel is not None:
        # Per channel the same integer is another number, so only those of a channel can be counted together.
        return f"{weight.distinct_per_channel:,}/ch"
    return f"{weight.distinct:,}"


def _weight_scales(weight: Stored | None) -> str:
    return (
        ""
        if weight is None or weight.scale_range is None
        else (
            f"{weight.scales} × {weight.scale_range[0]:.1e} to {weight.scale_range[1]:.1e}"
            if weight.scales > 1
            else f"{weight.scale_range[0]:.3g}"
        )
    )


def _output_scale(output: Tensor | None) -> str:
    return "" if output is None or output.scale is None else f"{output.scale:.3g}, {output.zero_point}"


def _sums(console: Console, found: Inspection) -> None:
    totals = found.totals
    parts = [f"{totals.operators:,} {'layers' if found.format in _KERAS else 'operators'}"]
    parts.append(f"{totals.parameters:,} parameters")
    if totals.parameters:
        zeros = 1 - totals.nonzero_parameters / totals.parameters
        parts.append(f"{100 * zeros:.1f} % of them 0")
    if totals.macs is not None:
        parts.append(f"{totals.macs:,} multiply-accumulates")
    else:
        parts.append(f"multiply-accumulates not all known (? above), the others {totals.macs_known:,}")
    console.print(f"[bold]{', '.join(parts)}[/bold]")


_KERAS = {"keras", "h5"}


def _bytes(found: Inspection) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True, style="cyan")
    whole = max(1, sum(found.bytes_by_kind.values()))
    for name, count in found.bytes_by_kind.items():
        share = count / whole
        bar = "█" * round(share * _BAR) if count else ""
        grid.add_row(_LONG_NAMES.get(name, name), f"{count:,}", f"{100 * share:.1f} %", bar)
    return grid


def _metadata(found: Inspection) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True, max_width=28, overflow="ellipsis")
    grid.add_column(overflow="fold")
    for key, (ins, outs) in found.signatures.items():
        grid.add_row("signature", escape(f"{key}({', '.join(ins)}) → {', '.join(outs)}"))
    for key, value in found.metadata.items():
        grid.add_row(escape(key), escape(value))
    for name in found.external_files:
        grid.add_row("tensors in", escape(name))
    return grid
