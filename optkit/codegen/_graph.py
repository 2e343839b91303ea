"""A quantized .tflite file as the graph that code is generated from: checked, of fixed shapes, nothing unused in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import tflite_schema
from optkit.errors import InputError
from optkit.readback._packed import unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

# Types that a tensor may have which holds values of the network.
_ACTIVATIONS = ("int8", "uint8", "float32")
# Places in a tensor are counted in int.
_MOST_VALUES = 2**30
_ITEM_BYTES = {"int8": 1, "uint8": 1, "float32": 4}


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        index: Its place in the file's list.
        name: As in the file.
        dtype: ``int8``, ``uint8``, ``float32``, ``int4``, ``int32``, …
        shape: At batch 1.
        scales: Quantization scales (float32 values), one or one for each channel; empty where it is not quantized.
        zero_points: As ``scales``.
        axis: Axis that the scales run along.
        values: Stored values, int8 for ``int4``; ``None`` for what is computed.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    values: np.ndarray | None

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of an activation."""
        return self.count * _ITEM_BYTES[self.dtype]

    @property
    def scale(self) -> np.float32:
        """The one scale, as LiteRT keeps it."""
        return np.float32(self.scales[0])

    @property
    def zero_point(self) -> int:
        """The one zero point."""
        return self.zero_points[0]


@dataclass(frozen=True)
class Node:
    """An operator: its place in the file, and the tensors that it takes and makes (-1 where an input is left out)."""

    position: int
    kind: str
    version: int
    inputs: tuple[int, ...]
    output: int
    options: Any

    @property
    def place(self) -> str:
        """What a message calls it."""
        return f"{self.kind} (operator {self.position})"


@dataclass(frozen=True)
class Graph:
    """The main graph. ``nodes`` are in the order in which they run, and all of them are needed for an output."""

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int = 0

    def given(self, node: Node, slot: int) -> Tensor | None:
        """An input of an operator, ``None`` where it is left out."""
        if slot >= len(node.inputs) or node.inputs[slot] < 0:
            return None
        return self.tensors[node.inputs[slot]]

    def input(self, node: Node, slot: int = 0) -> Tensor:
        """An input that must be there.

        Raises:
            InputError: It is not.
        """
        found = self.given(node, slot)
        if found is None:
            raise InputError(f"{node.place} lacks its input {slot}; export the model again")
        return found

    def output(self, node: Node) -> Tensor:
        """What an operator makes."""
        return self.tensors[node.output]


def read(data: bytes, subject: object, ignored: dict[str, Iterable[int]]) -> Graph:
    """Read a .tflite file.

    Args:
        data: The file.
        subject: What the file is called in messages.
        ignored: For each kind of operator that code can be generated for, the inputs that its output does not depend
            on once all shapes are fixed (the wanted shape of a RESHAPE).

    Raises:
        InputError: It is damaged, of several graphs, has dynamic shapes, or an operator that is not covered.
    """
    tflite_schema.check_identifier(data, subject)
    with tflite_schema.damage_named(subject, data):
        model = tflite_schema.parse(data)
        if not model.subgraphs or model.buffers is None or model.operatorCodes is None:
            raise InputError("it holds no graph")
        main = model.subgraphs[0]
        types = {code: name.lower() for code, name in tflite_schema.names_of("TensorType").items()}
        tensors = tuple(_tensor(one, index, model, data, types) for index, one in enumerate(main.tensors))
        every = [_node(one, position, model) for position, one in enumerate(main.operators or [])]
        inputs, outputs = _indices(main.inputs), _indices(main.outputs)
        _check_indices(every, inputs, outputs, len(tensors))
    if len(model.subgraphs) > 1:
        raise InputError(
            f"{subject} has {len(model.subgraphs)} graphs, code is generated for one; export it without control flow"
        )
    nodes = _needed(every, outputs, ignored)
    covered = sorted(ignored)
    for node in nodes:
        if node.kind not in ignored:
            raise InputError(f"{subject}: no code can be generated for {node.place}; covered are {', '.join(covered)}")
    _check_shapes(main, nodes, inputs, subject)
    read_by = [index for node in nodes for slot, index in enumerate(node.inputs) if slot not in {*ignored[node.kind]}]
    used = {index for index in (*read_by, *(node.output for node in nodes), *inputs, *outputs) if index >= 0}
    _check_types(tensors, nodes, used, subject)
    return Graph(tensors, tuple(nodes), inputs, outputs)


def _indices(vector: Any) -> tuple[int, ...]:
    return () if vector is None else tuple(int(i) for i in vector)


def _check_indices(nodes: list[Node], inputs: tuple[int, ...], outputs: tuple[int, ...], count: int) -> None:
    """Stop where a number leads to no tensor, or a tensor is made after it is used."""
    if not inputs or not outputs:
        raise InputError("its graph has no input or no output")
    known = [*inputs, *outputs, *(index for node in nodes for index in (*node.inputs, node.output))]
    if any(not -1 <= index < count for index in known) or any(index < 0 for index in (*inputs, *outputs)):
        raise InputError("an operator uses a tensor that is not there")
    makers = {node.output: node.position for node in nodes}
    if len(makers) != len(nodes):
        raise InputError("two operators make the same tensor")
    for node in nodes:
        if any(makers.get(index, -1) >= node.position for index in node.inputs):
            raise InputError(f"{node.place} uses a tensor that is made later")


def _tensor(raw: Any, index: int, model: Any, data: bytes, types: dict[int, str]) -> Tensor:
    name = raw.name.decode("utf-8", "replace") if isinstance(raw.name, bytes) else raw.name or ""
    dtype, shape = types[raw.type], _indices(raw.shape)
    stored = _stored(model.buffers[raw.buffer], data, name)
    if stored is not None and raw.sparsity is not None:
        raise InputError(f"tensor {name} is stored sparsely, which is not covered")
    record = raw.quantization
    scales: tuple[float, ...] = ()
    if record is not None and record.scale is not None:
        scales = tuple(float(one) for one in record.scale)
    zeros = _indices(record.zeroPoint) if scales else ()
    return Tensor(
        index=index,
        name=name,
        dtype=dtype,
        shape=shape,
        scales=scales,
        zero_points=zeros or (0,) * len(scales),
        axis=int(record.quantizedDimension) if scales else 0,
        values=None if stored is None else unpack(stored, dtype, shape, name),
    )


def _stored(buffer: Any, data: bytes, name: str) -> np.ndarray | None:
    if buffer.offset > 1:
        if buffer.offset + buffer.size > len(data):
            raise InputError(f"tensor {name} lies past the end of the file")
        return np.frombuffer(data, np.uint8, count=buffer.size, offset=buffer.offset)
    if buffer.data is None or isinstance(buffer.data, int) or len(buffer.data) == 0:
        return None
    raw: np.ndarray = buffer.data
    return raw


def _node(raw: Any, position: int, model: Any) -> Node:
    code = model.operatorCodes[raw.opcodeIndex]
    kind = tflite_schema.names_of("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]
    if kind == "CUSTOM":
        custom = code.customCode or b""
        kind = f"CUSTOM:{custom.decode('utf-8', 'replace') if isinstance(custom, bytes) else custom}"
    outputs = _indices(raw.outputs)
    if len(outputs) != 1:
        kind = f"{kind} with {len(outputs)} outputs"
    return Node(
        position, kind, int(code.version), _indices(raw.inputs), outputs[0] if outputs else -1, raw.builtinOptions
    )


def _needed(nodes: list[Node], outputs: tuple[int, ...], ignored: dict[str, Iterable[int]]) -> list[Node]:
    """The operators that an output depends on: what computes a shape is not among them, since shapes are fixed."""
    wanted, found = set(outputs), []
    for node in reversed(nodes):
        if node.output in wanted:
            found.append(node)
            skipped = set(ignored.get(node.kind, ()))
            wanted |= {index for slot, index in enumerate(node.inputs) if slot not in skipped}
    return found[::-1]


def _check_shapes(main: Any, nodes: list[Node], inputs: tuple[int, ...], subject: object) -> None:
    """Stop at an axis whose size is not fixed; the first axis of an input is the batch, which is 1."""
    used = {index for node in nodes for index in (node.inputs[0], node.output)} | {*inputs}
    for index in sorted(used):
        raw = main.tensors[index]
        shape, signature = _indices(raw.shape), _indices(raw.shapeSignature)
        free = [axis for axis, size in enumerate(signature) if size < 0]
        if any(size < 1 for size in shape) or any(axis > 0 for axis in free) or (free and shape[0] != 1):
            name = raw.name.decode("utf-8", "replace") if isinstance(raw.name, bytes) else raw.name
            raise InputError(
                f"{subject}: tensor {name} has the shape {list(signature or shape)}; code is generated for fixed "
                "shapes at batch 1, export the model with them"
            )


def _check_types(tensors: tuple[Tensor, ...], nodes: list[Node], used: set[int], subject: object) -> None:
    """Stop at a file that is not integer-only between its first and last operators."""
    for node in nodes:
        given, made = tensors[node.inputs[0]], tensors[node.output]
        weights = [tensors[index] for index in node.inputs[1:] if index >= 0]
        if node.kind in {"QUANTIZE", "DEQUANTIZE"}:
            continue
        if given.dtype == "float32" and any(one.dtype in {"int8", "int4"} for one in weights):
            raise InputError(
                f"{subject} is a dynamic-range file: {node.place} takes float32 values and {weights[0].dtype} weights; "
                "code is generated for integer-only files, export it as int8"
            )
        if "float32" in {given.dtype, made.dtype}:
            raise InputError(
                f"{subject} is a float file: {node.place} computes in float32; code is generated for integer-only "
                "files, export it as int8"
            )
    for tensor in (tensors[index] for index in sorted(used)):
        if tensor.values is None and tensor.dtype not in _ACTIVATIONS:
            raise InputError(
                f"{subject}: tensor {tensor.name or tensor.index} is {tensor.dtype}; code is generated for int8 "
                "activations, export it as int8"
            )
        if tensor.count > _MOST_VALUES:
            raise InputError(f"{subject}: tensor {tensor.name or tensor.index} has {tensor.count:,} values, too many")
        if tensor.values is None and tensor.dtype != "float32" and len(tensor.scales) != 1:
            raise InputError(
                f"{subject}: tensor {tensor.name} is {tensor.dtype} with {len(tensor.scales)} scales, expected one; "
                "export the model again"
            )
