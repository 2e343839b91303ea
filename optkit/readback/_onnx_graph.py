"""The graph of an ONNX file: who makes and uses each tensor, which ones are kernels, and the arithmetic."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple


class Slots(NamedTuple):
    """Input positions of an operator with a kernel: data, kernel, bias, the kernel's scale and zero point."""

    data: int
    kernel: int
    bias: int | None
    scale: int | None
    zero_point: int | None


# From the operators' pages: onnx/docs/Operators.md and onnxruntime/docs/ContribOperators.md.
SLOTS: dict[str, Slots] = {
    "Conv": Slots(0, 1, 2, None, None),
    "ConvTranspose": Slots(0, 1, 2, None, None),
    "ConvInteger": Slots(0, 1, None, None, 3),
    "QLinearConv": Slots(0, 3, 8, 4, 5),
    "Gemm": Slots(0, 1, 2, None, None),
    "MatMul": Slots(0, 1, None, None, None),
    "MatMulInteger": Slots(0, 1, None, None, 3),
    "QLinearMatMul": Slots(0, 3, None, 4, 5),
    "com.microsoft:FusedConv": Slots(0, 1, 2, None, None),
    "com.microsoft:FusedGemm": Slots(0, 1, 2, None, None),
    "com.microsoft:FusedMatMul": Slots(0, 1, None, None, None),
    "com.microsoft:QGemm": Slots(0, 3, 6, 4, 5),
    "com.microsoft:DynamicQuantizeMatMul": Slots(0, 1, 4, 2, 3),
    "com.microsoft:MatMulIntegerToFloat": Slots(0, 1, 6, 3, 5),
}
_CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv", "com.microsoft:FusedConv"}
# Operators that multiply and accumulate in a way that is not counted here, or that run other operators.
_UNCOUNTED = {"DFT", "DeformConv", "Einsum", "GRU", "If", "LSTM", "Loop", "RNN", "Scan", "Attention"}
# A stored kernel reaches its operator through these, by their first input.
_RESHAPES = {"Reshape", "Squeeze", "Unsqueeze"}
_PASSED_THROUGH = {"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Transpose"} | _RESHAPES
# What stands between a product and the Add of its bias (Mul: the scale of a dynamically quantized product).
_BEFORE_BIAS = _PASSED_THROUGH | {"Mul"}
_LONGEST_CHAIN = 8


@dataclass(frozen=True)
class Graph:
    """An indexed graph; ``shapes`` are those at batch 1."""

    nodes: list[Any]
    stored: dict[str, Any]
    producers: dict[str, Any]
    users: dict[str, list[Any]]
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]
    outputs: set[str]


def type_name(code: int) -> str:
    """An ONNX element type in numpy's words (``float32``, ``int8``, ``int4``), ``unknown`` for one that it has not."""
    from onnx import TensorProto

    if code not in TensorProto.DataType.values():
        # Of a stored tensor it is refused when its values are read; a declaration is a mere note.
        return "unknown"
    name: str = TensorProto.DataType.Name(code).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def kind(node: Any) -> str:
    """The operator's name, with its domain unless that is ONNX's own."""
    return str(node.op_type) if node.domain in {"", "ai.onnx"} else f"{node.domain}:{node.op_type}"


def shape_and_type(value: Any) -> tuple[tuple[int, ...], str]:
    """Shape (-1 for an axis without a fixed size) and type of a value declaration."""
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    return shape, type_name(tensor.elem_type)


def index(model: Any) -> Graph:
    """Index a model, with the nodes and constants of graphs inside of operators, at batch 1."""
    nodes: list[Any] = []
    stored: dict[str, Any] = {}
    _collect(model.graph, nodes, stored)
    producers = {name: node for node in nodes for name in node.output if name}
    users: dict[str, list[Any]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            users[name].append(node)
    known = _inferred(model)
    known.update((name, (tuple(tensor.dims), type_name(tensor.data_type))) for name, tensor in stored.items())
    return Graph(
        nodes=nodes,
        stored=stored,
        producers=producers,
        users=dict(users),
        shapes={name: shape for name, (shape, _) in known.items()},
        types={name: dtype for name, (_, dtype) in known.items()},
        outputs={value.name for value in model.graph.output},
    )


def _collect(graph: Any, nodes: list[Any], stored: dict[str, Any]) -> None:
    """Nodes and stored tensors, those of Constant nodes and of graphs inside of operators too."""
    stored.update((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        value = next((a for a in node.attribute if a.name == "value"), None)
        if kind(node) == "Constant" and value is not None:
            stored[node.output[0]] = value.t
            continue
        nodes.append(node)
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _collect(inner, nodes, stored)


def _inferred(model: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and types of all tensors with the first axis of every input set to 1 where it is dynamic."""
    import onnx
    from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    _put_in_order(fixed.graph)
    # Shapes that the exporter noted hold a symbol for the batch, which would win over the inferred figure.
    del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    for value in fixed.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.Clear()
    try:
        fixed = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    except (onnx.shape_inference.InferenceError, EncodeError, ValueError, RuntimeError):
        # Over 2 GiB, or an operator set that this onnx does not know: only the arithmetic is then unknown.
        return {v.name: shape_and_type(v) for v in [*model.graph.input, *model.graph.output]}
    values = [*fixed.graph.input, *fixed.graph.output, *fixed.graph.value_info]
    return {value.name: shape_and_type(value) for value in values}


def _put_in_order(graph: Any) -> None:
    """Put each node after what it uses, as inference expects; float16 converters append their casts."""
    waiting = list(graph.node)
    makers = {name: position for position, node in enumerate(waiting) for name in node.output if name}
    # Of each node how many made tensors it waits for, and who waits for it (Kahn 1962).
    missing = [sum(name in makers for name in node.input) for node in waiting]
    users: dict[int, list[int]] = defaultdict(list)
    for position, node in enumerate(waiting):
        for name in node.input:
            if name in makers:
                users[makers[name]].append(position)
    order = [position for position, count in enumerate(missing) if count == 0]
    for position in order:
        for user in users[position]:
            missing[user] -= 1
            if missing[user] == 0:
                order.append(user)  # the queue that is walked here
    if len(order) < len(waiting):
        return
    ordered = [waiting[position] for position in order]
    copies = [type(node).FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _channel_axis(node: Any, slot: int, rank: int) -> int:
    """Axis of the kernel that counts output channels, as the operator sees it."""
    name = kind(node)
    if name in _CONVOLUTIONS:  # [out, in / groups, …]
        return 0
    if name == "ConvTranspose":  # [in, out / groups, …]
        return 1
    if name in {"Gemm", "com.microsoft:FusedGemm", "com.microsoft:QGemm"}:  # [in, out], or transposed
        return 0 if _attribute(node, "transB", 0) else 1
    # A product of matrices; a kernel on the left has its channels in rows.
    return rank - 1 if slot == SLOTS[name].kernel else rank - 2


def _origin(name: str, graph: Graph, axis: int | None) -> tuple[str, int | None, Any]:
    """The stored tensor behind a tensor, its axis that becomes ``axis``, and the DequantizeLinear passed."""
    dequantize = None
    for _ in range(_LONGEST_CHAIN):
        node = graph.producers.get(name)
        if name in graph.stored or node is None or node.op_type not in _PASSED_THROUGH:
            break
        if node.op_type == "DequantizeLinear":
            dequantize = node
        if axis is not None and node.op_type == "Transpose":
            rank = len(graph.shapes.get(name, ()))
            axis = list(_attribute(node, "perm", range(rank)[::-1]))[axis]
        elif axis is not None and node.op_type in _RESHAPES:
            axis = _axis_before_reshape(graph.shapes.get(node.input[0]), graph.shapes.get(name), axis)
        name = node.input[0]
    return name, axis, dequantize


Shape = tuple[int, ...]


def _axis_before_reshape(before: Shape | None, after: Shape | None, axis: int) -> int | None:
    """The axis of the same length with as many values before it, ``None`` if the reshape cuts through it."""
    if before is None or after is None or axis >= len(after):
        return None
    for candidate, length in enumerate(before):
        if length == after[axis] and math.prod(before[:candidate]) == math.prod(after[:axis]):
            return candidate
    return None


Role = tuple[str, int, int | None, str | None, str | None]


def roles(graph: Graph) -> dict[str, Role]:
    """Stored tensor → (``weight`` or ``bias``, operator index, channel axis, scale, zero point)."""
    found: dict[str, Role] = {}
    for position, node in enumerate(graph.nodes):
        slots = SLOTS.get(kind(node))
        if slots is None:
            if kind(node) == "Add":
                _added_bias(node, graph, found)
            continue
        # Only a plain product of matrices can have its kernel on the left.
        sides = (slots.kernel, slots.data) if "MatMul" in node.op_type else (slots.kernel,)
        for slot in sides:
            rank = len(graph.shapes.get(node.input[slot], ()))
            name, axis, dequantize = _origin(node.input[slot], graph, _channel_axis(node, slot, rank))
            if name in graph.stored:
                scale, zero = _quantization(node, slots, dequantize, graph)
                found.setdefault(name, ("weight", position, axis, scale, zero))
                break
        if slots.bias is not None and slots.bias < len(node.input):
            _note_bias(node.input[slots.bias], position, graph, found)
    return found


def _quantization(node: Any, slots: Slots, dequantize: Any, graph: Graph) -> tuple[str | None, str | None]:
    """Names of a kernel's scale and zero point."""
    if dequantize is not None:
        return dequantize.input[1], dequantize.input[2] if len(dequantize.input) > 2 else None
    zero = node.input[slots.zero_point] if slots.zero_point and slots.zero_point < len(node.input) else None
    if slots.scale is not None:
        return node.input[slots.scale], zero
    if slots.zero_point is not None:
        return _scale_of_integer_product(node, graph), zero
    return None, None


def _scale_of_integer_product(node: Any, graph: Graph) -> str | None:
    """The kernel's scale of an integer product, from product → Cast → Mul(·, Mul(data's scale, kernel's))."""
    for cast in graph.users.get(node.output[0], []):
        for multiply in graph.users.get(cast.output[0], []):
            for name in multiply.input:
                both = graph.producers.get(name)
                if both is not None and both.op_type == "Mul":
                    return next((n for n in both.input if n in graph.stored), None)
    return None


def _note_bias(name: str, position: int, graph: Graph, found: dict[str, Role]) -> None:
    stored, _, dequantize = _origin(name, graph, None)
    if stored in graph.stored:
        scale = dequantize.input[1] if dequantize is not None else None
        zero = dequantize.input[2] if dequantize is not None and len(dequantize.input) > 2 else None
        found.setdefault(stored, ("bias", position, None, scale, zero))


def _added_bias(node: Any, graph: Graph, found: dict[str, Role]) -> None:
    """A stored vector that is added to a product is its bias."""
    for this, other in (node.input, node.input[::-1]):
        stored, _, _ = _origin(this, graph, None)
        dims = graph.shapes.get(stored, ())
        if stored not in graph.stored or math.prod(dims) != max(dims, default=0):
            continue
        maker = graph.producers.get(other)
        for _ in range(_LONGEST_CHAIN):
            if maker is None or kind(maker) in SLOTS or maker.op_type not in _BEFORE_BIAS:
                break
            maker = graph.producers.get(maker.input[0])
        if maker is not None and kind(maker) in SLOTS:
            _note_bias(this, next(i for i, n in enumerate(graph.nodes) if n is maker), graph, found)


def macs(node: Any, graph: Graph) -> int | None:
    """Multiply-accumulates of one operator at batch 1, 0 for operators that have none."""
    name = kind(node)
    slots = SLOTS.get(name)
    if slots is None:
        return None if name in _UNCOUNTED or ":" in name else 0
    kernel = graph.shapes.get(node.input[slots.kernel])
    data = graph.shapes.get(node.input[slots.data])
    output = graph.shapes.get(node.output[0])
    if kernel is None:
        return None
    if name == "ConvTranspose":
        # Every input value meets the kernel's [out / groups, …] slice of its channel.
        counted, summed = data, math.prod(kernel[1:])
    elif name in _CONVOLUTIONS:
        counted, summed = output, math.prod(kernel[1:])
    elif "Gemm" in name:
        counted, summed = output, kernel[1 if _attribute(node, "transB", 0) else 0]
    else:
        counted, summed = output, kernel[-2] if len(kernel) > 1 else kernel[0]
    if counted is None or min((*counted, summed), default=-1) < 0:
        return None
    return math.prod(counted) * summed
