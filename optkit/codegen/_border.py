"""What PAD and PADV2 share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _kernels
from optkit.codegen._writing import Constants, Kernel, Step
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


def lower(node: Node, graph: Graph, constants: Constants, fill: int) -> Step:
    """A border as C.

    Raises:
        InputError: The widths of the border are computed, or do not lead to the output's shape.
    """
    import numpy as np

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
    missing = _AXES - len(given.shape)
    lists = (
        [0] * missing + [row[0] for row in rows],
        [1] * missing + list(given.shape),
        [1] * missing + list(made.shape),
    )
    names = [constants.array(np.array(one, np.int32), "a border") for one in lists]
    return Step(node, (given.index,), f"border({{in0}}, {{out}}, {', '.join(names)}, {fill});", (_KERNEL,))
