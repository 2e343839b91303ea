"""What operators on single values share: rescaling, and tables of 256 values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels
from optkit.codegen._arithmetic import Multiplier, check_sum, limits, multiplier, table
from optkit.codegen._writing import Constants, Kernel, Rows, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.codegen._graph import Graph, Node, Tensor

_RESCALE_TYPE = Kernel(
    "rescale_t",
    """\
/* From one scale and zero point to others; values below the zero point have a factor of their own. */
typedef struct {
    int32_t value[2];
    int8_t shift[2];
    int16_t given, zero, low, high;
} rescale_t;
""",
)
_RESCALE_BYTES = 20
_RESCALE = """\
KERNEL void {name}(const rescale_t *p, const {given} *x, {made} *out, int count)
{{
    int i;
    for (i = 0; i < count; i++) {{
        const int32_t value = x[i] - p->given;
        const int side = value < 0;
        const int32_t found = scale(value, p->value[side], p->shift[side]) + p->zero;
        out[i] = ({made})(found < p->low ? p->low : found > p->high ? p->high : found);
    }}
}}
"""
_LOOK_UP = Kernel(
    "look_up",
    """\
KERNEL void look_up(const int8_t *table, const int8_t *x, int8_t *out, int count)
{
    int i;
    for (i = 0; i < count; i++) {
        out[i] = table[(uint8_t)x[i]];
    }
}
""",
)
_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t"}
_SHORT = {"int8": "s", "uint8": "u"}


def check_same_size(node: Node, graph: Graph) -> None:
    """Stop where input and output differ in size.

    Raises:
        InputError: They do.
    """
    given, made = graph.input(node), graph.output(node)
    if given.count != made.count:
        raise InputError(f"{node.place} makes {made.count} values of {given.count}; export the model again")


def rescale(
    node: Node,
    graph: Graph,
    constants: Constants,
    factors: tuple[float, float],
    between: tuple[int, int],
) -> Step:
    """Values times a factor, with the zero points taken off before and put on behind.

    Args:
        node: The operator.
        graph: Its graph.
        constants: Where arrays go.
        factors: For values from the zero point up, and for those below.
        between: Lowest and highest value written.
    """
    check_same_size(node, graph)
    given, made = graph.input(node), graph.output(node)
    both: list[Multiplier] = [multiplier(one) for one in factors]
    for one in both:
        check_sum((255 << max(0, one.shift)) + 255, node)
    name = "rescale"
    if (given.dtype, made.dtype) != ("int8", "int8"):
        name = f"rescale_{_SHORT[given.dtype]}{_SHORT[made.dtype]}"
    types = {"given": _C_TYPES[given.dtype], "made": _C_TYPES[made.dtype]}
    kernel = Kernel(name, _RESCALE.format(name=name, **types), (_RESCALE_TYPE, _kernels.SCALE))
    record = constants.record(
        "rescale_t",
        {
            "value": f"{{{both[0].value}, {both[1].value}}}",
            "shift": f"{{{both[0].shift}, {both[1].shift}}}",
            "given": given.zero_point,
            "zero": made.zero_point,
            "low": between[0],
            "high": between[1],
        },
        comment(made.name),
        _RESCALE_BYTES,
    )
    return Step(
        node, (given.index,), f"{name}({record}, {{in0}}, {{out}}, {{count}});", (kernel,), Rows(), overlay=True
    )


def bounded(node: Node, graph: Graph, constants: Constants, real: tuple[float | None, float | None]) -> Step:
    """A ReLU of any kind: its factor is one of float32, see ``ReluPrepare``."""
    _kernels.check_int8(node, graph)
    given, made = graph.input(node), graph.output(node)
    factor = float(np.float32(given.scale / made.scale))
    return rescale(node, graph, constants, (factor, factor), limits(real, made))


def looked_up(node: Node, graph: Graph, constants: Constants, values: np.ndarray) -> Step:
    """Each value by a table, int8 [256]."""
    check_same_size(node, graph)
    label = comment(graph.output(node).name)
    name = constants.array(values, f"{label}: table")
    call = f"look_up({name}, {{in0}}, {{out}}, {{count}});"
    return Step(node, (graph.input(node).index,), call, (_LOOK_UP,), Rows(), overlay=True)


def tabled(node: Node, graph: Graph, constants: Constants, function: Callable[[np.float32], np.float32]) -> Step:
    """A function of one real value, by a table as ``LUTPopulate`` makes it."""
    _kernels.check_int8(node, graph)
    given: Tensor = graph.input(node)
    return looked_up(node, graph, constants, table(function, given, graph.output(node)))
