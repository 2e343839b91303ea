"""Stored tensors of ONNX graphs: equal ones once, each in the encoding that takes fewer bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.slimming import _onnx_names

if TYPE_CHECKING:
    from collections.abc import Iterator

# Fields of a tensor with its values as numbers, which protobuf writes in as many bytes as each needs (varints).
_NUMBER_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
# Types whose values are whole, and so may be shorter as numbers of their own than at their full width.
_SHORTER_AS_NUMBERS = {"INT64": "int64_data", "INT32": "int32_data", "UINT64": "uint64_data"}
# Of more values nobody gains: those of a kernel use the width of their type.
_MOST_AS_NUMBERS = 1024


def tensors(model: Any) -> Iterator[Any]:
    """All tensors of all graphs: initializers, dense and sparse, and those in attributes."""
    for graph in _onnx_names.graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _onnx_names.nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []:
                yield from (sparse.values, sparse.indices)


def share(model: Any) -> None:
    """Of equal initializers of the main graph keep the first; all that reads another reads that one.

    Those that are inputs or outputs of the graph keep their names, and those of graphs inside are left alone.
    """
    graph = model.graph
    ends = {value.name for each in _onnx_names.graphs(model) for value in (*each.input, *each.output)}
    # A graph inside may use a name of the main graph's for a tensor of its own.
    hidden = {name for inner in list(_onnx_names.graphs(model))[1:] for name in _own_names(inner)}
    first: dict[Any, str] = {}
    same: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.name not in ends | hidden:
            first.setdefault(_content(tensor), tensor.name)
    for place in reversed(range(len(graph.initializer))):
        tensor = graph.initializer[place]
        if tensor.name not in ends | hidden and first[_content(tensor)] != tensor.name:
            same[tensor.name] = first[_content(tensor)]
            del graph.initializer[place]
    for each in _onnx_names.graphs(model):
        for node in each.node:
            node.input[:] = [same.get(name, name) for name in node.input]
        for note in each.quantization_annotation:
            note.tensor_name = same.get(note.tensor_name, note.tensor_name)
            for entry in note.quant_parameter_tensor_names:
                entry.value = same.get(entry.value, entry.value)


def encode(model: Any) -> None:
    """Write each tensor's values as raw bytes or as numbers, whichever is shorter."""
    from onnx import TensorProto, numpy_helper

    for tensor in tensors(model):
        kind = TensorProto.DataType.Name(tensor.data_type)
        if kind in {"STRING", "UNDEFINED"}:
            continue
        choices = []
        if any(len(getattr(tensor, field)) for field in _NUMBER_FIELDS):
            raw = _same_head(tensor)
            raw.raw_data = numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
            choices.append(raw)
        elif kind in _SHORTER_AS_NUMBERS and 0 < len(tensor.raw_data) <= 8 * _MOST_AS_NUMBERS:
            numbers = _same_head(tensor)
            values = numpy_helper.to_array(tensor).reshape(-1).tolist()
            getattr(numbers, _SHORTER_AS_NUMBERS[kind]).extend(values)
            choices.append(numbers)
        for choice in choices:
            if _content(choice) == _content(tensor) and choice.ByteSize() < tensor.ByteSize():
                tensor.CopyFrom(choice)


def _same_head(tensor: Any) -> Any:
    """A tensor of the same name, type and shape, without values."""
    head = type(tensor)()
    head.CopyFrom(tensor)
    for field in (*_NUMBER_FIELDS, "raw_data"):
        head.ClearField(field)
    return head


def _content(tensor: Any) -> tuple[Any, ...]:
    """What makes two tensors the same: type, shape and values, however they are written."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.STRING:
        values: Any = tuple(tensor.string_data)
    else:
        values = numpy_helper.to_array(tensor).tobytes()
    return tensor.data_type, tuple(tensor.dims), values


def _own_names(graph: Any) -> Iterator[str]:
    """Names that a graph gives tensors itself."""
    for node in graph.node:
        yield from node.output
    for item in (*graph.input, *graph.initializer):
        yield item.name
