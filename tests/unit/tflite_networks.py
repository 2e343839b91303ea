"""Random small int8 networks as .tflite files."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_builder import OPERATORS, TYPES, Builder
from tflite_moves import Moves

_SAME, _VALID = 0, 1
# NONE, RELU, RELU_N1_TO_1, RELU6.
_ACTIVATIONS = (0, 1, 2, 3)
_MOST_MACS = 40_000


class Network(Moves):
    """A random network; ``grow`` adds one operator of a kind, or says that it does not fit."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.build = Builder()
        self.kinds: list[str] = []

    def number(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def pick(self, choices: Any) -> Any:
        return choices[self.number(0, len(choices) - 1)]

    def activation(self, shape: tuple[int, ...], scale: float) -> int:
        # Zero points at the ends are what ReLU gives.
        zero = self.pick([-128, 127, 0, self.number(-128, 127), self.number(-128, 127)])
        return self.build.tensor(shape, scales=[scale], zeros=[zero])

    def near(self, scale: float) -> float:
        return scale * float(self.random.uniform(0.3, 2.5))

    def same_as(self, like: int, shape: tuple[int, ...]) -> int:
        return self.build.tensor(shape, scales=[self.build.scale(like)], zeros=[self.build.zero(like)])

    def weights(
        self, shape: tuple[int, ...], axis: int, channels: int, given: int, fan_in: int
    ) -> tuple[int, int, float]:
        """Weights and biases: their tensors, and a fitting scale of the output."""
        random, four_bits = self.random, self.chance(0.3)
        bound = 7 if four_bits else 127
        values = random.integers(-bound, bound + 1, shape).astype(np.int8)
        count = channels if self.chance(0.6) else 1
        scales = (random.uniform(0.2, 1, count) * 0.5 / bound).tolist()
        if four_bits:
            flat = values.reshape(-1)
            flat = np.append(flat, np.zeros(flat.size % 2, np.int8))
            stored = ((flat[0::2] & 15) | ((flat[1::2] & 15) << 4)).astype(np.int8)
            weights = self.build.tensor(shape, TYPES.INT4, scales=scales, zeros=[0] * count, axis=axis, values=stored)
        else:
            weights = self.build.tensor(shape, TYPES.INT8, scales=scales, zeros=[0] * count, axis=axis, values=values)
        spread = 70 * bound * math.sqrt(fan_in) * 0.6
        biases = -1
        # LiteRT's convolutions must have them.
        if (axis == 0 and len(shape) == 4) or self.chance(0.8):
            bias = random.integers(-int(spread), int(spread) + 1, channels).astype(np.int32)
            inner = [self.build.scale(given) * scale for scale in scales]
            biases = self.build.tensor((channels,), TYPES.INT32, scales=inner, zeros=[0] * count, values=bias)
        output = self.build.scale(given) * float(np.mean(scales)) * spread / 60
        return weights, biases, self.near(output)

    def windows(self, size: int, height: int, width: int, padding: int) -> tuple[int, int, int, int, int, int] | None:
        """Strides, dilations and output sizes of a window on an image."""
        strides = (self.number(1, 3), self.number(1, 3)) if self.chance(0.6) else (1, 1)
        gaps = (self.number(1, 2), self.number(1, 2)) if self.chance(0.2) and strides == (1, 1) else (1, 1)
        outputs = []
        for length, stride, gap in zip((height, width), strides, gaps, strict=True):
            reach = (size - 1) * gap + 1
            outputs.append(-(-length // stride) if padding == _SAME else -(-(length - reach + 1) // stride))
        return None if min(outputs) < 1 else (*strides, *gaps, *outputs)

    # Each of these takes the tensor to work on and returns the one made, or None where it does not fit.

    def conv_2d(self, given: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) != 4:
            return None
        size, padding = self.pick([1, 1, 2, 3, 5]), self.pick([_SAME, _VALID])
        found = self.windows(size, *shape[1:3], padding)
        groups = self.pick([n for n in range(1, shape[3] + 1) if shape[3] % n == 0]) if self.chance(0.25) else 1
        outputs = groups * self.number(1, max(1, 8 // groups))
        depth = shape[3] // groups
        if found is None or found[4] * found[5] * outputs * size * size * depth > _MOST_MACS:
            return None
        weights, biases, scale = self.weights((outputs, size, size, depth), 0, outputs, given, size * size * depth)
        options = schema.Conv2DOptionsT()
        options.padding, options.fusedActivationFunction = padding, self.pick(_ACTIVATIONS)
        options.strideH, options.strideW, options.dilationHFactor, options.dilationWFactor = found[:4]
        made = self.activation((1, *found[4:], outputs), scale)
        return self.build.operator(
            OPERATORS.CONV_2D, [given, weights, *([biases] if biases >= 0 else [])], made, options, 3
        )

    def depthwise_conv_2d(self, given: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) != 4:
            return None
        size, padding, times = self.pick([1, 2, 3, 5]), self.pick([_SAME, _VALID]), self.pick([1, 1, 2, 3])
        found = self.windows(size, *shape[1:3], padding)
        outputs = shape[3] * times
        if found is None or found[4] * found[5] * outputs * size * size > _MOST_MACS:
            return None
        weights, biases, scale = self.weights((1, size, size, outputs), 3, outputs, given, size * size)
        options = schema.DepthwiseConv2DOptionsT()
        options.padding, options.fusedActivationFunction = padding, self.pick(_ACTIVATIONS)
        options.strideH, options.strideW, options.dilationHFactor, options.dilationWFactor = found[:4]
        options.depthMultiplier = times
        made = self.activation((1, *found[4:], outputs), scale)
        return self.build.operator(
            OPERATORS.DEPTHWISE_CONV_2D, [given, weights, *([biases] if biases >= 0 else [])], made, options, 3
        )

    def fully_connected(self, given: int) -> int | None:
        shape = self.build.shape(given)
        count, outputs = math.prod(shape), self.number(1, 20)
        if count * outputs > _MOST_MACS:
            return None
        weights, biases, scale = self.weights((outputs, count), 0, outputs, given, count)
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = self.pick(_ACTIVATIONS)
        made = self.activation((1, outputs), scale)
        return self.build.operator(OPERATORS.FULLY_CONNECTED, [given, weights, biases], made, options, 5)

    def _pool(self, given: int, kind: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) != 4:
            return None
        padding, options = self.pick([_SAME, _VALID]), schema.Pool2DOptionsT()
        sizes, strides = (self.number(1, 4), self.number(1, 4)), (self.number(1, 3), self.number(1, 3))
        outputs = [
            -(-length // stride) if padding == _SAME else -(-(length - size + 1) // stride)
            for length, size, stride in zip(shape[1:3], sizes, strides, strict=True)
        ]
        if min(outputs) < 1:
            return None
        options.padding, options.fusedActivationFunction = padding, self.pick(_ACTIVATIONS)
        options.filterHeight, options.filterWidth = sizes
        options.strideH, options.strideW = strides
        return self.build.operator(kind, [given], self.same_as(given, (1, *outputs, shape[3])), options, 2)

    def max_pool_2d(self, given: int) -> int | None:
        return self._pool(given, OPERATORS.MAX_POOL_2D)

    def average_pool_2d(self, given: int) -> int | None:
        return self._pool(given, OPERATORS.AVERAGE_POOL_2D)

    def _unary(self, given: int, kind: int, options: Any = None, scale: float | None = None, version: int = 2) -> int:
        made = self.activation(self.build.shape(given), scale or self.near(self.build.scale(given)))
        return self.build.operator(kind, [given], made, options, version)

    def relu(self, given: int) -> int:
        return self._unary(given, OPERATORS.RELU)

    def relu6(self, given: int) -> int:
        return self._unary(given, OPERATORS.RELU6)

    def relu_n1_to_1(self, given: int) -> int:
        return self._unary(given, OPERATORS.RELU_N1_TO_1, version=1)

    def leaky_relu(self, given: int) -> int:
        options = schema.LeakyReluOptionsT()
        options.alpha = self.pick([0.0, 0.01, 0.2, 0.3, 1.5])
        return self._unary(given, OPERATORS.LEAKY_RELU, options)

    def hard_swish(self, given: int) -> int:
        scale = self.build.scale(given) * float(self.random.uniform(0.2, 1.5))
        return self._unary(given, OPERATORS.HARD_SWISH, None, max(scale, self.build.scale(given) / 100), version=1)

    def prelu(self, given: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) > 4:
            return None
        kept = tuple(size if self.chance(0.6) else 1 for size in shape[1:])
        values = self.random.integers(-128, 128, kept).astype(np.int8)
        factors = self.build.tensor(kept, scales=[0.005], zeros=[self.number(-128, 127)], values=values)
        made = self.activation(shape, self.near(self.build.scale(given)))
        return self.build.operator(OPERATORS.PRELU, [given, factors], made)

    def tanh(self, given: int) -> int:
        return self._unary(given, OPERATORS.TANH, None, float(self.random.uniform(1, 2) / 128))

    def quantize(self, given: int) -> int:
        return self._unary(given, OPERATORS.QUANTIZE)

    def logistic(self, given: int) -> int:
        made = self.build.tensor(self.build.shape(given), scales=[1 / 256], zeros=[-128])
        return self.build.operator(OPERATORS.LOGISTIC, [given], made, None, 2)

    def softmax(self, given: int) -> int | None:
        options = schema.SoftmaxOptionsT()
        options.beta = self.pick([1.0, 1.0, 0.5, 2.0])
        made = self.build.tensor(self.build.shape(given), scales=[1 / 256], zeros=[-128])
        return self.build.operator(OPERATORS.SOFTMAX, [given], made, options, 2)

    def _other(self, given: int) -> int:
        """A second operand: the same tensor rescaled, or a constant of its shape or broadcast to it."""
        shape, way = self.build.shape(given), self.number(0, 3)
        if way == 0:
            return self.quantize(given)
        if way == 1:
            return given
        kept = [size if self.chance(0.6) else 1 for size in shape] if way == 2 else list(shape)
        start = self.number(0, len(shape) - 1) if way == 2 else 0
        values = self.random.integers(-128, 128, kept[start:]).astype(np.int8)
        scale = self.near(self.build.scale(given))
        return self.build.tensor(tuple(kept[start:]), scales=[scale], zeros=[self.number(-128, 127)], values=values)

    def _pair(self, given: int, kind: int, options: Any, scale: float) -> int:
        other = self._other(given)
        pair = [given, other] if self.chance(0.5) else [other, given]
        options.fusedActivationFunction = self.pick(_ACTIVATIONS)
        return self.build.operator(kind, pair, self.activation(self.build.shape(given), scale), options, 2)

    def add(self, given: int) -> int:
        return self._pair(given, OPERATORS.ADD, schema.AddOptionsT(), self.near(self.build.scale(given) * 1.5))

    def sub(self, given: int) -> int:
        return self._pair(given, OPERATORS.SUB, schema.SubOptionsT(), self.near(self.build.scale(given) * 1.5))

    def mul(self, given: int) -> int:
        scale = self.near(self.build.scale(given) ** 2 * 40)
        return self._pair(given, OPERATORS.MUL, schema.MulOptionsT(), scale)

    def concatenation(self, given: int) -> int:
        shape = self.build.shape(given)
        axis = self.number(0 if len(shape) == 1 else 1, len(shape) - 1)
        other = given
        if self.chance(0.5):
            other = self.build.operator(OPERATORS.QUANTIZE, [given], self.same_as(given, shape), None, 2)
        if self.chance(0.3):
            values = self.random.integers(-128, 128, shape).astype(np.int8)
            like = {"scales": [self.build.scale(given)], "zeros": [self.build.zero(given)]}
            other = self.build.tensor(shape, values=values, **like)
        options = schema.ConcatenationOptionsT()
        options.axis = axis if self.chance(0.5) else axis - len(shape)
        doubled = tuple(size * 2 if at == axis else size for at, size in enumerate(shape))
        return self.build.operator(OPERATORS.CONCATENATION, [given, other], self.same_as(given, doubled), options, 2)

    def _widths(self, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
        widths = self.random.integers(0, 3, (len(shape), 2)).astype(np.int32)
        widths[0] = 0
        return widths, tuple(int(size + row.sum()) for size, row in zip(shape, widths, strict=True))

    def pad(self, given: int) -> int:
        widths, shape = self._widths(self.build.shape(given))
        listed = self.build.tensor(widths.shape, TYPES.INT32, values=widths)
        return self.build.operator(OPERATORS.PAD, [given, listed], self.same_as(given, shape), schema.PadOptionsT(), 2)

    def padv2(self, given: int) -> int:
        widths, shape = self._widths(self.build.shape(given))
        listed = self.build.tensor(widths.shape, TYPES.INT32, values=widths)
        like = {"scales": [self.build.scale(given)], "zeros": [self.build.zero(given)]}
        fill = self.build.tensor((1,), values=np.array([self.number(-128, 127)], np.int8), **like)
        made = self.same_as(given, shape)
        return self.build.operator(OPERATORS.PADV2, [given, listed, fill], made, schema.PadV2OptionsT(), 2)

    def mean(self, given: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) < 2:
            return None
        first = self.number(1, len(shape) - 1)
        axes = list(range(first, self.number(first, len(shape) - 1) + 1))
        keep = self.chance(0.5)
        made = tuple(1 if at in axes else size for at, size in enumerate(shape) if keep or at not in axes)
        listed = self.build.tensor((len(axes),), TYPES.INT32, values=np.array(axes, np.int32))
        options = schema.ReducerOptionsT()
        options.keepDims = keep
        output = self.activation(made, self.near(self.build.scale(given)))
        return self.build.operator(OPERATORS.MEAN, [given, listed], output, options, 2)

    def _shaped(self, given: int, kind: int, shape: tuple[int, ...], extra: list[int], options: Any) -> int:
        return self.build.operator(kind, [given, *extra], self.same_as(given, shape), options)

    def reshape(self, given: int) -> int:
        shape = self.build.shape(given)
        way = (1, *shape[1:][::-1]) if self.chance(0.4) else (1, math.prod(shape))
        listed = self.build.tensor((len(way),), TYPES.INT32, values=np.array(way, np.int32))
        options = schema.ReshapeOptionsT()
        options.newShape = np.array(way, np.int32)
        return self._shaped(given, OPERATORS.RESHAPE, way, [listed], options)

    def squeeze(self, given: int) -> int | None:
        shape = self.build.shape(given)
        axes = [at for at, size in enumerate(shape) if size == 1 and at > 0]
        if not axes:
            return None
        options = schema.SqueezeOptionsT()
        options.squeezeDims = np.array(axes[:1], np.int32)
        left = tuple(size for at, size in enumerate(shape) if at != axes[0])
        return self._shaped(given, OPERATORS.SQUEEZE, left, [], options)

    def expand_dims(self, given: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) > 3:
            return None
        axis = self.number(1, len(shape))
        listed = self.build.tensor((1,), TYPES.INT32, values=np.array([axis], np.int32))
        made = (*shape[:axis], 1, *shape[axis:])
        return self._shaped(given, OPERATORS.EXPAND_DIMS, made, [listed], schema.ExpandDimsOptionsT())


def network(random: np.random.Generator, kinds: list[str]) -> tuple[bytes, list[str]]:
    """A random network.

    Args:
        random: Decides everything.
        kinds: Operators to draw from, by the names of the methods above; two of them open and close a network with
            real inputs or outputs.

    Returns:
        The file, and the operators in it.
    """
    grown = Network(random)
    inner = [kind for kind in kinds if kind != "dequantize"]
    used: list[str] = []
    flat = grown.chance(0.2)
    shape = (1, grown.number(1, 60)) if flat else (1, grown.number(1, 12), grown.number(1, 12), grown.number(1, 6))
    given = grown.activation(shape, float(random.uniform(0.005, 0.1)))
    start = given
    if grown.chance(0.15):
        start = grown.build.tensor(shape, TYPES.FLOAT32)
        grown.build.operator(OPERATORS.QUANTIZE, [start], given, schema.QuantizeOptionsT(), 1)
        used.append("quantize")
    elif grown.chance(0.1):
        scale, zero = grown.build.scale(given), grown.build.zero(given) + 128
        start = grown.build.tensor(shape, TYPES.UINT8, scales=[scale], zeros=[zero])
        grown.build.operator(OPERATORS.QUANTIZE, [start], given, schema.QuantizeOptionsT(), 2)
        used.append("quantize")
    current, outputs = given, []
    for _ in range(grown.number(1, 6)):
        for kind in [grown.pick(inner) for _ in range(20)]:
            made = getattr(grown, kind)(current)
            if made is not None and math.prod(grown.build.shape(made)) < 4000:
                break
        else:
            break
        current = made
        used.append(kind)
        if grown.chance(0.08):
            outputs.append(current)
    if not used:
        current = grown.relu(current)
        used.append("relu")
    if "dequantize" in kinds and grown.chance(0.15):
        made = grown.build.tensor(grown.build.shape(current), TYPES.FLOAT32)
        grown.build.operator(OPERATORS.DEQUANTIZE, [current], made, schema.DequantizeOptionsT(), 2)
        current = made
        used.append("dequantize")
    elif grown.chance(0.1):
        scale, zero = grown.near(grown.build.scale(current)), grown.number(0, 255)
        made = grown.build.tensor(grown.build.shape(current), TYPES.UINT8, scales=[scale], zeros=[zero])
        grown.build.operator(OPERATORS.QUANTIZE, [current], made, schema.QuantizeOptionsT(), 2)
        current = made
        used.append("quantize")
    outputs = [*dict.fromkeys([*outputs[:1], current])]
    return grown.build.finish([start], outputs), used
