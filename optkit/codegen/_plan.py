"""Where every activation lies: one arena, in place where an operator allows it, rows streamed where that is smaller.

Steps that follow each other row by row can be one *stage*: a row is made as soon as the rows that it needs are there,
and between two steps only a window of rows is kept. A stage of one step makes its whole output at once.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optkit.codegen._graph import Graph
    from optkit.codegen._writing import Prefer, Step

# Up to this many links all combinations of streamed and not are tried.
_MOST_LINKS = 10
_ROW_AXES = 4


@dataclass(frozen=True)
class Buffer:
    """A stretch of the arena, or a demand for one.

    Attributes:
        owner: A tensor's index, or -1 for an operator's own scratch.
        size: Bytes.
        first: Stage from which on it is used.
        last: Last stage that uses it.
        rows: Rows of the tensor that it holds, 0 for all of it.
        offset: Where it lies.
        stage: Of scratch: the position of the operator.
    """

    owner: int
    size: int
    first: int
    last: int
    rows: int = 0
    offset: int = 0
    stage: int = -1


@dataclass(frozen=True)
class Plan:
    """The stages, in the order in which they run, and where everything lies.

    Attributes:
        stages: Steps that run row by row with each other.
        buffers: What lies in the arena, by tensor.
        scratch: What lies in it, by the position of the operator that needs it.
        arena: Bytes of the arena.
        roots: For each tensor the one whose values it is under another shape or in the same place.
    """

    stages: tuple[tuple[Step, ...], ...]
    buffers: dict[int, Buffer]
    scratch: dict[int, Buffer]
    arena: int
    roots: dict[int, int]


def plan(graph: Graph, steps: list[Step], prefer: Prefer) -> Plan:
    """Lay out the activations of a graph.

    Args:
        graph: The graph.
        steps: Its operators, in the order in which they run.
        prefer: ``ram`` streams rows wherever that makes the arena smaller; the others never do, which is less code.
    """
    working = [step for step in steps if not step.alias]
    roots = _roots(graph, steps)
    links = _links(graph, working, roots)
    if prefer != "ram":
        return _laid_out(graph, working, roots, frozenset())
    best = _laid_out(graph, working, roots, frozenset())
    for chosen in _choices(links):
        found = _laid_out(graph, working, roots, chosen)
        if found.arena < best.arena:
            best = found
    return best if len(links) <= _MOST_LINKS else _improved(graph, working, roots, links, best)


def _choices(links: list[int]) -> Iterable[frozenset[int]]:
    """Sets of links to stream, the smaller first; of many links, none or all or each pair of neighbours."""
    if len(links) <= _MOST_LINKS:
        for count in range(1, len(links) + 1):
            yield from (frozenset(one) for one in itertools.combinations(links, count))
    else:
        yield frozenset(links)


def _improved(graph: Graph, steps: list[Step], roots: dict[int, int], links: list[int], best: Plan) -> Plan:
    """Turn single links on and off as long as that helps."""
    chosen = frozenset(links) if any(len(stage) > 1 for stage in best.stages) else frozenset()
    improved = True
    while improved:
        improved = False
        for link in links:
            found = _laid_out(graph, steps, roots, chosen ^ {link})
            if found.arena < best.arena:
                best, chosen, improved = found, chosen ^ {link}, True
    return best


def _roots(graph: Graph, steps: list[Step]) -> dict[int, int]:
    """Each tensor's own index, or that of the tensor whose values it is under another shape.

    Values that are an output of the graph belong to the output.
    """
    roots = {tensor.index: tensor.index for tensor in graph.tensors}
    for step in steps:
        if step.alias:
            roots[step.node.output] = roots[step.inputs[0]]
    for output in graph.outputs:
        root = roots[output]
        if root not in graph.inputs and root not in graph.outputs:
            roots = {index: output if one == root else one for index, one in roots.items()}
    return roots


def _links(graph: Graph, steps: list[Step], roots: dict[int, int]) -> list[int]:
    """Positions in the list of steps whose rows can go straight into the next step."""
    outside = {roots[index] for index in graph.outputs}
    found = []
    for at, (step, following) in enumerate(itertools.pairwise(steps)):
        made = graph.tensors[step.node.output]
        users = [one for one in steps if made.index in [*one.inputs] or roots[made.index] in _read(one, roots)]
        shapes = [graph.tensors[index].shape for index in (*following.inputs, following.node.output)]
        if (
            step.rows is not None
            and following.rows is not None
            and users == [following]
            and roots[made.index] not in outside
            and made.index in following.inputs
            and all(len(shape) == _ROW_AXES and shape[0] == 1 for shape in (made.shape, *shapes))
            and len(graph.tensors[step.inputs[0]].shape) == _ROW_AXES
        ):
            found.append(at)
    return found


def _read(step: Step, roots: dict[int, int]) -> list[int]:
    return [roots[index] for index in step.inputs]


def _laid_out(graph: Graph, steps: list[Step], roots: dict[int, int], streamed: frozenset[int]) -> Plan:
    """A plan with these links streamed."""
    stages: list[list[Step]] = []
    for at, step in enumerate(steps):
        if at - 1 in streamed:
            stages[-1].append(step)
        else:
            stages.append([step])
    demands, shared = _demands(graph, stages, roots)
    scratch = {
        step.node.position: Buffer(-1, step.scratch, number, number, stage=step.node.position)
        for number, stage in enumerate(stages)
        for step in stage
        if step.scratch
    }
    placed, arena = _placed([*demands.values(), *scratch.values()])
    return Plan(
        tuple(tuple(stage) for stage in stages),
        {root: placed[demand] for root, demand in demands.items()},
        {position: placed[demand] for position, demand in scratch.items()},
        arena,
        shared,
    )


def _demands(graph: Graph, stages: list[list[Step]], roots: dict[int, int]) -> tuple[dict[int, Buffer], dict[int, int]]:
    """What each tensor needs of the arena, and the roots, in which tensors that are made in place are one."""
    outside = {*graph.inputs, *(roots[index] for index in graph.outputs)}
    last_use = {root: number for number, stage in enumerate(stages) for step in stage for root in _read(step, roots)}
    shared = dict(roots)
    demands: dict[int, Buffer] = {}
    for number, stage in enumerate(stages):
        for step, user in zip(stage, [*stage[1:], None], strict=True):
            made = graph.tensors[step.node.output]
            root = shared[made.index]
            if root in outside:
                continue
            if made.dtype == "float32":
                raise InputError(f"{step.node.place} makes float32 values inside the network; export it as int8")
            last = max(last_use.get(root, number), number)
            given = shared[step.inputs[0]] if step.overlay and len(stage) == 1 else -1
            if user is not None:
                rows = window_rows(graph, step, user)
                demands[root] = Buffer(made.index, rows * (made.size // made.shape[1]), number, number, rows)
            elif given in demands and last_use[given] == number and demands[given].size == made.size:
                # In place: nothing else reads the input later, and it lies in the arena as a whole.
                demands[given] = dataclasses.replace(demands[given], last=last)
                last_use[given] = last
                shared = {index: given if one == root else one for index, one in shared.items()}
            else:
                demands[root] = Buffer(made.index, made.size, number, last)
    return demands, shared


def window_rows(graph: Graph, maker: Step, user: Step) -> int:
    """Rows that must be kept between two steps of a stage: what ``slide`` in the generated code leaves at most."""
    rows, height = user.rows, graph.tensors[maker.node.output].shape[1]
    outputs = graph.tensors[user.node.output].shape[1]
    if rows is None:
        raise InputError(f"{user.node.place} does not work row by row")
    most, first, made = 0, 0, 0
    for y in range(outputs):
        made = max(made, min(height, y * rows.stride - rows.before + rows.height))
        most = max(most, made - first)
        first = max(first, min(made, (y + 1) * rows.stride - rows.before))
    return most


def _placed(demands: list[Buffer]) -> tuple[dict[Buffer, Buffer], int]:
    """Give each demand a place, so that none that are used at the same time overlap: the best of a few orders."""
    orders = (
        lambda one: (-one.size, one.first),
        lambda one: (one.first, -one.size),
        lambda one: (-(one.last - one.first), -one.size),
        lambda one: (-one.size * (one.last - one.first + 1), one.first),
    )
    best: tuple[dict[Buffer, Buffer], int] | None = None
    for order in orders:
        found: dict[Buffer, Buffer] = {}
        for demand in sorted(demands, key=order):
            near = sorted(
                (one.offset, one.size)
                for one in found.values()
                if one.first <= demand.last and demand.first <= one.last
            )
            offset = 0
            for start, size in near:
                if start - offset >= demand.size:
                    break
                offset = max(offset, start + size)
            found[demand] = dataclasses.replace(demand, offset=offset)
        arena = max((one.offset + one.size for one in found.values()), default=0)
        if best is None or arena < best[1]:
            best = (found, arena)
    return best or ({}, 0)
