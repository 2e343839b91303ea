"""Gives int8 kernels of a TFLite graph one scale for all output channels in place of one for each."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from optkit import tflite_schema
from optkit.slimming import _tflite_records as records

# Signed 8-bit kernels are symmetric: the runtimes' kernels multiply without a zero point.
_MOST_INT8 = 127


class _Places(NamedTuple):
    """Where among an operator's inputs its data, its kernel and its bias are."""

    data: int
    kernel: int
    bias: int


_PLACES = {
    "CONV_2D": _Places(0, 1, 2),
    "DEPTHWISE_CONV_2D": _Places(0, 1, 2),
    "FULLY_CONNECTED": _Places(0, 1, 2),
    "TRANSPOSE_CONV": _Places(2, 1, 3),
}


def merge(model: Any) -> tuple[str, ...]:
    """Quantize kernels again, to the one scale that the widest channel needs (Jacob et al. 2018, equation 1).

    With the channels' scales s_c and s = max over channels of s_c · max |q_c| / 127, a value q of channel c becomes
    round(q · s_c / s), and a bias b with the scale s_b becomes round(b · s_b / (s_x · s)), where s_x is the scale of
    the operator's input; a float bias stays.

    Returns:
        How many kernels have one scale now, and how many were left with theirs.
    """
    types = tflite_schema.names_of("TensorType")
    merged, left = 0, 0
    for graph in model.subgraphs:
        users = _users(model, graph)
        uses = Counter(int(index) for operator in graph.operators for index in operator.inputs)
        for index, operators in users.items():
            kernel = graph.tensors[index]
            if _scale_count(kernel) < 2:
                continue
            biases = {bias for operator in operators for bias in _bias(model, graph, operator)}
            free = all(uses[bias] == 1 for bias in biases) and uses[index] == len(operators)
            if types.get(kernel.type) == "INT8" and free and _stored(model, kernel) and not _any_zero_point(kernel):
                _merge(model, graph, kernel, operators)
                merged += 1
            else:
                left += 1
    notes = [f"{merged} kernels have one scale each in place of one for each output channel"]
    if left:
        notes.append(f"{left} kernels keep a scale for each channel: they are not int8, or share a tensor")
    return tuple(notes)


def _users(model: Any, graph: Any) -> dict[int, list[Any]]:
    """Operators by the tensor that is their kernel."""
    found: dict[int, list[Any]] = {}
    for operator in graph.operators:
        places = _PLACES.get(records.kind(model, operator))
        if places is not None and len(operator.inputs) > places.kernel and operator.inputs[places.kernel] >= 0:
            found.setdefault(int(operator.inputs[places.kernel]), []).append(operator)
    return found


def _scale_count(tensor: Any) -> int:
    found = tensor.quantization
    return 0 if found is None or found.scale is None else int(np.size(found.scale))


def _any_zero_point(tensor: Any) -> bool:
    return bool(np.any(np.asarray(tensor.quantization.zeroPoint if tensor.quantization.zeroPoint is not None else 0)))


def _stored(model: Any, tensor: Any) -> bool:
    return model.buffers[tensor.buffer].data is not None and tensor.sparsity is None


def _bias(model: Any, graph: Any, operator: Any) -> list[int]:
    """The operator's bias, where it has one that is stored as integers."""
    place = _PLACES[records.kind(model, operator)].bias
    index = int(operator.inputs[place]) if len(operator.inputs) > place else -1
    return [index] if index >= 0 and _scale_count(graph.tensors[index]) else []


def _merge(model: Any, graph: Any, kernel: Any, operators: list[Any]) -> None:
    shape = [int(one) for one in kernel.shape]
    raw = np.asarray(model.buffers[kernel.buffer].data, np.uint8).view(np.int8).reshape(shape).astype(np.float64)
    axis = int(kernel.quantization.quantizedDimension)
    across = [1] * len(shape)
    across[axis] = -1
    scales = np.asarray(kernel.quantization.scale, np.float64)
    real = raw * scales.reshape(across)
    # A kernel of zeros is as right at any scale.
    scale = np.float32(np.abs(real).max() / _MOST_INT8 or scales.max())
    values = np.clip(np.rint(real / np.float64(scale)), -_MOST_INT8, _MOST_INT8).astype(np.int8)
    _store(model, kernel, values, scale)
    for operator in operators:
        places = _PLACES[records.kind(model, operator)]
        for index in _bias(model, graph, operator):
            bias, data = graph.tensors[index], graph.tensors[int(operator.inputs[places.data])]
            dtype = np.dtype(tflite_schema.names_of("TensorType")[bias.type].lower())
            stored = np.asarray(model.buffers[bias.buffer].data, np.uint8).view(dtype).astype(np.float64)
            step = np.float32(data.quantization.scale[0]) * scale
            limits = np.iinfo(dtype)
            wide = np.rint(stored * np.asarray(bias.quantization.scale, np.float64) / np.float64(step))
            _store(model, bias, np.clip(wide, limits.min, limits.max).astype(dtype), step)


def _store(model: Any, tensor: Any, values: np.ndarray, scale: np.float32) -> None:
    """Give a tensor these values, in a buffer of its own, and one scale."""
    buffer = type(model.buffers[0])()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    found = tensor.quantization
    found.scale, found.zeroPoint = np.array([scale], np.float32), np.array([0], np.int64)
    found.min = found.max = None
    found.quantizedDimension = 0
