"""What average and maximum pooling share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _kernels, _windows
from optkit.codegen._arithmetic import activation_range
from optkit.codegen._writing import Constants, Kernel, Step, comment
from optkit.errors import InputError
from optkit.tflite_schema import names_of

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

_TYPE = Kernel(
    "pool_t",
    """\
typedef struct {
    uint16_t h, w, c, out_w;
    uint8_t kh, kw, sh, sw, top, left;
    int8_t low, high;
} pool_t;
""",
)
_BYTES = 16
_TEXT = """\
/* Row y of a pooling; row `first` of the input is at x. */
KERNEL void {name}(const pool_t *p, const int8_t *x, int first, int y, int8_t *out)
{{
    const int top = y * p->sh - p->top;
    const int i_from = top < 0 ? 0 : top, i_to = top + p->kh < p->h ? top + p->kh : p->h;
    int column;
    for (column = 0; column < p->out_w; column++) {{
        const int left = column * p->sw - p->left;
        const int j_from = left < 0 ? 0 : left, j_to = left + p->kw < p->w ? left + p->kw : p->w;
        int c;
        for (c = 0; c < p->c; c++) {{
            int32_t found = {start};
            int i;
            for (i = i_from; i < i_to; i++) {{
                int j;
                for (j = j_from; j < j_to; j++) {{
                    const int8_t value = x[((i - first) * p->w + j) * p->c + c];
                    {take}
                }}
            }}
{finish}            *out++ = clamp(found, p->low, p->high);
        }}
    }}
}}
"""


# As above, with channels in the innermost loop: compilers take many at once.
_LANES = """\
KERNEL void {name}_lanes(const pool_t *p, const int8_t *x, int first, int y, int8_t *out)
{{
    const int top = y * p->sh - p->top;
    const int i_from = top < 0 ? 0 : top, i_to = top + p->kh < p->h ? top + p->kh : p->h;
    int column;
    for (column = 0; column < p->out_w; column++) {{
        const int left = column * p->sw - p->left;
        const int j_from = left < 0 ? 0 : left, j_to = left + p->kw < p->w ? left + p->kw : p->w;
        int i, c;
        for (c = 0; c < p->c; c++) {{
            out[c] = -128;
        }}
        for (i = i_from; i < i_to; i++) {{
            int j;
            for (j = j_from; j < j_to; j++) {{
                const int8_t *at = x + ((i - first) * p->w + j) * p->c;
                for (c = 0; c < p->c; c++) {{
                    out[c] = at[c] > out[c] ? at[c] : out[c];
                }}
            }}
        }}
        for (c = 0; c < p->c; c++) {{
            out[c] = out[c] < p->low ? p->low : out[c];
            out[c] = out[c] > p->high ? p->high : out[c];
        }}
        out += p->c;
    }}
}}
"""


def highest_lanes(name: str) -> Kernel:
    """Maximum pooling for machines with wide registers."""
    return Kernel(f"{name}_lanes", _LANES.format(name=name), (_TYPE,))


def kernel(name: str, start: str, take: str, finish: str = "") -> Kernel:
    """A pooling kernel: how a value is taken into ``found``, and what is done with it in the end."""
    return Kernel(name, _TEXT.format(name=name, start=start, take=take, finish=finish), (_TYPE, _kernels.CLAMP))


def lower(node: Node, graph: Graph, constants: Constants, used: Kernel) -> Step:
    """A pooling as C.

    Raises:
        InputError: Input and output have different scales, which the reference kernels do not look at.
    """
    _kernels.check_int8(node, graph)
    given, made, options = graph.input(node), graph.output(node), node.options
    if (given.scales, given.zero_points) != (made.scales, made.zero_points):
        raise InputError(f"{node.place} has other scales before than behind it; export the model again")
    found = _windows.window(node, graph, options.filterHeight, options.filterWidth)
    if made.shape[3] != found.channels:
        raise InputError(f"{node.place} makes {made.shape[3]} channels of {found.channels}; export the model again")
    _windows.check_small(node, found, 0)
    low, high = activation_range(options.fusedActivationFunction, names_of("ActivationFunctionType"), made, node)
    fields = {name: value for name, value in _windows.fields(found).items() if name not in {"dh", "dw"}}
    record = constants.record("pool_t", {**fields, "low": low, "high": high}, comment(made.name), _BYTES)
    return Step(
        node,
        (given.index,),
        f"{used.name}({record}, {{in0}}, {{first}}, {{y}}, {{out}});",
        (used,),
        found.depends,
    )
