"""Gives kernels of an int8 TFLite file 4 bits: two values in a byte, the first in its low half.

Activations stay int8 and biases int32, so that only kernels, their scales and the scales of their biases change.
LiteRT 2.3 has such kernels for convolutions (grouped, dilated and depthwise ones too) and dense layers, with one scale
or one for each output channel; a transposed convolution with int4 weights it refuses, and blockwise scales as well
wherever activations are integers (it has a kernel for dense layers with float activations alone; tried with blocks of
32 and 64). XNNPACK takes the dense layers, which are as fast as with int8; convolutions run in LiteRT's own kernel,
which unpacks them in every call: a network of three took 12.6 µs in place of 3.7, LeNet-5 35 in place of 18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from optkit.errors import InputError, InternalError
from optkit.exporters._flatbuffer import (
    KERNEL_INPUT,
    code_of,
    nodes,
    quantized_kernel,
    without_unused_buffers,
)
from optkit.exporters._four_bits import VERSIONS, Wanted, check_able
from optkit.techniques._steps import MOST, best_steps
from optkit.tflite_schema import parse, serialize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from optkit.exporters._flatbuffer import Node
    from optkit.exporters._ranges import Activations

CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
# The release that brought them (runtime_version.cc).
_SINCE = (2, 11, 0)
_SINCE_NOTE = b"min_runtime_version"
_NOTE_BYTES = 16
_BIAS_INPUT = 2
_MOST_INT8 = 127


def requantize(
    content: bytes, source: bytes, squares: Mapping[str, np.ndarray], wanted: Wanted, known: tuple[str, ...]
) -> bytes:
    """Round kernels of an int8 file anew, from the float weights.

    Args:
        content: The int8 file.
        source: The float file that it was made of, whose kernels are the same ones in the same order.
        squares: Mean square of the inputs of each operator of ``source`` by tensor name, see ``energy``.
        wanted: Which kernels, and with how many scales.
        known: All Keras layers.

    Raises:
        UnreachableError: A layer was named for which LiteRT has no int4 kernel.
        InternalError: The two files are not of one model.
    """
    model, floats = parse(content), parse(source)
    check_able(nodes(model, known), wanted)
    real = _float_kernels(floats, known)
    found = [(node, operator) for node, operator in _with_kernel(model, known) if node.kernel_type]
    if [node.kind for node, _ in found] != [kind for kind, _, _ in real]:
        raise InternalError("the int8 file and the float file of one model differ in their operators")
    place = {id(operator): int(operator.inputs[KERNEL_INPUT[node.kind]]) for node, operator in found}
    asked = {place[id(operator)] for node, operator in found if wanted.has(node) and node.kernel_type == "int8"}
    # Equal kernels may be stored once; a kernel that an operator without an int4 kernel uses too keeps 8 bits.
    asked -= {place[id(operator)] for node, operator in found if node.kind not in VERSIONS}
    chosen: dict[int, list[tuple[Any, np.ndarray, np.ndarray]]] = {kernel: [] for kernel in sorted(asked)}
    for (_, operator), (_, weights, given) in zip(found, real, strict=True):
        if place[id(operator)] in asked:
            chosen[place[id(operator)]].append((operator, weights, squares[given]))
    for kernel, users in chosen.items():
        operator, weights, _ = users[0]
        tensor = model.subgraphs[0].tensors[kernel]
        kind = code_of(model, operator)
        axis = CHANNEL_AXIS[kind]
        _check_same(model, tensor, weights, axis)
        square = np.mean([_per_weight(weights.shape, kind, given) for _, _, given in users], axis=0)
        scales = best_steps(
            np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1), square, per_tensor=wanted.per_tensor
        )
        # A channel of zeros is as right at any scale; at that of the int8 file the bias is sure to fit.
        widened = np.asarray(tensor.quantization.scale, np.float64) * _MOST_INT8 / MOST
        scales = np.where(scales > 0, scales, widened.max() if wanted.per_tensor else widened).astype(np.float32)
        across = [1] * weights.ndim
        across[axis] = -1
        values = np.clip(np.rint(weights / scales.astype(np.float64).reshape(across)), -MOST, MOST).astype(np.int8)
        for user, _, _ in users:
            _rescale_bias(model, user, scales)
        _store(model, tensor, values, scales, axis)
    return _finished(model, {id(user) for users in chosen.values() for user, _, _ in users})


def pack(content: bytes, wanted: Wanted, known: tuple[str, ...]) -> bytes:
    """Store kernels of an int8 file, which training has left with 15 values, in 4 bits each: the same numbers.

    Where all scales of a kernel are equal, one is stored.

    Raises:
        UnreachableError: A layer was named for which LiteRT has no int4 kernel.
        InternalError: A kernel has values beyond -7 to 7.
        InputError: One scale for each kernel was asked for, and training gave one several.
    """
    model = parse(content)
    check_able(nodes(model, known), wanted)
    packed, users = set(), set()
    for node, operator in _with_kernel(model, known):
        if not wanted.has(node) or node.kernel_type != "int8":
            continue
        users.add(id(operator))
        index = int(operator.inputs[KERNEL_INPUT[node.kind]])
        if index in packed:
            continue
        packed.add(index)
        tensor = model.subgraphs[0].tensors[index]
        values, scales = quantized_kernel(model, tensor), np.asarray(tensor.quantization.scale, np.float32)
        if np.abs(values.astype(int)).max() > MOST:
            raise InternalError(f"the kernel of {', '.join(node.layers) or node.output} was not trained for 4 bits")
        if (scales == scales[0]).all():
            scales = scales[:1]
            _one_bias_scale(model, operator)
        elif wanted.per_tensor:
            raise InputError(
                f"int4:granularity=tensor expects one scale for each kernel, found {len(scales)} in "
                f"{', '.join(node.layers) or node.output}, as it was trained (a normalization after it gives each "
                "channel its own); leave granularity out"
            )
        _store(model, tensor, values, scales, CHANNEL_AXIS[node.kind])
    return _finished(model, users)


def _per_weight(shape: tuple[int, ...], kind: str, square: np.ndarray) -> np.ndarray:
    """Mean square of the input that each weight meets, [output channels or 1, values of a channel].

    Args:
        shape: Of the kernel: [out, height, width, in of a group], dense [out, in], depthwise [1, height, width, out].
        kind: The operator.
        square: By input channel [in].
    """
    if kind == "DEPTHWISE_CONV_2D":
        # All weights of a channel meet the same input.
        return np.ones((1, shape[1] * shape[2]))
    width = shape[-1]
    groups = np.asarray(square, np.float64).reshape(-1, width)
    # What never differs from 0 in calibration may elsewhere: it counts a little.
    groups = groups + 1e-3 * groups.mean() + np.finfo(np.float32).tiny
    per_channel = np.tile(groups, (1, int(np.prod(shape[1:-1]))))
    return np.repeat(per_channel, shape[0] // len(groups), axis=0) if len(groups) > 1 else per_channel


def energy(source: bytes, activations: Iterable[Activations], known: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Mean square of what each operator with a kernel takes, by tensor name, [input channels].

    Args:
        source: The float file.
        activations: Its computed tensors by name, float32 [batch, …, channels], batch by batch.
        known: All Keras layers.
    """
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    # Grouped convolutions have narrower kernels than inputs, dense layers flatten theirs.
    widths = {
        given: weights.shape[-1] if kind == "FULLY_CONNECTED" else None
        for kind, weights, given in _float_kernels(parse(source), known)
    }
    for batch in activations:
        for name, width in widths.items():
            values = batch[name]
            rows = values.reshape(-1, width or values.shape[-1]).astype(np.float64)
            sums[name] = sums.get(name, 0.0) + np.square(rows).sum(axis=0)
            counts[name] = counts.get(name, 0) + len(rows)
    return {name: total / counts[name] for name, total in sums.items()}


def _float_kernels(floats: Any, known: tuple[str, ...]) -> list[tuple[str, np.ndarray, str]]:
    """Kind, kernel and name of the data's tensor of each operator with a stored kernel."""
    graph = floats.subgraphs[0]
    found = []
    for node, operator in _with_kernel(floats, known):
        tensor = graph.tensors[operator.inputs[KERNEL_INPUT[node.kind]]]
        data = floats.buffers[tensor.buffer].data
        if data is None:
            continue
        weights = np.asarray(data, np.uint8).view(np.float32).reshape([int(one) for one in tensor.shape])
        given = operator.inputs[2 if node.kind == "TRANSPOSE_CONV" else 0]
        found.append((node.kind, weights, graph.tensors[given].name.decode()))
    return found


def _with_kernel(model: Any, known: tuple[str, ...]) -> list[tuple[Node, Any]]:
    """Operators that multiply by a stored kernel."""
    graph = model.subgraphs[0]
    pairs = zip(nodes(model, known), graph.operators, strict=True)
    return [
        (node, operator)
        for node, operator in pairs
        if node.kind in KERNEL_INPUT
        and model.buffers[graph.tensors[operator.inputs[KERNEL_INPUT[node.kind]]].buffer].data is not None
    ]


def _check_same(model: Any, tensor: Any, weights: np.ndarray, axis: int) -> None:
    """Stop where an int8 kernel is not the float kernel that it was taken for."""
    across = [1] * weights.ndim
    across[axis] = -1
    step = np.asarray(tensor.quantization.scale, np.float64).reshape(across)
    values = quantized_kernel(model, tensor)
    if values.shape != weights.shape or (np.abs(values * step - weights) > 0.51 * step).any():
        raise InternalError("a kernel of the int8 file is not the one of the float file that it was made of")


def _rescale_bias(model: Any, operator: Any, scales: np.ndarray) -> None:
    """Give a bias the scale that goes with the kernel's: that of the input times it, exactly."""
    graph = model.subgraphs[0]
    if len(operator.inputs) <= _BIAS_INPUT or operator.inputs[_BIAS_INPUT] < 0:
        return
    bias, data = graph.tensors[operator.inputs[_BIAS_INPUT]], graph.tensors[operator.inputs[0]]
    before = np.asarray(bias.quantization.scale, np.float64)
    after = (np.float32(data.quantization.scale[0]) * scales).astype(np.float32)
    stored = np.asarray(model.buffers[bias.buffer].data, np.uint8).view(np.int32)
    values = np.rint(stored * before / after.astype(np.float64))
    limits = np.iinfo(np.int32)
    _replace(model, bias, np.clip(values, limits.min, limits.max).astype(np.int32).tobytes())
    _set_scales(bias, after, 0)


def _one_bias_scale(model: Any, operator: Any) -> None:
    """Keep one of a bias's equal scales."""
    if len(operator.inputs) > _BIAS_INPUT and operator.inputs[_BIAS_INPUT] >= 0:
        bias = model.subgraphs[0].tensors[operator.inputs[_BIAS_INPUT]]
        _set_scales(bias, np.asarray(bias.quantization.scale, np.float32)[:1], 0)


def _store(model: Any, tensor: Any, values: np.ndarray, scales: np.ndarray, axis: int) -> None:
    flat = values.reshape(-1)
    flat = np.append(flat, np.zeros(len(flat) % 2, np.int8)).astype(np.uint8) & 15
    _replace(model, tensor, (flat[0::2] | (flat[1::2] << 4)).astype(np.uint8).tobytes())
    tensor.type = schema.TensorType.INT4
    _set_scales(tensor, scales, axis)


def _replace(model: Any, tensor: Any, content: bytes) -> None:
    """Give a tensor a buffer of its own: others may share the one that it had."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1


def _set_scales(tensor: Any, scales: np.ndarray, axis: int) -> None:
    found = tensor.quantization
    found.scale, found.zeroPoint = scales.astype(np.float32), np.zeros(len(scales), np.int64)
    found.min = found.max = None
    found.quantizedDimension = axis if len(scales) > 1 else 0


def _finished(model: Any, changed: set[int]) -> bytes:
    """The file, with the versions of operators and of the runtime that int4 kernels need.

    Raises:
        InputError: No kernel is int4.
    """
    if not changed:
        raise InputError(
            "nothing would be int4: no convolution and no dense layer with an int8 kernel is among those wanted"
        )
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if id(operator) in changed:
            operator.opcodeIndex = _versioned(model, operator)
    used = sorted({operator.opcodeIndex for one in model.subgraphs for operator in one.operators})
    for one in model.subgraphs:
        for operator in one.operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    _note_release(model)
    return serialize(without_unused_buffers(model))


def _versioned(model: Any, operator: Any) -> int:
    """The place of an operator's code with the version that has int4 kernels."""
    own, version = model.operatorCodes[operator.opcodeIndex], VERSIONS[code_of(model, operator)]
    same = (own.builtinCode, own.deprecatedBuiltinCode)
    for index, code in enumerate(model.operatorCodes):
        if (code.builtinCode, code.deprecatedBuiltinCode) == same and code.version == max(version, own.version):
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = same
    code.version = max(version, own.version)
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _note_release(model: Any) -> None:
    """Raise the least release of the runtime that the converter has noted."""
    for entry in model.metadata or ():
        if entry.name == _SINCE_NOTE:
            noted = np.asarray(model.buffers[entry.buffer].data, np.uint8).tobytes().rstrip(b"\0").decode()
            least = tuple(int(part) for part in noted.split(".") if part.isdigit())
            text = ".".join(map(str, max(least, _SINCE))).encode()
            model.buffers[entry.buffer].data = np.frombuffer(text.ljust(_NOTE_BYTES, b"\0"), np.uint8)
