"""Builds .tflite files from the schema alone, operator by operator: TensorFlow would take seconds for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from optkit import tflite_schema

OPERATORS = schema.BuiltinOperator
TYPES = schema.TensorType


class Builder:
    """A network that is grown operator by operator; tensors are known by their number."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]
        self.model.operatorCodes = []
        empty = schema.BufferT()
        self.model.buffers = [empty]

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: int = TYPES.INT8,
        *,
        scales: list[float] | None = None,
        zeros: list[int] | None = None,
        axis: int = 0,
        values: np.ndarray | None = None,
    ) -> int:
        one = schema.TensorT()
        one.shape = np.array(shape, np.int32)
        one.type = dtype
        one.name = f"t{len(self.graph.tensors)}"
        if scales is not None:
            one.quantization = schema.QuantizationParametersT()
            one.quantization.scale = np.array(scales, np.float32)
            one.quantization.zeroPoint = np.array(zeros, np.int64)
            one.quantization.quantizedDimension = axis
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            one.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(one)
        return len(self.graph.tensors) - 1

    def operator(self, kind: int, inputs: list[int], output: int, options: Any = None, version: int = 1) -> int:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), version
        self.model.operatorCodes.append(code)
        one = schema.OperatorT()
        one.opcodeIndex = len(self.model.operatorCodes) - 1
        one.inputs, one.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            one.builtinOptions = options
            name = type(options).__name__.removesuffix("T")
            one.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self.graph.operators.append(one)
        return output

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        self.graph.inputs, self.graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        return tflite_schema.serialize(self.model)

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.graph.tensors[index].shape)

    def scale(self, index: int) -> float:
        return float(self.graph.tensors[index].quantization.scale[0])

    def zero(self, index: int) -> int:
        return int(self.graph.tensors[index].quantization.zeroPoint[0])
