"""ADD and SUB: both sides on a common scale with 20 bits to spare, then on the output's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _kernels, _pairs
from optkit.codegen._arithmetic import activation_range, check_sum, multiplier
from optkit.codegen._writing import Constants, Kernel, Step, comment
from optkit.tflite_schema import names_of

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

_TYPE = Kernel(
    "sum_t",
    """\
typedef struct {
    int32_t value_a, value_b, value;
    int8_t shift_a, shift_b, shift;
    int8_t zero_a, zero_b, zero, low, high;
} sum_t;
""",
)
_BYTES = 20
_SPARE_BITS = 20
_COMPUTE = (
    "const int32_t sum = scale(left * (1 << 20), p->value_a, p->shift_a) {sign} "
    "scale(right * (1 << 20), p->value_b, p->shift_b);\n        "
    "out[i] = clamp(scale(sum, p->value, p->shift) + p->zero, p->low, p->high);"
)


def lower(node: Node, graph: Graph, constants: Constants, name: str, sign: str) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    _kernels.check_int8(node, graph, 2)
    a, b, made = graph.input(node, 0), graph.input(node, 1), graph.output(node)
    # As in the kernel's Prepare: powers of two are exact in float32, so float64 throughout gives the same.
    twice = 2 * max(a.scales[0], b.scales[0])
    factors = [multiplier(one) for one in (a.scales[0] / twice, b.scales[0] / twice)]
    last = multiplier(twice / (2**_SPARE_BITS * made.scales[0]))
    check_sum(((255 << _SPARE_BITS) << max(0, last.shift)) + 128, node)
    low, high = activation_range(node.options.fusedActivationFunction, names_of("ActivationFunctionType"), made, node)
    record = constants.record(
        "sum_t",
        {
            "value_a": factors[0].value,
            "value_b": factors[1].value,
            "value": last.value,
            "shift_a": factors[0].shift,
            "shift_b": factors[1].shift,
            "shift": last.shift,
            "zero_a": a.zero_point,
            "zero_b": b.zero_point,
            "zero": made.zero_point,
            "low": low,
            "high": high,
        },
        comment(made.name),
        _BYTES,
    )
    what = f"Two tensors, a {sign} b."
    return _pairs.lower(
        node,
        graph,
        constants,
        name=name,
        what=what,
        compute=_COMPUTE.format(sign=sign),
        declared=_TYPE,
        record=record,
    )
