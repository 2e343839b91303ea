"""ONNX Runtime's profile, and which operators of the file each node in it stands for.

ONNX Runtime changes the graph before it runs it: it fuses, reorders and renames. A node that ran is joined to the file
by the weights that it reads, else by its name, else by the tensors that it makes. What cannot be joined so is not
guessed: it keeps a line of its own, without a time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.readback import _onnx_graph as graphs
from optkit.runtimes import _operators
from optkit.schema import OperatorFigures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optkit.readback import ModelFacts

_EVENT = "_kernel_time"
# Their events enclose those of the nodes inside of them.
_RUN_OTHERS = {"If", "Loop", "Scan", "SequenceMap"}
# What ONNX Runtime puts between nodes to change a tensor's type or order: never the place of a file's arithmetic.
_MOVES = {
    "Cast",
    "DequantizeLinear",
    "Flatten",
    "Identity",
    "QuantizeLinear",
    "ReorderInput",
    "ReorderOutput",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}
_PRODUCTS = ("MatMul", "Gemm")
# Names that ONNX Runtime gives to nodes and tensors that it makes of one called NAME: "fused NAME", "NAME_nchwc",
# "InsertedPrecisionFreeCast_NAME", "FusedBack_NAME"; with "_token_7" behind it where that name was taken.
_GIVEN = re.compile(
    r"^(?:fused )?(?:InsertedPrecisionFreeCast_|FusedBack_)?(.*?)(?:_nchwc)?(?:_token_\d+)?$", re.DOTALL
)


class Node(NamedTuple):
    """A node that ran; the tensors are those of the optimized graph, empty where it is not known there."""

    kind: str
    name: str
    mean_us: float
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def times(trace: list[dict[str, Any]], warm_up_runs: int) -> list[Node]:
    """Mean time per call of each node in a profile, in the order of running.

    Args:
        trace: The profile: events with ``cat``, ``name``, ``ts`` and ``dur`` in µs, and ``args``.
        warm_up_runs: Calls at the start that do not count.
    """
    starts = sorted(event["ts"] for event in trace if event["cat"] == "Session" and event["name"] == "model_run")
    starts = starts[warm_up_runs:]
    spent: dict[tuple[str, str], float] = defaultdict(float)
    for event in _outermost(trace):
        if event["ts"] >= starts[0]:
            spent[event["args"]["op_name"], event["name"].removesuffix(_EVENT)] += event["dur"]
    return [Node(kind, name, total / len(starts)) for (kind, name), total in spent.items()]


def _outermost(trace: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Events of nodes that are not run by another node, in the order of time."""
    events = [event for event in trace if event["cat"] == "Node" and event["name"].endswith(_EVENT)]
    covered = -1
    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        end = event["ts"] + event["dur"]
        if end <= covered:
            continue
        if event["args"]["op_name"] in _RUN_OTHERS:
            covered = end
        yield event


def with_tensors(ran: list[Node], graph: Any) -> list[Node]:
    """The nodes with what the optimized graph (an ONNX message) says of them: domain, own name and tensors.

    A node without a name is called by its type and a number in the profile, so that only the order tells which one it
    is. Where the order differs, only nodes with a name that no other has are joined.
    """
    written = list(graph.node)
    if len(written) == len(ran) and all(_may_be(node, seen) for node, seen in zip(written, ran, strict=True)):
        pairs = list(zip(ran, written, strict=True))
    else:
        named = _alone((node.name, node) for node in written if node.name)
        pairs = [(seen, named.get(seen.name)) for seen in ran]
    return [seen if node is None else _described(seen, node) for seen, node in pairs]


def _may_be(node: Any, seen: Node) -> bool:
    return bool(node.op_type == seen.kind and node.name in {"", seen.name})


def _described(seen: Node, node: Any) -> Node:
    name = node.name or next(iter(node.output), "")
    return Node(graphs.kind(node), name, seen.mean_us, tuple(node.input), tuple(node.output))


def file_graph(path: Path) -> graphs.Graph:
    """The graph of the file itself, its nodes in the order of ``ModelFacts.operators``."""
    import onnx

    return graphs.index(onnx.load(path, load_external_data=False))


def figures(ran: list[Node], file: ModelFacts, graph: graphs.Graph) -> list[OperatorFigures]:
    """The nodes that ran, with the arithmetic and weights of the file's operators that they stand for.

    Operators of the file with arithmetic or weights that no node could be shown to stand for follow at the end without
    a time; nodes that may have done their arithmetic then have ``None`` for it. So all lines together have the
    multiply-accumulates and the bytes of the file.
    """
    stored = _operators.weight_bytes(file)
    wanted = [index for index, operator in enumerate(file.operators) if operator.macs != 0 or stored[index]]
    owner = _owners(wanted, ran, file, graph)
    lost = [index for index in wanted if index not in owner]
    lines = []
    for position, node in enumerate(ran):
        mine = [index for index in wanted if owner.get(index) == position]
        macs: int | None = 0
        if any(file.operators[index].macs is None for index in mine) or (lost and not mine and _may_compute(node)):
            macs = None
        else:
            macs = sum(file.operators[index].macs or 0 for index in mine)
        weights = sum(stored[index] for index in mine)
        lines.append(OperatorFigures(node.kind, node.name, macs, weights, node.mean_us))
    return lines + [_operators.untimed(file.operators[index], stored[index]) for index in lost]


def _owners(wanted: list[int], ran: list[Node], file: ModelFacts, graph: graphs.Graph) -> dict[int, int]:
    """Index of an operator of the file → index of the node that does its work."""
    by_tensor: dict[str, set[int]] = defaultdict(set)
    for position, node in enumerate(ran):
        for name in node.inputs:
            by_tensor[name].add(position)
            by_tensor[_file_name(name)].add(position)
    by_name = _alone((_file_name(node.name), position) for position, node in enumerate(ran))
    by_name |= _alone((node.name, position) for position, node in enumerate(ran))
    # Later ones count more: a tensor's own name says more than one made of it.
    makers = {_file_name(name): position for position, node in enumerate(ran) for name in node.outputs}
    makers |= {_file_name(node.name): position for position, node in enumerate(ran) if "_nchwc" in node.name}
    makers |= {name: position for position, node in enumerate(ran) for name in node.outputs}
    readers: dict[int, set[int]] = defaultdict(set)
    for constant in file.constants:
        if constant.role == "weight":
            readers[constant.operator].update(by_tensor[constant.name])
    # A name that two operators of the file have says nothing.
    single = _alone((operator.name, index) for index, operator in enumerate(file.operators))
    owner = {}
    for index in wanted:
        operator = file.operators[index]
        found = list(readers[index]) if len(readers[index]) == 1 else []
        if operator.name in by_name and operator.name in single:
            found.append(by_name[operator.name])
        found += _maker_after(graph.nodes[index], ran, makers, graph)
        fitting = [one for one in found if _family(ran[one].kind) == _family(operator.kind)]
        if fitting:
            owner[index] = fitting[0]
    return owner


def _maker_after(node: Any, ran: list[Node], makers: dict[str, int], graph: graphs.Graph) -> list[int]:
    """The node that makes the first tensor after an operator of the file which is still there after optimization."""
    while node.output:
        name = node.output[0]
        if name in makers:
            return _before_moves(makers[name], ran, makers)
        users = graph.users.get(name, [])
        # Past another operator with arithmetic the tensor would be that one's.
        if len(users) != 1 or graphs.kind(users[0]) in graphs.SLOTS:
            break
        node = users[0]
    return []


def _before_moves(position: int, ran: list[Node], makers: dict[str, int]) -> list[int]:
    """The node whose result reaches this one, through nodes that only move or convert it."""
    for _ in ran:
        if ran[position].kind.rpartition(":")[2] not in _MOVES:
            return [position]
        before = makers.get(next(iter(ran[position].inputs), ""))
        if before is None:
            break
        position = before
    return []


def _family(kind: str) -> str:
    """What an operator computes, whatever it is fused with: ``Conv`` for QLinearConv, ``product`` for FusedGemm."""
    name = kind.rpartition(":")[2]
    if any(word in name for word in _PRODUCTS):
        return "product"
    return "Conv" if "Conv" in name else name


def _may_compute(node: Node) -> bool:
    name = node.kind.rpartition(":")[2]
    return name not in _MOVES and (_family(node.kind) in {"Conv", "product"} or ":" in node.kind)


def _file_name(name: str) -> str:
    """The name in the file that ONNX Runtime made this name of."""
    match = _GIVEN.match(name)
    return match.group(1) if match else name


def _alone(pairs: Any) -> dict[str, Any]:
    """A dictionary of the pairs whose key occurs once."""
    found: dict[str, list[Any]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return {key: values[0] for key, values in found.items() if len(values) == 1}
