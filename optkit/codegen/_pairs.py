"""What operators on two tensors share: which value meets which, and constants among the two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels
from optkit.codegen._writing import Constants, Kernel, Rows, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node, Tensor

# Broadcasting works on this many axes.
_AXES = 4
_TEXT = """\
/* {what} */
KERNEL void {name}(const {record} *p, const int8_t *a, const int8_t *b, int8_t *out, int count)
{{
    int i;
    for (i = 0; i < count; i++) {{
        const int32_t left = a[i] - p->zero_a, right = b[i] - p->zero_b;
        {compute}
    }}
}}
"""
_WIDE = """\
/* {what}; a value may meet many. */
KERNEL void {name}_wide(const {record} *p, const int32_t *size, const int32_t *by_a, const int32_t *by_b,
    const int8_t *a, const int8_t *b, int8_t *out)
{{
    int32_t i, count = size[0] * size[1] * size[2] * size[3];
    for (i = 0; i < count; i++) {{
        int32_t rest = i, at_a = 0, at_b = 0;
        int axis;
        for (axis = 3; axis >= 0; axis--) {{
            at_a += rest % size[axis] * by_a[axis];
            at_b += rest % size[axis] * by_b[axis];
            rest /= size[axis];
        }}
        {{
            const int32_t left = a[at_a] - p->zero_a, right = b[at_b] - p->zero_b;
            {compute}
        }}
    }}
}}
"""


def lower(
    node: Node,
    graph: Graph,
    constants: Constants,
    *,
    name: str,
    what: str,
    compute: str,
    declared: Kernel,
    record: str,
    rounds: bool = True,
) -> Step:
    """An operator on two int8 tensors as C.

    Args:
        node: The operator.
        graph: Its graph.
        constants: Where arrays go.
        name: The kernel's.
        what: It does, for a comment.
        compute: A statement that sets ``out[i]`` from ``left`` and ``right``, from which zero points are taken off.
        declared: The type of its record, which begins with ``zero_a`` and ``zero_b``.
        record: The address of the record.
        rounds: Whether the statement uses ``scale`` and ``clamp``.
    """
    _kernels.check_int8(node, graph, 2)
    made = graph.output(node)
    sides = (graph.input(node, 0), graph.input(node, 1))
    needs = (declared, _kernels.SCALE, _kernels.CLAMP) if rounds else (declared,)
    words = {"what": what, "name": name, "record": declared.name, "compute": compute}
    given: list[int] = []
    shown: list[str] = []
    for tensor in sides:
        if tensor.values is not None:
            shown.append(constants.array(tensor.values, comment(tensor.name)))
        else:
            shown.append(f"{{in{len(given)}}}")
            given.append(tensor.index)
    if not given:
        raise InputError(f"{node.place} computes a constant; export the model again")
    if all(tensor.shape == made.shape for tensor in sides):
        kernel = Kernel(name, _TEXT.format(**words), needs)
        call = f"{name}({record}, {shown[0]}, {shown[1]}, {{out}}, {{count}});"
        rows = Rows() if len(given) == 2 or sides[0] is sides[1] else None
        return Step(node, tuple(given), call, (kernel,), rows, overlay=True)
    size = (*(1,) * (_AXES - len(made.shape)), *made.shape)
    if len(size) > _AXES:
        raise InputError(f"{node.place} works on {len(made.shape)} axes; covered are {_AXES}")
    steps = [_steps(tensor, made, node) for tensor in sides]
    names = [_numbers(constants, values, made) for values in (list(size), *steps)]
    kernel = Kernel(f"{name}_wide", _WIDE.format(**words), needs)
    call = f"{name}_wide({record}, {', '.join(names)}, {shown[0]}, {shown[1]}, {{out}});"
    return Step(node, tuple(given), call, (kernel,))


def _numbers(constants: Constants, values: list[int], made: Tensor) -> str:
    return constants.array(np.array(values, np.int32), f"{comment(made.name)}: axes")


def _steps(tensor: Tensor, made: Tensor, node: Node) -> list[int]:
    """By how much the place in a tensor grows with each axis of the output, 0 where it has one value for all."""
    shape = (*(1,) * (_AXES - len(tensor.shape)), *tensor.shape)
    wanted = (*(1,) * (_AXES - len(made.shape)), *made.shape)
    found, step = [], 1
    for axis in range(_AXES - 1, -1, -1):
        if shape[axis] not in {1, wanted[axis]}:
            raise InputError(f"{node.place} cannot make {list(made.shape)} of {list(tensor.shape)}; export it again")
        found.append(step if shape[axis] > 1 else 0)
        step *= shape[axis]
    return found[::-1]
