"""Reads an ONNX file: ports, operators with their arithmetic, and every stored tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optkit.errors import InputError
from optkit.readback import Constant, ModelFacts, Operator, Port, _onnx_ports
from optkit.readback import _onnx_graph as graphs
from optkit.readback._notes import onnx_notes

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "ONNX protobufs, read with the onnx package; kernels are found behind Transpose and DequantizeLinear."
SOURCE = "https://github.com/onnx/onnx/blob/main/docs/IR.md"
FORMAT = "onnx"

# What a message raises whose parts do not fit together: unknown types, missing attributes, wrong sizes.
_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, MemoryError, RecursionError)
# Activations in a row that a runtime fuses into what is before them; a file may have any number.
_MOST_FUSED = 4


def read(path: Path) -> ModelFacts:
    """Read an ONNX file.

    Args:
        path: The file. Tensors that it keeps in other files are read from its own folder only.

    Returns:
        Its facts. Operators of other domains than ONNX's own have the kind ``domain:Name``. Operators that
        run graphs of their own (If, Loop) have no known arithmetic.

    Raises:
        InputError: The file is missing, empty, damaged, no ONNX file, or names data outside its folder.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"expected an ONNX file at {path}; it cannot be read: {error.strerror}") from error
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise InputError(
            f"expected an ONNX file; {path} ({len(data)} bytes) is none or cut short; export the model again"
        ) from error
    try:
        return _facts(model, data, path)
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is a damaged ONNX file: {reason}; export the model again") from error


def _facts(model: Any, data: bytes, path: Path) -> ModelFacts:
    """The facts of a parsed model."""
    opset = next((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), None)
    if not model.graph.node or opset is None:
        # Protobuf reads many byte strings, the empty one among them, as a message with nothing in it.
        raise InputError(f"expected an ONNX file; {path} ({len(data)} bytes) holds no graph; export the model again")
    graph = graphs.index(model)
    external = _load_external(graph, path)
    steps = _onnx_ports.steps(model.graph)
    return ModelFacts(
        format=FORMAT,
        file_bytes=len(data),
        inputs=tuple(_port(v, steps[v.name]) for v in model.graph.input if v.name not in graph.stored),
        outputs=tuple(_port(v, steps[v.name]) for v in model.graph.output),
        operators=tuple(_operator(node, graph) for node in graph.nodes),
        constants=tuple(_constants(graph, external.tensors)),
        opset=opset,
        external_files=external.files,
        name_bytes=_name_bytes(model.graph),
        metadata=onnx_notes(model),
    )


def _name_bytes(graph: Any) -> int:
    """What names take in the main graph: each string with its tag and its length."""
    names = [graph.name, *(one.name for one in (*graph.initializer, *graph.value_info, *graph.input, *graph.output))]
    for node in graph.node:
        names += [node.name, *node.input, *node.output]
    sizes = [len(name.encode()) for name in names if name]
    # A length takes one byte up to 127, two beyond.
    return sum(1 + (1 if size < 128 else 2) + size for size in sizes)


class External(NamedTuple):
    """Files beside the model, and the tensors that they hold."""

    files: tuple[str, ...]
    tensors: frozenset[str]


def _load_external(graph: graphs.Graph, path: Path) -> External:
    """Load tensors that are kept beside the file, and name the files.

    Raises:
        InputError: A tensor names a file outside the folder, or one that is missing or too short.
    """
    from onnx.checker import ValidationError
    from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

    folder = path.parent.resolve()
    files, tensors = set(), set()
    for tensor in graph.stored.values():
        if not uses_external_data(tensor):
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        kept = f"{path} keeps tensor {tensor.name} in {location!r}"
        if not (folder / location).resolve().is_relative_to(folder) or not location:
            # A model file from elsewhere must not make us read any file that it likes.
            raise InputError(f"{kept}, outside its folder, where nothing is read; put it beside the model")
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except (OSError, ValueError, ValidationError) as error:
            raise InputError(f"{kept}, which cannot be read: {error}; put it beside the model") from error
        tensors.add(tensor.name)
        files.add(location)
    return External(tuple(sorted(files)), frozenset(tensors))


def _port(value: Any, step: _onnx_ports.Step) -> Port:
    shape, dtype = graphs.shape_and_type(value)
    # A float tensor that is quantized next is fed, and read, as it is.
    scale, zero_point = step if "int" in dtype else (None, None)
    return Port(name=value.name, dtype=dtype, shape=shape, scale=scale, zero_point=zero_point)


def _operator(node: Any, graph: graphs.Graph) -> Operator:
    return Operator(
        kind=graphs.kind(node),
        name=node.name or (node.output[0] if node.output else ""),
        macs=graphs.macs(node, graph),
        input_dtypes=tuple(_dtype_before(name, graph) for name in node.input if name),
        output_dtypes=tuple(_dtype_after(node, name, graph) for name in node.output if name),
        inputs=tuple(_tensor(name, _dtype_before(name, graph), None, graph) for name in node.input if name),
        outputs=tuple(
            _tensor(name, _dtype_after(node, name, graph), _quantize_after(node, name, graph), graph)
            for name in node.output
            if name
        ),
    )


def _tensor(name: str, dtype: str, quantize: Any, graph: graphs.Graph) -> Port:
    """A tensor with the scale and zero point of the QuantizeLinear that takes it, if one does."""
    given = [*quantize.input[1:3], None, None] if quantize is not None else [None, None]
    scales, points = (_flat(one, graph) for one in given[:2])
    scaled = len(scales) == 1
    return Port(
        name=name,
        dtype=dtype,
        shape=graph.shapes.get(name, ()),
        scale=float(scales[0]) if scaled else None,
        zero_point=(int(points[0]) if len(points) == 1 else 0) if scaled else None,
    )


def _quantize_after(node: Any, name: str, graph: graphs.Graph, past: int = _MOST_FUSED) -> Any:
    """The QuantizeLinear that an output is rounded by: itself, or all that uses it, past a fused Relu or Clip."""
    if node.op_type == "QuantizeLinear":
        return node
    users = graph.users.get(name, [])
    kinds = {user.op_type for user in users}
    if node.op_type == "DequantizeLinear" or name in graph.outputs:
        return None
    if kinds in ({"Relu"}, {"Clip"}):
        return _quantize_after(users[0], users[0].output[0], graph, past - 1) if past else None
    return users[0] if kinds == {"QuantizeLinear"} else None


def _dtype(name: str, graph: graphs.Graph) -> str:
    """Type of a tensor, ``unknown`` where shape inference does not know the operator that makes it."""
    return graph.types.get(name, "unknown")


def _dtype_before(name: str, graph: graphs.Graph) -> str:
    """Type of an input, the stored one where it comes through a DequantizeLinear."""
    producer = graph.producers.get(name)
    if producer is not None and producer.op_type == "DequantizeLinear":
        return _dtype(producer.input[0], graph)
    return _dtype(name, graph)


def _dtype_after(node: Any, name: str, graph: graphs.Graph, past: int = _MOST_FUSED) -> str:
    """Type of an output, the stored one where all that uses it is QuantizeLinear."""
    users = graph.users.get(name, [])
    if node.op_type not in {"QuantizeLinear", "DequantizeLinear"} and users:
        kinds = {user.op_type for user in users}
        if kinds in ({"Relu"}, {"Clip"}) and past:
            # Fused into the operator before it by every runtime that knows integer types.
            return _dtype_after(users[0], users[0].output[0], graph, past - 1)
        if kinds == {"QuantizeLinear"} and name not in graph.outputs:
            return _dtype(users[0].output[0], graph)
    return _dtype(name, graph)


def _constants(graph: graphs.Graph, external: frozenset[str]) -> list[Constant]:
    """Records of all stored tensors with their roles; those in other files take no bytes of this one."""
    roles = graphs.roles(graph)
    records = []
    for name, tensor in graph.stored.items():
        role, operator, axis, scale, zero = roles.get(name, ("other", -1, None, None, None))
        values = _values(tensor)
        scales = tuple(float(s) for s in _flat(scale, graph))
        zeros = tuple(int(z) for z in _flat(zero, graph))
        records.append(
            Constant(
                name=name,
                role=role,
                operator=operator,
                dtype=graphs.type_name(tensor.data_type),
                values=values,
                channel_axis=axis,
                scales=scales,
                zero_points=zeros or (0,) * len(scales),
                file_bytes=0 if tensor.name in external else _stored_bytes(tensor),
            )
        )
    return records


def _flat(name: str | None, graph: graphs.Graph) -> np.ndarray:
    """Values of a stored scale or zero point; empty where there is none in the file."""
    if name is None or name not in graph.stored:
        return np.zeros(0)
    return _values(graph.stored[name]).reshape(-1)


def _values(tensor: Any) -> np.ndarray:
    """The stored values; narrow integers as int8, bfloat16 and 8-bit floats as float32, strings as bytes."""
    from onnx import numpy_helper

    if tensor.data_type == tensor.STRING:
        return np.frombuffer(b"".join(tensor.string_data), np.uint8)
    values = numpy_helper.to_array(tensor)
    if values.dtype.isbuiltin == 1:
        return values
    narrow = "int" in values.dtype.name
    return values.astype(np.int8 if narrow else np.float32)


def _stored_bytes(tensor: Any) -> int:
    """Bytes of a tensor's values."""
    from onnx import TensorProto

    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    bare = TensorProto()
    bare.CopyFrom(tensor)
    for field in ("dims", "name", "doc_string", "data_type", "metadata_props"):
        bare.ClearField(field)
    return int(bare.ByteSize())
