"""Windows that move over rows and columns: padding and sizes of convolutions and pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optkit.codegen._writing import Rows
from optkit.errors import InputError
from optkit.tflite_schema import names_of

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node


@dataclass(frozen=True)
class Axis:
    """A window on one axis: ``size`` taps, ``gap`` apart, moved by ``stride``, ``before`` values of padding."""

    length: int
    outputs: int
    size: int
    stride: int
    gap: int
    before: int

    @property
    def reach(self) -> int:
        """From the first tap to the one after the last."""
        return (self.size - 1) * self.gap + 1

    @property
    def padded(self) -> bool:
        """Whether a window reaches beyond the values."""
        return self.before > 0 or (self.outputs - 1) * self.stride - self.before + self.reach > self.length


@dataclass(frozen=True)
class Window:
    """Windows on [1, height, width, channels]."""

    rows: Axis
    columns: Axis
    channels: int

    @property
    def depends(self) -> Rows:
        """Which rows of the input a row of the output needs."""
        return Rows(self.rows.reach, self.rows.stride, self.rows.before)


def window(node: Node, graph: Graph, height: int, width: int) -> Window:
    """The windows of an operator, padded as ``ComputePaddingHeightWidth`` does.

    Args:
        node: An operator with padding, strides and perhaps dilation.
        graph: Its graph.
        height: Taps on the first axis.
        width: Taps on the second.

    Raises:
        InputError: Input or output are not [1, height, width, channels] as the options say.
    """
    given, made, options = graph.input(node), graph.output(node), node.options
    if len(given.shape) != 4 or len(made.shape) != 4 or given.shape[0] != 1:
        raise InputError(
            f"{node.place} works on shape {list(given.shape)}, covered is [1, height, width, channels]; export it at "
            "batch 1"
        )
    same = names_of("Padding").get(options.padding) == "SAME"
    gaps = (getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1))
    axes = [
        _axis(length, size, stride, gap, same=same)
        for length, size, stride, gap in zip(
            given.shape[1:3], (height, width), (options.strideH, options.strideW), gaps, strict=True
        )
    ]
    if (axes[0].outputs, axes[1].outputs) != made.shape[1:3] or min(axes[0].outputs, axes[1].outputs) < 1:
        raise InputError(
            f"{node.place} makes shape {list(made.shape)} of {list(given.shape)}, expected "
            f"{[1, axes[0].outputs, axes[1].outputs, made.shape[3]]}; export the model again"
        )
    return Window(axes[0], axes[1], given.shape[3])


def _axis(length: int, size: int, stride: int, gap: int, *, same: bool) -> Axis:
    if min(size, stride, gap) < 1:
        raise InputError(f"a window of {size} taps with stride {stride} and dilation {gap}; export the model again")
    reach = (size - 1) * gap + 1
    outputs = -(-length // stride) if same else -(-(length - reach + 1) // stride)
    before = max(0, (outputs - 1) * stride + reach - length) // 2 if same else 0
    return Axis(length, outputs, size, stride, gap, before)


def fields(found: Window) -> dict[str, object]:
    """The fields that every kernel with windows has."""
    rows, columns = found.rows, found.columns
    return {
        "h": rows.length,
        "w": columns.length,
        "c": found.channels,
        "out_w": columns.outputs,
        "kh": rows.size,
        "kw": columns.size,
        "sh": rows.stride,
        "sw": columns.stride,
        "dh": rows.gap,
        "dw": columns.gap,
        "top": rows.before,
        "left": columns.before,
    }


def check_small(node: Node, found: Window, outputs: int) -> None:
    """Stop where a size does not fit the fields of the kernels, 16 bits for lengths and 8 for windows.

    Raises:
        InputError: One does not.
    """
    lengths = (found.rows.length, found.columns.length * found.channels, found.columns.outputs, outputs)
    taps = [n for axis in (found.rows, found.columns) for n in (axis.size, axis.stride, axis.gap, axis.before)]
    if max(lengths) > 65535 or max(taps) > 255:
        raise InputError(f"{node.place} has rows or windows too long for a microcontroller: {max(lengths)} values")
