"""Reads and edits TFLite files as the objects of their schema: names, ranges, weights, operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from optkit.errors import InternalError
from optkit.exporters import layers_in, source_name
from optkit.exporters._excluding import Operation
from optkit.tflite_schema import names_of, parse, serialize

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
# The place of the kernel among the inputs of an operator that multiplies by one.
KERNEL_INPUT = {
    "CONV_2D": 1,
    "CONV_3D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
}
_KINDS = names_of("BuiltinOperator")
_DEQUANTIZE = schema.BuiltinOperator.DEQUANTIZE
_TYPES = {code: name.lower() for code, name in names_of("TensorType").items()}


@dataclass(frozen=True)
class Node:
    """An operator of the main graph.

    Attributes:
        kind: ``CONV_2D``, …; for a custom operator its own name.
        builtin: TFLite has a kernel for it.
        output: Name of its first output tensor, which is what the quantizer calls the operator.
        layers: Keras layers that it was made of.
        activations: Types of the input tensors that are computed, not stored.
        kernel_type: Type of its kernel where it has one: ``int8``, ``float32``, …
        kernel_scales: Scales of that kernel; 0 for a float.
    """

    kind: str
    builtin: bool
    output: str
    layers: tuple[str, ...]
    activations: tuple[str, ...]
    kernel_type: str | None
    kernel_scales: int


def nodes(model: Any, known_layers: tuple[str, ...]) -> list[Node]:
    """The operators of the main graph, in order."""
    graph = model.subgraphs[0]
    return [_node(model, graph, operator, known_layers) for operator in graph.operators]


def operations(model: Any, known_layers: tuple[str, ...]) -> tuple[list[Operation], list[str]]:
    """The operators of the main graph with their tensors, in order, and the tensors that it gives."""
    graph = model.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    found = [
        Operation(
            name=node.output,
            layers=node.layers,
            has_kernel=node.kernel_type is not None,
            inputs=tuple(names[index] for index in operator.inputs if index >= 0),
            outputs=tuple(names[index] for index in operator.outputs),
        )
        for node, operator in zip(nodes(model, known_layers), graph.operators, strict=True)
    ]
    return found, [names[index] for index in graph.outputs]


def name_ports(content: bytes) -> bytes:
    """Give the input and output tensors the names that the signature has for them.

    The converter writes ``serving_default_image:0`` and ``StatefulPartitionedCall:0``; the source model says
    ``image`` and ``digits``. Quantization-aware wrappers' prefixes go too.
    """
    model = parse(content)
    for signature in model.signatureDefs:
        tensors = model.subgraphs[signature.subgraphIndex].tensors
        for port in [*signature.inputs, *signature.outputs]:
            name = source_name(port.name.decode()).encode()
            tensors[port.tensorIndex].name = port.name = name
    return serialize(model)


def set_ranges(content: bytes, ranges: dict[str, tuple[float, float]]) -> bytes:
    """Replace the calibrated range of every activation, by tensor name.

    Raises:
        InternalError: A calibrated tensor has no new range.
    """
    model = parse(content)
    for tensor in model.subgraphs[0].tensors:
        calibrated = tensor.quantization
        if calibrated is None or calibrated.min is None or not len(calibrated.min):
            continue
        name = tensor.name.decode()
        if name not in ranges:
            raise InternalError(f"no activation range was collected for tensor {name!r}")
        low, high = ranges[name]
        calibrated.min, calibrated.max = [low], [high]
    return serialize(model)


def restore_float_kernels(quantized: bytes, original: bytes, layers: frozenset[str], known: tuple[str, ...]) -> bytes:
    """Put the float kernels of some layers back into a dynamic-range file.

    An operator is hybrid only because its kernel is int8, so with the float kernel it is the float operator
    again.

    Args:
        quantized: The dynamic-range file.
        original: The float32 file of the same model, whose operators are the same ones in the same order.
        layers: Layers to restore.
        known: All layers of the model.

    Raises:
        InternalError: The two files differ in their operators.
    """
    target, source = parse(quantized), parse(original)
    target_nodes, source_nodes = nodes(target, known), nodes(source, known)
    if [node.kind for node in target_nodes] != [node.kind for node in source_nodes]:
        raise InternalError("the dynamic-range file and the float32 file of one model differ in their operators")
    for index, node in enumerate(target_nodes):
        if node.kernel_type is not None and layers.intersection(node.layers):
            place = KERNEL_INPUT[node.kind]
            tensor, kernel = (
                model.subgraphs[0].tensors[model.subgraphs[0].operators[index].inputs[place]]
                for model in (target, source)
            )
            buffer = schema.BufferT()
            buffer.data = source.buffers[kernel.buffer].data
            target.buffers.append(buffer)
            tensor.buffer, tensor.type, tensor.quantization = len(target.buffers) - 1, kernel.type, None
    return serialize(without_unused_buffers(target))


def without_unused_buffers(model: Any) -> Any:
    """Empty the buffers that nothing uses any more."""
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    # Buffer 0 is by convention the empty one; metadata points at buffers too.
    used = {0, *(tensor.buffer for tensor in tensors), *(entry.buffer for entry in model.metadata or [])}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None
    return model


def code_of(model: Any, operator: Any) -> str:
    """What an operator is called: ``CONV_2D``, …; a custom one by its own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    return code.customCode.decode() if code.customCode else _KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)]


def quantized_kernel(model: Any, tensor: Any) -> np.ndarray:
    """The stored integers of an int8 tensor, in its shape."""
    raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return raw.view(np.int8).reshape([int(one) for one in tensor.shape])


def _node(model: Any, graph: Any, operator: Any, known_layers: tuple[str, ...]) -> Node:
    code, kind = model.operatorCodes[operator.opcodeIndex], code_of(model, operator)
    inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
    outputs = [graph.tensors[index] for index in operator.outputs]
    kernel = _stored_kernel(model, graph, operator.inputs[KERNEL_INPUT[kind]]) if kind in KERNEL_INPUT else None
    named = [layer for tensor in outputs for layer in layers_in(tensor.name.decode(), known_layers)]
    if not named and kernel is not None:
        # The last operator's output has the signature's name. Kernels come second: equal ones may be shared.
        named = list(layers_in(kernel.name.decode(), known_layers))
    return Node(
        kind=kind,
        builtin=code.customCode is None,
        output=outputs[0].name.decode(),
        layers=_unique(named),
        activations=tuple(_TYPES[tensor.type] for tensor in inputs if not _is_stored(model, tensor)),
        kernel_type=None if kernel is None else _TYPES[kernel.type],
        kernel_scales=0 if kernel is None else _scales(kernel),
    )


def _stored_kernel(model: Any, graph: Any, index: int) -> Any:
    """The tensor that holds a kernel; a float16 one passes through DEQUANTIZE on its way to the operator."""
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        if index in operator.outputs and max(code.builtinCode, code.deprecatedBuiltinCode) == _DEQUANTIZE:
            return graph.tensors[operator.inputs[0]]
    return graph.tensors[index]


def _is_stored(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _scales(tensor: Any) -> int:
    scales = None if tensor.quantization is None else tensor.quantization.scale
    return 0 if scales is None else int(np.size(scales))


def _unique(names: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
