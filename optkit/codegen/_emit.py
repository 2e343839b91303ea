"""The C file of a graph: its constants, the kernels that it needs, and one function that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen._writing import Kernel, Step, comment

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph
    from optkit.codegen._plan import Plan
    from optkit.codegen._writing import Prefer

_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "float32": "float"}
_SLIDE = Kernel(
    "slide",
    """\
/* Of rows of a size, from row `first` to before row `made`, keep those from row `wanted` on; where they begin then. */
KERNEL int slide(int8_t *rows, int size, int first, int made, int wanted)
{
    if (wanted > made) {
        wanted = made;
    }
    if (wanted > first) {
        const int8_t *from = rows + (wanted - first) * size;
        const int8_t *end = rows + (made - first) * size;
        while (from < end) {
            *rows++ = *from++;
        }
        first = wanted;
    }
    return first;
}
""",
)
_INLINE = """\
/* Sizes are constants where a kernel is part of its caller. */
#if defined(__GNUC__)
#define KERNEL static inline __attribute__((always_inline))
#else
#define KERNEL static inline
#endif
"""
_SHARED = "#define KERNEL static\n"


def ports(graph: Graph) -> list[tuple[str, str, int]]:
    """The parameters of the function: name, C type, tensor; inputs first."""
    found = []
    for word, indices, qualifier in (("input", graph.inputs, "const "), ("output", graph.outputs, "")):
        for number, index in enumerate(indices):
            name = word if len(indices) == 1 else f"{word}_{number}"
            found.append((name, f"{qualifier}{_C_TYPES[graph.tensors[index].dtype]} *", index))
    return found


def signature(graph: Graph, prefix: str, *, caller_arena: bool) -> str:
    """The function's declaration, without a semicolon."""
    listed = [f"{c_type}{name}" for name, c_type, _ in ports(graph)]
    if caller_arena:
        listed.append("int8_t *arena")
    return f"int {prefix}_invoke({', '.join(listed)})"


def prelude(prefer: Prefer) -> str:
    """What stands at the top of every file."""
    return f"#include <stdint.h>\n\n{_INLINE if prefer == 'speed' else _SHARED}"


def kernels(steps: list[Step], plans: list[Plan]) -> list[Kernel]:
    """All kernels that are needed, each behind what it needs."""
    found: dict[str, Kernel] = {}

    def add(kernel: Kernel) -> None:
        for needed in kernel.needs:
            add(needed)
        found.setdefault(kernel.name, kernel)

    for step in steps:
        for kernel in step.kernels:
            add(kernel)
    if any(len(stage) > 1 for plan in plans for stage in plan.stages):
        add(_SLIDE)
    return list(found.values())


def function(graph: Graph, plan: Plan, prefix: str, *, caller_arena: bool) -> str:
    """The function that runs the network."""
    body = [line for stage in plan.stages for line in _stage(graph, plan, stage)]
    body += _copies(graph, plan)
    lines = []
    if plan.arena and not caller_arena:
        lines.append(f"int8_t arena[{plan.arena}];")
    names = [name for name, _, _ in ports(graph)] + (["arena"] if caller_arena else [])
    checks = " || ".join(f"{name} == 0" for name in names)
    lines += [f"if ({checks}) {{", "    return 1;", "}"]
    lines += [] if plan.arena or not caller_arena else ["(void)arena;"]
    text = "\n".join(f"    {line}" if line else "" for line in [*lines, *body, "return 0;"])
    return f"{signature(graph, prefix, caller_arena=caller_arena)}\n{{\n{text}\n}}\n"


def _place(graph: Graph, plan: Plan, index: int) -> str:
    """Where a tensor's values are, as a C expression."""
    root = plan.roots[index]
    for name, _, port in ports(graph):
        if port == root:
            return name
    buffer = plan.buffers[root]
    return f"arena + {buffer.offset}" if buffer.offset else "arena"


def _copies(graph: Graph, plan: Plan) -> list[str]:
    """Outputs that are inputs, or other outputs, under another name."""
    lines = []
    for name, _, index in ports(graph)[len(graph.inputs) :]:
        source = _place(graph, plan, index)
        if source != name:
            lines += [f"for (int i = 0; i < {graph.tensors[index].count}; i++) {{"]
            lines += [f"    {name}[i] = {source}[i];", "}"]
    return lines


def _row(graph: Graph, index: int) -> int:
    """Values in a row of a tensor."""
    tensor = graph.tensors[index]
    return tensor.count // tensor.shape[1]


def _plus(base: str, number: str, size: int) -> str:
    return f"{base} + {number} * {size}"


def _call(plan: Plan, step: Step, places: dict[str, str]) -> str:
    scratch = plan.scratch.get(step.node.position)
    where = f"arena + {scratch.offset}" if scratch else "0"
    text = step.call
    for key, value in {"scratch": where, **places}.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _stage(graph: Graph, plan: Plan, stage: tuple[Step, ...]) -> list[str]:
    title = ", ".join(f"{step.node.kind} {comment(graph.output(step.node).name)[:60]}".strip() for step in stage)
    if len(stage) > 1:
        return ["", f"/* Row by row: {title} */", *_streamed(graph, plan, stage)]
    step = stage[0]
    places = {f"in{slot}": _place(graph, plan, index) for slot, index in enumerate(step.inputs)}
    made = graph.output(step.node)
    out = _place(graph, plan, made.index)
    if step.rows is None or "{count}" in step.call:
        lines = _call(plan, step, {**places, "out": out, "count": str(made.count)}).split("\n")
        return ["", f"/* {title} */", *(line.strip() for line in lines)]
    places |= {"out": _plus(out, "y", _row(graph, made.index)), "first": "0", "y": "y"}
    return [
        "",
        f"/* {title} */",
        f"for (int y = 0; y < {made.shape[1]}; y++) {{",
        f"    {_call(plan, step, places)}",
        "}",
    ]


def _streamed(graph: Graph, plan: Plan, stage: tuple[Step, ...]) -> list[str]:
    """Loops in loops: the last step asks for its rows, and each step makes those of the step before that it lacks."""
    last = len(stage) - 1
    counters = ", ".join(f"made{at} = 0, first{at} = 0" for at in range(last))
    height = graph.output(stage[last].node).shape[1]
    lines = ["{", f"    int {counters};", f"    for (int y = 0; y < {height}; y++) {{"]
    lines += [f"        {line}" for line in _produce(graph, plan, stage, last, "y")]
    return [*lines, "    }", "}"]


def _produce(graph: Graph, plan: Plan, stage: tuple[Step, ...], at: int, y: str) -> list[str]:
    """Statements that make row ``y`` of a step of a stage."""
    step = stage[at]
    made = graph.output(step.node)
    row = _row(graph, made.index)
    lines: list[str] = []
    places: dict[str, str] = {"y": y, "first": "0", "count": str(row)}
    by_row = "{count}" in step.call
    for slot, index in enumerate(step.inputs):
        whole = _place(graph, plan, index)
        places[f"in{slot}"] = _plus(whole, y, _row(graph, index)) if by_row else whole
    slides: list[str] = []
    if at > 0 and step.rows is not None:
        before = stage[at - 1].node.output
        rows, given = step.rows, _row(graph, before)
        window = _place(graph, plan, before)
        ahead = _sum(f"{y} * {rows.stride}" if rows.stride > 1 else y, rows.height - rows.before)
        lines.append(f"while (made{at - 1} < {graph.tensors[before].shape[1]} && made{at - 1} < {ahead}) {{")
        lines += [f"    {line}" for line in _produce(graph, plan, stage, at - 1, f"made{at - 1}")]
        lines += [f"    made{at - 1}++;", "}"]
        for slot, index in enumerate(step.inputs):
            if index == before:
                places[f"in{slot}"] = f"{window} + ({y} - first{at - 1}) * {given}" if by_row else window
        places["first"] = f"first{at - 1}"
        wanted = _sum(f"({y} + 1) * {rows.stride}" if rows.stride > 1 else f"{y} + 1", -rows.before)
        slides.append(f"first{at - 1} = slide({window}, {given}, first{at - 1}, made{at - 1}, {wanted});")
    out = _place(graph, plan, made.index)
    places["out"] = _plus(out, y, row) if at == len(stage) - 1 else f"{out} + ({y} - first{at}) * {row}"
    return [*lines, _call(plan, step, places), *slides]


def _sum(text: str, number: int) -> str:
    return text if number == 0 else f"{text} {'-' if number < 0 else '+'} {abs(number)}"
