"""Edits ONNX graphs: names, batch axis, and fusions that let ONNX Runtime use its integer kernels.

Each takes a ``ModelProto`` and returns it, edited in place.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = "batch"
# The place of the kernel among the inputs of a node that multiplies by one.
KERNEL_INPUT = {
    "Conv": 1,
    "ConvInteger": 1,
    "ConvTranspose": 1,
    "Gemm": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
}
# These move values about without looking at them, so signed and unsigned integers are one to them.
_MOVES = frozenset(
    ["Concat", "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"]
)


def rename(model: ModelProto, names: dict[str, str]) -> ModelProto:
    """Rename tensors everywhere."""
    graph = model.graph
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for item in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        item.name = names.get(item.name, item.name)
    return model


def name_ports(model: ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """Give inputs and outputs, in order, these names, and a first axis of any size."""
    graph = model.graph
    old = [port.name for port in [*graph.input, *graph.output]]
    rename(model, dict(zip(old, [*inputs, *outputs], strict=True)))
    for port in [*graph.input, *graph.output]:
        port.type.tensor_type.shape.dim[0].dim_param = BATCH
    return model


# What TensorFlow and ONNX Runtime's quantizer add to a name, and what is left of it; longer ones first.
_SHORTER = (
    ("/ReadVariableOp:0", ""),
    ("_DequantizeLinear_Output", "_dq"),
    ("_QuantizeLinear_Output", "_q"),
    ("_DequantizeLinear", "_dq"),
    ("_QuantizeLinear", "_q"),
    ("_quantized_zero_point", "_zp"),
    ("_zero_point", "_zp"),
)


def tidy(model: ModelProto, name: str) -> ModelProto:
    """Leave only what running the model needs, each node after those it reads from, as ONNX demands."""
    graph = model.graph
    graph.name, graph.doc_string, model.doc_string = name, "", ""
    del graph.value_info[:], model.metadata_props[:]
    _keep(graph.node, _sorted(model, list(graph.node)))
    for node in graph.node:
        node.doc_string = ""
    used = {name for node in graph.node for name in node.input} | {port.name for port in graph.output}
    _keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
    domains = {node.domain for node in graph.node} | {""}
    _keep(model.opset_import, [entry for entry in model.opset_import if entry.domain in domains])
    return model


def settle_names(model: ModelProto) -> ModelProto:
    """Short names, and an order of constants, that depend on the model alone.

    A name keeps the layer that it comes from. Each is in the file at least twice, so that ONNX Runtime's suffixes and
    TensorFlow's scopes were 2 % of a quantized LeNet-5. tf2onnx numbers what it makes (``scale__16``) by a counter of
    the process, and merges equal constants in the order of a set, so that both change with ``PYTHONHASHSEED``.
    """
    graph = model.graph
    ports = {port.name: port.name for port in [*graph.input, *graph.output]}
    tensors = dict(ports)
    taken = {"", *ports}
    for node in graph.node:
        for name in [*node.input, *node.output]:
            if name and name not in tensors:
                tensors[name] = _free_name(_short(name, graph.name), taken)
    rename(model, tensors)
    labels: set[str] = set()
    for node in graph.node:
        node.name = _free_name(_short(node.name, graph.name) or node.op_type, labels)
    order = {name: place for place, name in enumerate(name for node in graph.node for name in node.input)}
    _keep(graph.initializer, sorted(graph.initializer, key=lambda tensor: order[tensor.name]))
    return model


def _short(name: str, model_name: str) -> str:
    """The name without what says nothing about where it comes from."""
    found = name.removeprefix(f"{model_name}/")
    for long, short in _SHORTER:
        found = found.replace(long, short)
    return found


def _free_name(name: str, taken: set[str]) -> str:
    """The name without counters; with a number of its own where that is taken."""
    plain = re.sub(r"__\d+", "", name)
    numbered = (f"{plain}_{number}" for number in itertools.count(2))
    found = next(candidate for candidate in itertools.chain([plain], numbered) if candidate not in taken)
    taken.add(found)
    return found


def fuse_bias(model: ModelProto) -> ModelProto:
    """MatMul by a constant, then Add of a constant vector, becomes Gemm, which has an integer kernel.

    Left apart, the sum is dequantized, added to in float and quantized again.
    """
    ranks = _ranks(model)
    consumers = _consumers(model)
    constant = _constant_names(model)
    fused: list[NodeProto] = []
    done: set[str] = set()
    for node in list(model.graph.node):
        if node.output[0] in done:
            continue
        followers = consumers.get(node.output[0], [])
        if node.op_type == "MatMul" and [follower.op_type for follower in followers] == ["Add"]:
            add = followers[0]
            bias = next(name for name in add.input if name != node.output[0])
            shapes_fit = [ranks.get(name) for name in (*node.input, bias)] == [2, 2, 1]
            if shapes_fit and constant.issuperset((node.input[1], bias)):
                inputs = [*node.input, bias]
                fused.append(helper.make_node("Gemm", inputs, [add.output[0]], name=node.name))
                done.add(add.output[0])
                continue
        fused.append(node)
    _keep(model.graph.node, fused)
    return model


def keep_zero_padding(model: ModelProto) -> ModelProto:
    """Say of each MaxPool that it pads nothing itself, where something else does.

    ONNX Runtime's PadFusion moves the zeros of a Pad into the MaxPool that follows, which pads with minus infinity:
    wherever all values are negative the answer is another one (ResNet50V2: 16 dB of signal over error). It leaves a
    MaxPool alone that has ``auto_pad``.
    """
    if all(node.op_type != "Pad" for node in model.graph.node):
        return model
    for node in model.graph.node:
        if (
            node.op_type == "MaxPool"
            and not any(_attribute(node, "pads", ()))
            and not _attribute(node, "auto_pad", b"")
        ):
            _keep(node.attribute, [item for item in node.attribute if item.name != "pads"])
            node.attribute.append(helper.make_attribute("auto_pad", "VALID"))
    return model


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    found = [helper.get_attribute_value(item) for item in node.attribute if item.name == name]
    return found[0] if found else default


def unsign_activations(model: ModelProto) -> ModelProto:
    """Int8 activations become uint8, 128 higher, with the same real values; weights stay int8.

    ONNX Runtime turns int8 activations into uint8 on x86 itself, since its kernels there take nothing else,
    but only where QuantizeLinear and DequantizeLinear are neighbours. Where another kind of operator takes
    part, the model stays as it is.
    """
    activations: set[str] = set()
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    ports: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and _is_int8(constants, node.input[2]):
            ports.append(node)
            activations.add(node.output[0])
        elif activations.isdisjoint(node.input):
            continue
        elif node.op_type == "DequantizeLinear":
            ports.append(node)
        elif node.op_type in _MOVES:
            activations.update(node.output)
        else:
            return model
    for node in ports:
        node.input[2] = _store(model, f"{node.input[2]}_unsigned", _unsigned(constants[node.input[2]]))
    return model


def quantize_before_clamping(model: ModelProto) -> ModelProto:
    """Relu or Clip, then QuantizeLinear, becomes QuantizeLinear, then an integer Clip if still needed.

    Rounding to a grid keeps the order of numbers, so Q(min(max(x, a), b)) = min(max(Q(x), Q(a)), Q(b))
    exactly. ONNX Runtime computes a convolution in integers only where QuantizeLinear follows at once; else
    it dequantizes the weights on every call (LeNet-5 after quantization-aware training: 235 µs so, 58 µs this
    way, same bits).
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    consumers = _consumers(model)
    clamps = {
        followers[0].output[0]: node
        for node in list(model.graph.node)
        if node.op_type in ("Relu", "Clip") and set(node.input[1:]) <= constants.keys() | {""}
        for followers in [consumers.get(node.output[0], [])]
        if [follower.op_type for follower in followers] == ["QuantizeLinear"]
    }
    dropped = {clamp.output[0] for clamp in clamps.values()}
    kept: list[NodeProto] = []
    for node in list(model.graph.node):
        if node.output[0] in dropped:
            continue
        kept.append(node)
        if node.op_type == "QuantizeLinear" and node.output[0] in clamps:
            kept += _after_quantizing(model, node, clamps[node.output[0]], constants)
    _keep(model.graph.node, kept)
    return model


def drop_bias_zero_points(model: ModelProto) -> ModelProto:
    """Leave out the zero points of integer biases, which are zero unless said otherwise.

    There is one for each channel, in four bytes: 0.6 % of a quantized LeNet-5. ONNX Runtime fuses as before. Those of
    kernels stay: without them it computes dense layers in float (710 µs in place of 38).
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if (
            node.op_type != "DequantizeLinear"
            or len(node.input) < 3
            or not stored.keys() >= {node.input[0], node.input[2]}
        ):
            continue
        values, zero = stored[node.input[0]], stored[node.input[2]]
        if values.data_type == TensorProto.INT32 and not numpy_helper.to_array(zero).any():
            del node.input[2]
    return model


def kernels(model: ModelProto) -> list[tuple[NodeProto, str, int]]:
    """Every node that multiplies by a constant kernel, the type stored, and how many scales it has."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for node in model.graph.node:
        if node.op_type not in KERNEL_INPUT:
            continue
        name = node.input[KERNEL_INPUT[node.op_type]]
        scales = 0
        while name not in stored and name in producers and producers[name].op_type in _KERNEL_STEPS:
            step = producers[name]
            if step.op_type == "DequantizeLinear":
                scales = math.prod(stored[step.input[1]].dims)
            name = step.input[0]
        if name in stored:
            kind = helper.tensor_dtype_to_np_dtype(stored[name].data_type).name
            found.append((node, kind, scales))
    return found


# What may stand between a stored kernel and the node that uses it.
_KERNEL_STEPS = frozenset(["Cast", "DequantizeLinear", "Transpose"])


def _after_quantizing(
    model: ModelProto, quantize: NodeProto, clamp: NodeProto, constants: dict[str, np.ndarray]
) -> list[NodeProto]:
    """Let a quantizer read what the clamp read; the integer Clip to put after it, if still needed."""
    scale, zero = (constants[name] for name in quantize.input[1:3])
    grid = np.iinfo(zero.dtype)
    edges = [0.0] if clamp.op_type == "Relu" else [float(constants[n]) if n else None for n in clamp.input[1:]]
    low, high = (
        limit if edge is None else int(np.clip(np.rint(np.float32(edge) / scale) + zero, grid.min, grid.max))
        for edge, limit in zip([*edges, None, None], (grid.min, grid.max), strict=False)
    )
    quantize.input[0] = clamp.input[0]
    if (low, high) == (grid.min, grid.max):
        return []
    output = quantize.output[0]
    quantize.output[0] = f"{output}_open"
    limits = [
        _store(model, f"{output}_{side}", np.array(value, zero.dtype)) for side, value in (("low", low), ("high", high))
    ]
    return [helper.make_node("Clip", [f"{output}_open", *limits], [output], name=f"{output}_clamp")]


def _is_int8(constants: dict[str, Any], name: str) -> bool:
    return name in constants and numpy_helper.to_array(constants[name]).dtype == np.int8


def _unsigned(tensor: TensorProto) -> np.ndarray:
    return (numpy_helper.to_array(tensor).astype(np.int16) + 128).astype(np.uint8)


def _store(model: ModelProto, name: str, values: np.ndarray) -> str:
    """Add a constant, once; its name."""
    if all(tensor.name != name for tensor in model.graph.initializer):
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _keep(field: Any, items: Sequence[Any]) -> None:
    """Replace the entries of a repeated field."""
    copies = []
    for item in items:
        copy = type(item)()
        copy.CopyFrom(item)
        copies.append(copy)
    del field[:]
    field.extend(copies)


def _sorted(model: ModelProto, nodes: list[NodeProto]) -> list[NodeProto]:
    """The nodes, each after those that it reads from; otherwise in the order given."""
    graph = model.graph
    ready = {""} | {item.name for item in [*graph.initializer, *graph.input]}
    order: list[NodeProto] = []
    waiting = list(nodes)
    while waiting:
        first = next(node for node in waiting if ready.issuperset(node.input))
        waiting.remove(first)
        order.append(first)
        ready.update(first.output)
    return order


def _consumers(model: ModelProto) -> dict[str, list[NodeProto]]:
    found: dict[str, list[NodeProto]] = {}
    for node in list(model.graph.node):
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _constant_names(model: ModelProto) -> set[str]:
    """Stored tensors, and stored tensors dequantized."""
    names = {tensor.name for tensor in model.graph.initializer}
    return names | {
        node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in names
    }


def _ranks(model: ModelProto) -> dict[str, int]:
    graph = shape_inference.infer_shapes(model).graph
    known = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for item in [*graph.input, *graph.output, *graph.value_info]:
        if item.type.tensor_type.HasField("shape"):
            known[item.name] = len(item.type.tensor_type.shape.dim)
    return known
