"""What PAD and PADV2 share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels
from optkit.codegen._writing import Constants, Kernel, Rows, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

_AXES = 4
_KERNEL = Kernel(
    "border",
    """\
/* Values with a border: at[axis] is where the values begin, to[axis] the size of the output. */
KERNEL void border(const int8_t *x, int8_t *out, const int32_t *from, const int32_t *size, const int32_t *to, int fill)
{
    int32_t a, b, c, d;
    for (a = -from[0]; a < to[0] - from[0]; a++) {
        for (b = -from[1]; b < to[1] - from[1]; b++) {
            for (c = -from[2]; c < to[2] - from[2]; c++) {
                const int inside = a >= 0 && a < size[0] && b >= 0 && b < size[1] && c >= 0 && c < size[2];
                for (d = -from[3]; d < to[3] - from[3]; d++) {
                    *out++ = (int8_t)(inside && d >= 0 && d < size[3] ? *x++ : fill);
                }
            }
        }
    }
}
""",
)


_ROW_TYPE = Kernel(
    "border_t",
    """\
typedef struct {
    uint16_t h, w, c;
    uint8_t top, left, right, front, back;
    int8_t fill;
} border_t;
""",
)
_ROW_BYTES = 12
_ROW = Kernel(
    "border_row",
    """\
/* Row y of a picture with a border; row `first` of the picture is at x. */
KERNEL void border_row(const border_t *p, const int8_t *x, int first, int y, int8_t *out)
{
    const int row = y - p->top, inside = row >= 0 && row < p->h;
    const int8_t *from = inside ? x + (row - first) * p->w * p->c : x;
    int column, k;
    for (column = -p->left; column < p->w + p->right; column++) {
        const int there = inside && column >= 0 && column < p->w;
        for (k = -p->front; k < p->c + p->back; k++) {
            *out++ = there && k >= 0 && k < p->c ? *from++ : p->fill;
        }
    }
}
""",
    (_ROW_TYPE,),
)


def lower(node: Node, graph: Graph, constants: Constants, fill: int) -> Step:
    """A border as C.

    Raises:
        InputError: The widths of the border are computed, or do not lead to the output's shape.
    """
    _kernels.check_int8(node, graph)
    given, made, widths = graph.input(node), graph.output(node), graph.input(node, 1)
    if (given.scales, given.zero_points) != (made.scales, made.zero_points):
        raise InputError(f"{node.place} has other scales before than behind it; export the model again")
    if widths.values is None or widths.values.shape != (len(given.shape), 2) or len(given.shape) > _AXES:
        raise InputError(f"{node.place} has a border that is computed, or more than {_AXES} axes; export it again")
    rows = widths.values.astype(int).tolist()
    wanted = tuple(size + before + behind for size, (before, behind) in zip(given.shape, rows, strict=True))
    if wanted != made.shape or min(min(row) for row in rows) < 0:
        raise InputError(f"{node.place} makes {list(made.shape)}, expected {list(wanted)}; export the model again")
    if len(rows) == _AXES and given.shape[0] == made.shape[0] == 1 and _small(given.shape, rows):
        (top, _), (left, right), (front, back) = rows[1:]
        fields = {"h": given.shape[1], "w": given.shape[2], "c": given.shape[3], "top": top, "left": left}
        fields |= {"right": right, "front": front, "back": back, "fill": fill}
        record = constants.record("border_t", fields, comment(made.name), _ROW_BYTES)
        call = f"border_row({record}, {{in0}}, {{first}}, {{y}}, {{out}});"
        return Step(node, (given.index,), call, (_ROW,), Rows(1, 1, top))
    missing = _AXES - len(given.shape)
    lists = (
        [0] * missing + [row[0] for row in rows],
        [1] * missing + list(given.shape),
        [1] * missing + list(made.shape),
    )
    names = [constants.array(np.array(one, np.int32), "a border") for one in lists]
    return Step(node, (given.index,), f"border({{in0}}, {{out}}, {', '.join(names)}, {fill});", (_KERNEL,))


def _small(shape: tuple[int, ...], rows: list[list[int]]) -> bool:
    """Whether all sizes fit the fields of the record."""
    return max(shape[1:]) < 2**16 and max(max(row) for row in rows) < 2**8
