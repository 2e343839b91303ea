"""Keeps layers float in ONNX Runtime that are float in the file.

When it opens a file, ONNX Runtime rounds the kernel of every Conv, ConvTranspose and Gemm to int8, with one scale, that
is float between a DequantizeLinear and a QuantizeLinear (``WeightBiasQuantization``, onnxruntime/core/optimizer/
qdq_transformer/weight_bias_quantization.cc): a layer left in float between int8 layers would be int8 again, and
worse than before. It leaves those alone whose bias is no stored float vector. So they get theirs in the form that int8
layers have it in, int32 with a scale, which costs no time; here of 31 bits, so that nothing is lost by it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

_ROUNDED = frozenset({"Conv", "ConvTranspose", "Gemm"})
_BIAS_INPUT = 2
_BITS = 30


def keep_float(model: ModelProto) -> ModelProto:
    """Give every layer that ONNX Runtime would round by itself a bias that keeps it from that; edits in place."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    for node in list(model.graph.node):
        data = made_by.get(node.input[0]) if node.input else None
        if node.op_type not in _ROUNDED or data is None or data.op_type != "DequantizeLinear":
            continue
        kernel = _float_kernel(node.input[1], stored, made_by)
        if kernel is None:
            continue
        has_bias = len(node.input) > _BIAS_INPUT and bool(node.input[_BIAS_INPUT])
        if has_bias and node.input[_BIAS_INPUT] not in stored:
            continue
        if has_bias:
            bias = numpy_helper.to_array(stored[node.input[_BIAS_INPUT]])
        else:
            bias = np.zeros(_channels(node, kernel), np.float32)
        _rounded_bias(model, node, bias)
    return model


def _float_kernel(name: str, stored: dict[str, TensorProto], made_by: dict[str, NodeProto]) -> list[int] | None:
    """The shape of a float kernel, stored or turned about; ``None`` where it is quantized, or not stored at all."""
    if name in stored:
        return list(stored[name].dims)
    maker = made_by.get(name)
    if maker is None or maker.op_type != "Transpose":
        return None
    shape = _float_kernel(maker.input[0], stored, made_by)
    if shape is None:
        return None
    order = _options(maker).get("perm", range(len(shape))[::-1])
    return [shape[axis] for axis in order]


def _options(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _channels(node: NodeProto, kernel: list[int]) -> int:
    options = _options(node)
    if node.op_type == "Gemm":
        return kernel[0] if options.get("transB", 0) else kernel[1]
    if node.op_type == "ConvTranspose":
        return kernel[1] * int(options.get("group", 1))
    return kernel[0]


def _rounded_bias(model: ModelProto, node: NodeProto, bias: np.ndarray) -> None:
    """Put a bias as int32, and what makes float of it, before a node."""
    largest = float(np.abs(bias).max(initial=0.0))
    # A power of two: bits move, and none is lost of the largest values.
    step = 2.0 ** (math.frexp(largest)[1] - _BITS) if largest else 1.0
    name = f"{node.name}_bias"
    values = np.rint(bias.astype(np.float64) / step).astype(np.int32)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(values, f"{name}_int32"),
            numpy_helper.from_array(np.array(step, np.float32), f"{name}_scale"),
        ]
    )
    inputs = [f"{name}_int32", f"{name}_scale"]
    dequantize = helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], name=f"{name}_dq")
    model.graph.node.insert(list(model.graph.node).index(node), dequantize)
    given = [*node.input, *([""] * (_BIAS_INPUT + 1 - len(node.input)))]
    given[_BIAS_INPUT] = f"{name}_dq"
    node.input[:] = given
