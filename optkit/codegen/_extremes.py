"""What MAXIMUM and MINIMUM share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _kernels, _pairs
from optkit.codegen._writing import Constants, Kernel, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

_TYPE = Kernel(
    "offsets_t",
    """\
typedef struct {
    int8_t zero_a, zero_b;
} offsets_t;
""",
)


def lower(node: Node, graph: Graph, constants: Constants, name: str, sign: str) -> Step:
    """The operator as C.

    Raises:
        InputError: Scales differ, which the reference kernels do not look at.
    """
    _kernels.check_int8(node, graph, 2)
    made = graph.output(node)
    for tensor in (graph.input(node, 0), graph.input(node, 1)):
        if (tensor.scales, tensor.zero_points) != (made.scales, made.zero_points):
            raise InputError(f"{node.place} has other scales before than behind it; export the model again")
    return _pairs.lower(
        node,
        graph,
        constants,
        name=name,
        what=f"Of two tensors the value that is {sign} the other.",
        compute=f"out[i] = (int8_t)(left {sign} right ? left : right);",
        declared=_TYPE,
        record=constants.record("offsets_t", {"zero_a": 0, "zero_b": 0}, comment(made.name), 2),
        rounds=False,
    )
