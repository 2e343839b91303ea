"""An int8 ONNX file as TensorRT demands it: explicit QDQ, zero points 0, float biases.

TensorRT quantizes symmetrically (NVIDIA, TensorRT developer guide, "Working with quantized types"): r = scale · q, per
tensor for activations, per channel for weights. Other runtimes' files have zero points for activations, so that a range
of 0 to 6 uses all 256 values: with 0 it uses the upper half of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from optkit.errors import InputError

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


class Rewritten(NamedTuple):
    """The file, how many tensors were made symmetric, how many biases float, and how many weights have which scales."""

    content: bytes
    activations: int
    biases: int
    per_channel: int
    per_tensor: int


def symmetric(content: bytes) -> Rewritten:
    """Rewrite an explicit-QDQ file.

    Raises:
        InputError: It has no QDQ pairs, operators on integers, or weights that are not symmetric.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    graph = model.graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in {_QUANTIZE, _DEQUANTIZE}]
    if not any(node.op_type == _QUANTIZE for node in nodes):
        raise InputError("expected an int8 file with QuantizeLinear and DequantizeLinear, found none of them")
    biases = _float_biases(graph, values, numpy_helper)
    new: dict[tuple[str, str], tuple[str, str]] = {}
    weights: dict[str, bool] = {}
    for node in list(graph.node):
        if node.op_type not in {_QUANTIZE, _DEQUANTIZE}:
            continue
        scale, zero = values[node.input[1]], _zero_point(node, values)
        if node.input[0] in values:
            if zero.any() or zero.dtype != np.int8:
                raise InputError(
                    f"expected weights with zero point 0, found others at {node.input[0]}; TensorRT cannot take them"
                )
            weights[node.input[0]] = scale.size > 1
            continue
        if scale.size != 1:
            raise InputError(f"expected one scale for each activation, found {scale.size} at {node.input[0]}")
        key = (node.input[1], node.input[2] if len(node.input) > 2 else "")
        if key not in new:
            new[key] = _zeroed(graph, scale, zero, len(new), numpy_helper)
        if node.op_type == _QUANTIZE and int(zero) == np.iinfo(zero.dtype).min:
            _cut_below_zero(graph, node)
        del node.input[1:]
        node.input.extend(new[key])
    _drop_unused(graph)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString(deterministic=True)
    per_channel = sum(weights.values())
    return Rewritten(written, len(new), biases, per_channel, len(weights) - per_channel)


def faults(content: bytes) -> list[str]:
    """What TensorRT would not take of a file's QDQ pairs, in words; nothing where all is well.

    Args:
        content: An ONNX file.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(content).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found: list[str] = []
    for node in graph.node:
        if node.op_type in {_QUANTIZE, _DEQUANTIZE}:
            found += _pair_faults(node, values)
        elif node.op_type.startswith(("QLinear", "ConvInteger", "MatMulInteger", "DynamicQuantize")):
            found.append(f"{node.op_type} is no explicit QDQ")
    if not any(node.op_type == _QUANTIZE for node in graph.node):
        found.append("there is no QuantizeLinear")
    return found


def _pair_faults(node: Any, values: dict[str, np.ndarray]) -> list[str]:
    """What is wrong with one QuantizeLinear or DequantizeLinear."""
    found = []
    zero, scale, subject = _zero_point(node, values), values[node.input[1]], node.input[0]
    if zero.any():
        found.append(f"{subject} has a zero point that is not 0")
    if zero.dtype != np.int8:
        found.append(f"{subject} is {zero.dtype}, not int8")
    if not (np.isfinite(scale) & (scale > 0)).all():
        found.append(f"{subject} has a scale that is not over 0")
    if subject in values:
        shape = values[subject].shape
        axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
        if scale.size > 1 and (not -len(shape) <= axis < len(shape) or scale.size != shape[axis]):
            found.append(f"{subject} has {scale.size} scales at axis {axis} of {list(shape)}")
    elif scale.size != 1:
        found.append(f"{subject}, an activation, has {scale.size} scales")
    return found


def _float_biases(graph: Any, values: dict[str, np.ndarray], helper: Any) -> int:
    """Put int32 biases in as the floats that they stand for: TensorRT quantizes them itself."""
    count = 0
    for node in list(graph.node):
        if node.op_type != _DEQUANTIZE or node.input[0] not in values or values[node.input[0]].dtype != np.int32:
            continue
        scale = values[node.input[1]].astype(np.float64)
        real = (values[node.input[0]].astype(np.float64) * scale).astype(np.float32)
        graph.initializer.append(helper.from_array(real, node.output[0]))
        graph.node.remove(node)
        count += 1
    return count


def _zero_point(node: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    """The zero point of a node; without one ONNX takes uint8 and 0."""
    return values[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros((), np.uint8)


def _zeroed(graph: Any, scale: np.ndarray, zero: np.ndarray, number: int, helper: Any) -> tuple[str, str]:
    """A scale with which int8 around 0 covers what the old pair covered; the names of it and its zero point."""
    limits = np.iinfo(zero.dtype)
    reach = max(int(limits.max) - int(zero), int(zero) - int(limits.min))
    step = np.float32(float(scale.reshape(())) * reach / 127)
    names = (f"symmetric_scale_{number}", f"symmetric_zero_{number}")
    graph.initializer.append(helper.from_array(np.asarray(step, np.float32), names[0]))
    graph.initializer.append(helper.from_array(np.zeros((), np.int8), names[1]))
    return names


def _cut_below_zero(graph: Any, node: Any) -> None:
    """Put a Relu before a QuantizeLinear whose range began at 0: it cut what is below, which 0 as zero point does not.

    Converters leave the network's own Relu out there, since the quantizer does its work.
    """
    from onnx import helper

    name = f"{node.input[0]}_cut"
    position = list(graph.node).index(node)
    graph.node.insert(position, helper.make_node("Relu", [node.input[0]], [name], name=name))
    node.input[0] = name


def _drop_unused(graph: Any) -> None:
    """Take out the initializers that nothing names any more."""
    used = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)
