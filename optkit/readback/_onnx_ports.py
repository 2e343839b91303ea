"""What an ONNX file's integer inputs and outputs stand for: the operators that take and give them hold the scale."""

from __future__ import annotations

from typing import Any, NamedTuple

# Positions of scale and zero point among an operator's inputs: those of its first input, and of its output.
# From onnx/docs/Operators.md and onnxruntime/docs/ContribOperators.md.
_TAKES = {"DequantizeLinear": (1, 2), "QLinearConv": (1, 2), "QLinearMatMul": (1, 2), "QGemm": (1, 2)}
_GIVES = {"QuantizeLinear": (1, 2), "QLinearConv": (6, 7), "QLinearMatMul": (6, 7), "QGemm": (7, 8)}
# They move values and leave them as they are.
_MOVES = {"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


class Step(NamedTuple):
    """r = scale · (q − zero point); both ``None`` where the file does not tell them, or not by one figure."""

    scale: float | None
    zero_point: int | None


_UNKNOWN = Step(None, None)


def steps(graph: Any) -> dict[str, Step]:
    """The scale and zero point of each input and output of a graph message, by name."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    stored |= {
        node.output[0]: attribute.t
        for node in graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value"
    }
    found = {value.name: _given(value.name, graph, stored) for value in graph.output}
    return found | {value.name: _taken(value.name, graph, stored) for value in graph.input}


def _taken(name: str, graph: Any, stored: dict[str, Any]) -> Step:
    """The step that all users of a tensor agree on."""
    names, seen = {name}, set()
    # Nodes stand in the order of running, so that one pass meets every copy that was moved.
    for node in graph.node:
        if not names & set(node.input):
            continue
        if node.op_type in _MOVES and node.input[0] in names:
            names |= set(node.output)
        else:
            at_first = node.op_type in _TAKES and node.input[0] in names
            seen.add(_step(node, _TAKES[node.op_type], stored) if at_first else _UNKNOWN)
    return seen.pop() if len(seen) == 1 else _UNKNOWN


def _given(name: str, graph: Any, stored: dict[str, Any]) -> Step:
    """The step of the operator that makes a tensor."""
    for node in reversed(graph.node):
        if name not in node.output:
            continue
        if node.op_type in _MOVES:
            name = node.input[0]
        else:
            return _step(node, _GIVES[node.op_type], stored) if node.op_type in _GIVES else _UNKNOWN
    return _UNKNOWN


def _step(node: Any, places: tuple[int, int], stored: dict[str, Any]) -> Step:
    from onnx import numpy_helper

    scale, zero = (node.input[place] if place < len(node.input) else "" for place in places)
    if scale not in stored or (zero and zero not in stored):
        return _UNKNOWN
    wanted = [stored[one] for one in (scale, zero) if one]
    # One step for each channel, or figures that are kept in another file: an input is not read by those.
    if any(one.data_location == one.EXTERNAL or numpy_helper.to_array(one).size != 1 for one in wanted):
        return _UNKNOWN
    scales, *zeros = (numpy_helper.to_array(one).item() for one in wanted)
    return Step(float(scales), int(zeros[0]) if zeros else 0)
