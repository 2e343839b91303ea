"""Reads a TFLite file: ports, operators with their arithmetic, and every stored tensor."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import tflite_schema
from optkit.errors import InputError
from optkit.readback import Constant, ModelFacts, Operator, Port
from optkit.readback._notes import tflite_notes
from optkit.readback._packed import unpack

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "TFLite flatbuffers, read with the schema that LiteRT ships; nothing is run."
SOURCE = "https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs"
FORMAT = "tflite"

# Parts of a file that hold scales and zero points (float32 and int64), and those that hold names.
_SCALES = {"QuantizationParametersT.scale", "QuantizationParametersT.zeroPoint"}
_NAMES = {
    "ModelT.description",
    "MetadataT.name",
    "SubGraphT.name",
    "TensorT.name",
    "SignatureDefT.signatureKey",
    "TensorMapT.name",
}

# Operator: (index of the kernel among its inputs, index of the bias, axis of the kernel that counts output
# channels), from the schema's comments and the reference kernels.
_KERNELS: dict[str, tuple[int, int, int]] = {
    "CONV_2D": (1, 2, 0),
    "DEPTHWISE_CONV_2D": (1, 2, 3),
    "FULLY_CONNECTED": (1, 2, 0),
    "TRANSPOSE_CONV": (1, 3, 0),
    "CONV_3D": (1, 2, 4),
}
# Recurrent operators: inputs that are kernels, and inputs that are biases.
_RECURRENT: dict[str, tuple[range, range]] = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (range(1, 9), range(12, 16)),
    "LSTM": (range(1, 9), range(12, 16)),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (range(1, 3), range(3, 4)),
    "RNN": (range(1, 3), range(3, 4)),
    "SVDF": (range(1, 3), range(3, 4)),
}
# Operators that multiply and accumulate in a way that is not counted here, or that run other operators.
_UNCOUNTED = {
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "CALL",
    "CALL_ONCE",
    "CONV_3D_TRANSPOSE",
    "CUSTOM",
    "DELEGATE",
    "IF",
    "RFFT2D",
    "STABLEHLO_CASE",
    "STABLEHLO_COMPOSITE",
    "STABLEHLO_CONVOLUTION",
    "STABLEHLO_CUSTOM_CALL",
    "STABLEHLO_DOT_GENERAL",
    "STABLEHLO_WHILE",
    "WHILE",
    *_RECURRENT,
}


def read(path: Path) -> ModelFacts:
    """Read a TFLite file.

    Args:
        path: The file.

    Returns:
        Its facts. Custom operators (Flex ones among them) have the kind ``CUSTOM:name``. Shapes of ports have
        -1 where the file declares a dynamic axis.

    Raises:
        InputError: The file is missing, empty, cut short, damaged or no TFLite file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"expected a TFLite file at {path}; it cannot be read: {error.strerror}") from error
    tflite_schema.check_identifier(data, path)
    with tflite_schema.damage_named(path, data):
        return _facts(tflite_schema.parse(data), data)


def _facts(model: Any, data: bytes) -> ModelFacts:
    """The facts of a parsed model."""
    if not model.subgraphs or model.buffers is None:
        raise InputError("it holds no graph")
    types = {code: name.lower() for code, name in tflite_schema.names_of("TensorType").items()}
    kinds = tflite_schema.names_of("BuiltinOperator")
    operators: list[Operator] = []
    constants: list[Constant] = []
    counted: set[int] = set()
    for graph in model.subgraphs:
        stored = [_stored(tensor, model, data) for tensor in graph.tensors]
        roles = _roles(graph, model, kinds, stored, first=len(operators))
        operators += [_operator(node, graph, model, kinds, types) for node in _nodes(graph)]
        for index, (tensor, raw) in enumerate(zip(graph.tensors, stored, strict=True)):
            if raw is not None:
                constants.append(_constant(tensor, raw, types[tensor.type], roles.get(index), counted))
    pieces = tflite_schema.pieces(model, data)
    # Of equal vectors that are stored once, the bytes are counted once.
    scale_bytes = sum(piece.payload_bytes for piece in pieces if piece.owner in _SCALES)
    if sum(constant.file_bytes for constant in constants) + scale_bytes > len(data):
        raise InputError("its tensors are larger than the file")
    main = model.subgraphs[0]
    return ModelFacts(
        format=FORMAT,
        file_bytes=len(data),
        inputs=tuple(_port(main.tensors[i], types) for i in _indices(main.inputs)),
        outputs=tuple(_port(main.tensors[i], types) for i in _indices(main.outputs)),
        operators=tuple(operators),
        constants=tuple(constants),
        signatures={
            _text(s.signatureKey): (
                tuple(_text(t.name) for t in s.inputs or ()),
                tuple(_text(t.name) for t in s.outputs or ()),
            )
            for s in model.signatureDefs or ()
        },
        scale_bytes=scale_bytes,
        name_bytes=sum(piece.end - piece.start for piece in pieces if piece.owner in _NAMES and piece.payload_bytes),
        padding_bytes=sum(end - start for start, end in tflite_schema.gaps(pieces, data)),
        metadata=tflite_notes(model),
    )


def _text(raw: bytes | str | None) -> str:
    """A name in the file, as text."""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw or ""


def _indices(vector: Any) -> list[int]:
    """A vector of tensor indices; an absent vector is empty."""
    return [] if vector is None else [int(i) for i in vector]


def _nodes(graph: Any) -> list[Any]:
    """The operators of a graph in the order they run."""
    return graph.operators or []


def _shape(tensor: Any) -> tuple[int, ...]:
    """Shape at the batch that the file was written with."""
    return tuple(_indices(tensor.shape))


def _kind(node: Any, model: Any, kinds: dict[int, str]) -> str:
    """The operator's name; the wider of the two code fields counts, as in LiteRT's ``GetBuiltinCode``."""
    code = model.operatorCodes[node.opcodeIndex]
    kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return f"CUSTOM:{_text(code.customCode)}" if kind == "CUSTOM" else kind


def _quantization(tensor: Any) -> tuple[tuple[float, ...], tuple[int, ...], int]:
    """Scales, zero points and the axis they run along."""
    record = tensor.quantization
    if record is None or record.scale is None or len(record.scale) == 0:
        return (), (), 0
    scales = tuple(float(s) for s in record.scale)
    zeros = tuple(_indices(record.zeroPoint)) or (0,) * len(scales)
    return scales, zeros, int(record.quantizedDimension)


def _port(tensor: Any, types: dict[int, str]) -> Port:
    scales, zeros, _ = _quantization(tensor)
    signature = _indices(tensor.shapeSignature)
    return Port(
        name=_text(tensor.name),
        dtype=types[tensor.type],
        shape=tuple(signature) or _shape(tensor),
        scale=scales[0] if len(scales) == 1 else None,
        zero_point=zeros[0] if len(scales) == 1 else None,
    )


def _stored(tensor: Any, model: Any, data: bytes) -> np.ndarray | None:
    """The bytes of a stored tensor as uint8 [bytes], ``None`` for one that is computed."""
    buffer = model.buffers[tensor.buffer]
    if buffer.offset > 1:
        # Files over 2 GiB keep their tensors after the flatbuffer, where its 32-bit offsets do not reach.
        if buffer.offset + buffer.size > len(data):
            raise InputError(f"tensor {_text(tensor.name)} lies past the end of the file")
        return np.frombuffer(data, np.uint8, count=buffer.size, offset=buffer.offset)
    if buffer.data is None or isinstance(buffer.data, int) or len(buffer.data) == 0:
        return None
    raw: np.ndarray = buffer.data
    return raw


def _roles(
    graph: Any, model: Any, kinds: dict[int, str], stored: list[np.ndarray | None], *, first: int
) -> dict[int, tuple[str, int, int | None]]:
    """Which stored tensor is a kernel or a bias: tensor index → (role, operator index, channel axis).

    float16 files pass their weights through DEQUANTIZE, sparse ones through DENSIFY: both are looked through.
    """
    origin: dict[int, int] = {}
    for node in _nodes(graph):
        if _kind(node, model, kinds) in {"DEQUANTIZE", "DENSIFY"}:
            source = _indices(node.inputs)[0]
            origin[_indices(node.outputs)[0]] = origin.get(source, source)
    roles: dict[int, tuple[str, int, int | None]] = {}
    for position, node in enumerate(_nodes(graph)):
        kind, inputs = _kind(node, model, kinds), _indices(node.inputs)
        found: list[tuple[str, int, int | None]] = []
        if kind in _KERNELS:
            weight, bias, axis = _KERNELS[kind]
            found = [("weight", weight, axis), ("bias", bias, None)]
        elif kind in _RECURRENT:
            weights, biases = _RECURRENT[kind]
            found = [("weight", i, 0) for i in weights] + [("bias", i, None) for i in biases]
        elif kind == "BATCH_MATMUL":
            options = node.builtinOptions
            axes = (-1 if options.adjX else -2, -2 if options.adjY else -1)
            ranks = [len(_shape(graph.tensors[i])) for i in inputs[:2]]
            found = [("weight", side, ranks[side] + axes[side]) for side in (0, 1)]
        for role, slot, axis_of in found:
            if slot < len(inputs) and inputs[slot] >= 0:
                tensor = origin.get(inputs[slot], inputs[slot])
                if stored[tensor] is not None:
                    roles.setdefault(tensor, (role, first + position, axis_of))
    return roles


def _constant(
    tensor: Any, raw: np.ndarray, dtype: str, role: tuple[str, int, int | None] | None, counted: set[int]
) -> Constant:
    """The record of a stored tensor.

    A sparsely encoded tensor (TFLite's block-sparse storage) keeps its stored values as one flat array.
    """
    name, operator, axis = role or ("other", -1, None)
    scales, zeros, _ = _quantization(tensor)
    shape = _shape(tensor) if tensor.sparsity is None else None
    values = unpack(raw, dtype, shape, _text(tensor.name))
    file_bytes = 0 if tensor.buffer in counted else int(raw.size)
    counted.add(tensor.buffer)
    return Constant(
        name=_text(tensor.name),
        role=name,
        operator=operator,
        dtype=dtype,
        values=values,
        channel_axis=axis if shape is not None else None,
        scales=scales,
        zero_points=zeros,
        file_bytes=file_bytes,
    )


def _operator(node: Any, graph: Any, model: Any, kinds: dict[int, str], types: dict[int, str]) -> Operator:
    kind = _kind(node, model, kinds)
    inputs = [i for i in _indices(node.inputs) if i >= 0]
    outputs = [i for i in _indices(node.outputs) if i >= 0]
    return Operator(
        kind=kind,
        name=(_text(graph.tensors[outputs[0]].name) if outputs else "") or kind,
        macs=_macs(kind, node, graph),
        input_dtypes=tuple(types[graph.tensors[i].type] for i in inputs),
        output_dtypes=tuple(types[graph.tensors[i].type] for i in outputs),
        inputs=tuple(_tensor(graph.tensors[i], types) for i in inputs),
        outputs=tuple(_tensor(graph.tensors[i], types) for i in outputs),
    )


def _tensor(tensor: Any, types: dict[int, str]) -> Port:
    """A tensor at the batch that the file was written with."""
    return dataclasses.replace(_port(tensor, types), shape=_shape(tensor))


def _macs(kind: str, node: Any, graph: Any) -> int | None:
    """Multiply-accumulates of one operator at the file's own batch, 0 for operators that have none."""
    if kind in _UNCOUNTED or kind.startswith("CUSTOM:"):
        return None
    if kind not in _KERNELS and kind != "BATCH_MATMUL":
        return 0
    inputs = [_shape(graph.tensors[i]) if i >= 0 else () for i in _indices(node.inputs)]
    output = math.prod(_shape(graph.tensors[_indices(node.outputs)[0]]))
    kernel = inputs[1]
    if kind == "TRANSPOSE_CONV":
        # Kernel [out, height, width, in]: every input value meets all of kernel[:, :, :, its channel].
        return math.prod(inputs[2]) * math.prod(kernel[:3])
    if kind == "BATCH_MATMUL":
        return output * (inputs[0][-2] if node.builtinOptions.adjX else inputs[0][-1])
    # Every output value is a sum over the kernel of one output channel.
    return output * math.prod(kernel) // kernel[_KERNELS[kind][2]]
