"""Quantized .tflite files as plain C99: one module for each operator.

A plug-in defines ``SUMMARY``, ``SOURCE`` (the reference kernel whose outputs it must have to the last bit), ``KIND``
(the operator's name in the schema), ``VERSIONS`` (least and greatest that are covered), ``IGNORED`` (inputs that its
output does not depend on once shapes are fixed) and::

    lower(node, graph, constants) -> Step

which turns one operator into a call of a kernel, or raises ``InputError`` with the operator's place where it has an
option that is not covered. Nothing here runs a model or a compiler.

Source of the arithmetic: TensorFlow Lite's 8-bit quantization specification and its reference kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optkit import registry
from optkit.codegen import _emit, _graph, _plan
from optkit.codegen._writing import Constants, Prefer
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from optkit.codegen._graph import Graph
    from optkit.codegen._plan import Plan
    from optkit.codegen._writing import Step

PREFERENCES: tuple[Prefer, ...] = ("flash", "ram", "speed")
_HEAD = "/* Made by optkit compile: quantized networks as C99, without a heap or variables of their own. */\n"


@dataclass(frozen=True)
class Unit:
    """A C file.

    Attributes:
        text: The file.
        plans: Of each network in it.
        steps: Of each network in it.
        weight_bytes: Of all arrays of weights.
        other_bytes: Of all other constants, on a machine with pointers of 32 bits.
    """

    text: str
    plans: tuple[Plan, ...]
    steps: tuple[tuple[Step, ...], ...]
    weight_bytes: int
    other_bytes: int
    kernels: tuple[str, ...] = field(default=())


def operators() -> dict[str, ModuleType]:
    """The plug-ins by the operator's name in the schema."""
    modules = [registry.load("codegen", name) for name in registry.names("codegen")]
    return {module.KIND: module for module in modules}


def read(data: bytes, subject: object) -> Graph:
    """A .tflite file as a graph that code can be generated for.

    Args:
        data: The file.
        subject: What messages call it.

    Raises:
        InputError: It is damaged, or none of fixed shapes with integer operators that are covered; the operator is
            named.
    """
    covered = operators()
    graph = _graph.read(data, subject, {kind: module.IGNORED for kind, module in covered.items()})
    for node in graph.nodes:
        least, greatest = covered[node.kind].VERSIONS
        if not least <= node.version <= greatest:
            raise InputError(
                f"{subject}: {node.place} is of version {node.version}; covered are versions {least} to {greatest}"
            )
    return graph


def generate(
    graphs: Sequence[tuple[str, Graph]], *, prefer: Prefer = "ram", caller_arena: bool = False, lanes: int = 1
) -> Unit:
    """The C file of one network, or of several that share kernels.

    Args:
        graphs: What begins each network's names, and the network.
        prefer: What to be small or fast in.
        caller_arena: The function takes the memory for activations as its last argument, in place of using the stack.
        lanes: Values that loops are written for at once, see ``_targets.lanes``.

    Raises:
        InputError: An operator has an option that is not covered; it is named.
    """
    covered = operators()
    constants_text, functions, plans, all_steps = [], [], [], []
    weight_bytes = other_bytes = 0
    for prefix, graph in graphs:
        constants = Constants(prefix, prefer, lanes)
        steps = [covered[node.kind].lower(node, graph, constants) for node in graph.nodes]
        found = _plan.plan(graph, steps, prefer)
        constants_text += constants.lines
        functions.append(_emit.function(graph, found, prefix, caller_arena=caller_arena))
        plans.append(found)
        all_steps.append(tuple(steps))
        weight_bytes += constants.weight_bytes
        other_bytes += constants.other_bytes
    kernels = _emit.kernels([step for steps in all_steps for step in steps], plans)
    types = [
        kernel.text
        for kernel in kernels
        if kernel.text.lstrip().startswith(("typedef", "/*")) and "typedef" in kernel.text
    ]
    code = [kernel.text for kernel in kernels if kernel.text not in types]
    text = "\n".join(
        [_HEAD + _emit.prelude(prefer), *types, *code, *(f"{one}\n" for one in constants_text), *functions]
    )
    return Unit(
        text, tuple(plans), tuple(all_steps), weight_bytes, other_bytes, tuple(kernel.name for kernel in kernels)
    )


def header(graph: Graph, unit: Unit, prefix: str, *, caller_arena: bool = False) -> str:
    """The header of a C file with one network."""
    upper = prefix.upper()
    lines = [f"#ifndef {upper}_H", f"#define {upper}_H", "", "#include <stdint.h>", ""]
    for name, _, index in _emit.ports(graph):
        tensor = graph.tensors[index]
        word = f"{upper}_{name.upper()}"
        shape = " x ".join(str(size) for size in tensor.shape)
        lines += [f"/* {tensor.dtype}, {shape} */", f"#define {word}_COUNT {tensor.count}"]
        if tensor.scales:
            from optkit.codegen.quantize import real

            lines += [f"#define {word}_SCALE {real(tensor.scale)}", f"#define {word}_ZERO_POINT ({tensor.zero_point})"]
    lines += [
        f"#define {upper}_ARENA_BYTES {unit.plans[0].arena}",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "/* Runs the network once. Returns 0, and 1 where an argument is null. */",
        f"{_emit.signature(graph, prefix, caller_arena=caller_arena)};",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"
