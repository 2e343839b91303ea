"""TFLite files made by hand to do harm: places that are not there, loops without end, sizes that no memory holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._traps import Trap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MOST = (1 << 31) - 1


def tflite_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:  # noqa: ARG001  # as the others
    """Files that have one thing changed each."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = (samples / "fp32.tflite").read_bytes()
    for name, change in _CHANGES.items():
        model = schema.ModelT.InitFromPackedBuf(content)
        change(model)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        path = folder / f"{''.join(c if c.isalnum() else '_' for c in name)}.tflite"
        path.write_bytes(bytes(builder.Output()))
        yield Trap(name, path)


def _shape(dims: list[int], *, of_kernel: bool = False) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        tensor = graph.tensors[int(graph.operators[0].inputs[1] if of_kernel else graph.inputs[0])]
        tensor.shape = tensor.shapeSignature = dims

    return change


def _operands(model: Any) -> None:
    model.subgraphs[0].operators[0].inputs = [_MOST, -7, 1 << 30]


def _buffer(model: Any) -> None:
    model.subgraphs[0].tensors[1].buffer = (1 << 32) - 1


def _code(model: Any) -> None:
    model.subgraphs[0].operators[0].opcodeIndex = 1 << 31


def _output(model: Any) -> None:
    model.subgraphs[0].outputs = [1 << 30]


def _circle(model: Any) -> None:
    graph = model.subgraphs[0]
    graph.operators[0].inputs = [int(graph.operators[-1].outputs[0]), *list(graph.operators[0].inputs)[1:]]


def _stride(model: Any) -> None:
    options = model.subgraphs[0].operators[0].builtinOptions
    options.strideW = options.strideH = 0


def _loop(model: Any) -> None:
    """A WHILE whose condition is a stored ``true``."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    graph.operators = []
    source, target = int(graph.inputs[0]), int(graph.outputs[0])
    graph.tensors[target].shape = graph.tensors[target].shapeSignature = graph.tensors[source].shape
    _add(model, graph, "WHILE", ([source], [target]), "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    stored = schema.BufferT()
    stored.data = np.ones(1, np.uint8)
    model.buffers.append(stored)
    for is_condition in (True, False):
        inner, value, result = schema.SubGraphT(), schema.TensorT(), schema.TensorT()
        value.shape, value.type, value.buffer, value.name = graph.tensors[source].shape, 0, 0, b"v"
        result.shape, result.type, result.buffer, result.name = value.shape, 0, 0, b"w"
        inner.tensors, inner.inputs, inner.outputs, inner.operators = [value, result], [0], [1], []
        if is_condition:
            result.shape, result.type, result.buffer = [1], schema.TensorType.BOOL, len(model.buffers) - 1
        else:
            _add(model, inner, "SIN", ([0], [1]))
        model.subgraphs.append(inner)
    model.signatureDefs = []


def _itself(model: Any) -> None:
    _loop(model)
    model.subgraphs[0].operators[0].builtinOptions.bodySubgraphIndex = 0


def _add(
    model: Any, graph: Any, kind: str, ports: tuple[list[int], list[int]], options: str = "", **fields: int
) -> None:
    """Append an operator."""
    from ai_edge_litert import schema_py_generated as schema

    code, node = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    model.operatorCodes.append(code)
    node.opcodeIndex, (node.inputs, node.outputs) = len(model.operatorCodes) - 1, ports
    if options:
        node.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        node.builtinOptions = getattr(schema, f"{options}T")()
        for field, value in fields.items():
            setattr(node.builtinOptions, field, value)
    graph.operators = [*graph.operators, node]


_CHANGES: dict[str, Callable[[Any], None]] = {
    "an input of 2^62 values": _shape([1, _MOST, _MOST, 1]),
    "an input of 2^34 values": _shape([1, 1 << 17, 1 << 17, 1]),
    "a negative input": _shape([1, -8, -8, 1]),
    "a kernel of 2^62 values": _shape([4, _MOST, _MOST, 1], of_kernel=True),
    "operands that are not there": _operands,
    "a buffer that is not there": _buffer,
    "an operator that is not there": _code,
    "an output that is not there": _output,
    "a circle": _circle,
    "a stride of 0": _stride,
    "a loop without end": _loop,
    "a graph that calls itself": _itself,
}
