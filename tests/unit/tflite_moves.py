"""Random operators that move, compare or look up values, for random networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_builder import OPERATORS, TYPES, Builder


class Moves:
    """Methods by operator: each adds one to the network, or says that it does not fit."""

    if TYPE_CHECKING:
        random: np.random.Generator
        build: Builder

        def number(self, low: int, high: int) -> int: ...
        def chance(self, share: float) -> bool: ...
        def pick(self, choices: Any) -> Any: ...
        def near(self, scale: float) -> float: ...
        def activation(self, shape: tuple[int, ...], scale: float) -> int: ...
        def same_as(self, like: int, shape: tuple[int, ...]) -> int: ...
        def _unary(
            self, given: int, kind: int, options: Any = None, scale: float | None = None, version: int = 2
        ) -> int: ...

    def _numbers(self, values: Any) -> int:
        stored = np.array(values, np.int32)
        return self.build.tensor(stored.shape, TYPES.INT32, values=stored)

    def gelu(self, given: int) -> int:
        options = schema.GeluOptionsT()
        options.approximate = self.chance(0.5)
        return self._unary(given, OPERATORS.GELU, options)

    def elu(self, given: int) -> int:
        return self._unary(given, OPERATORS.ELU, version=1)

    def exp(self, given: int) -> int:
        return self._unary(given, OPERATORS.EXP, schema.ExpOptionsT(), float(self.random.uniform(0.005, 0.2)))

    def relu_0_to_1(self, given: int) -> int:
        return self._unary(given, OPERATORS.RELU_0_TO_1, version=1)

    def _extreme(self, given: int, kind: int) -> int:
        shape = self.build.shape(given)
        kept = [size if self.chance(0.6) else 1 for size in shape]
        start = self.number(0, len(shape) - 1)
        whole = self.chance(0.4)
        there = shape if whole else tuple(kept[start:])
        scales, zeros = [self.build.scale(given)], [self.build.zero(given)]
        values = self.random.integers(-128, 128, there).astype(np.int8)
        other = self.build.tensor(there, scales=scales, zeros=zeros, values=values)
        pair = [given, other] if self.chance(0.5) else [other, given]
        return self.build.operator(kind, pair, self.same_as(given, shape), schema.MaximumMinimumOptionsT(), 2)

    def maximum(self, given: int) -> int:
        return self._extreme(given, OPERATORS.MAXIMUM)

    def minimum(self, given: int) -> int:
        return self._extreme(given, OPERATORS.MINIMUM)

    def transpose(self, given: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) < 3:
            return None
        order = [0, *(1 + int(one) for one in self.random.permutation(len(shape) - 1))]
        made = self.same_as(given, tuple(shape[axis] for axis in order))
        inputs = [given, self._numbers(order)]
        return self.build.operator(OPERATORS.TRANSPOSE, inputs, made, schema.TransposeOptionsT(), 2)

    def slice(self, given: int) -> int:
        shape = self.build.shape(given)
        begin = [0, *(self.number(0, size - 1) for size in shape[1:])]
        size = [1, *(self.number(1, length - at) for length, at in zip(shape[1:], begin[1:], strict=True))]
        wanted = [
            -1 if at + count == length and self.chance(0.5) else count
            for at, count, length in zip(begin, size, shape, strict=True)
        ]
        inputs = [given, self._numbers(begin), self._numbers(wanted)]
        return self.build.operator(OPERATORS.SLICE, inputs, self.same_as(given, tuple(size)), schema.SliceOptionsT(), 2)

    def strided_slice(self, given: int) -> int | None:
        shape = self.build.shape(given)
        options = schema.StridedSliceOptionsT()
        begin, end, stride, made = [0], [1], [1], [1]
        for axis, length in enumerate(shape[1:], 1):
            step = self.pick([1, 1, 2, 3, -1, -2])
            first, last = self.number(0, length - 1), self.number(0, length - 1)
            first, last = (min(first, last), max(first, last)) if step > 0 else (max(first, last), min(first, last))
            begin.append(first - (length if self.chance(0.3) else 0))
            end.append(last)
            stride.append(step)
            if self.chance(0.2):
                options.beginMask |= 1 << axis
            if self.chance(0.4) or first == last:
                options.endMask |= 1 << axis
            low = None if options.beginMask & (1 << axis) else begin[-1]
            high = None if options.endMask & (1 << axis) else end[-1]
            made.append(len(range(*slice(low, high, step).indices(length))))
            if self.chance(0.1) and len(shape) > 2:
                options.shrinkAxisMask |= 1 << axis
                end[-1], stride[-1], made[-1] = first + 1, 1, -1
                begin[-1] = first
        if 0 in made:
            return None
        inputs = [given, *(self._numbers(one) for one in (begin, end, stride))]
        output = self.same_as(given, tuple(size for size in made if size > 0))
        return self.build.operator(OPERATORS.STRIDED_SLICE, inputs, output, options, 2)

    def reduce_max(self, given: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) < 2:
            return None
        first = self.number(1, len(shape) - 1)
        axes = list(range(first, self.number(first, len(shape) - 1) + 1))
        options = schema.ReducerOptionsT()
        options.keepDims = self.chance(0.5)
        made = tuple(1 if at in axes else size for at, size in enumerate(shape) if options.keepDims or at not in axes)
        inputs = [given, self._numbers(axes)]
        return self.build.operator(OPERATORS.REDUCE_MAX, inputs, self.same_as(given, made), options, 2)

    def space_to_depth(self, given: int) -> int | None:
        shape, block = self.build.shape(given), self.number(1, 3)
        if len(shape) != 4 or shape[1] % block or shape[2] % block:
            return None
        options = schema.SpaceToDepthOptionsT()
        options.blockSize = block
        made = self.same_as(given, (1, shape[1] // block, shape[2] // block, shape[3] * block * block))
        return self.build.operator(OPERATORS.SPACE_TO_DEPTH, [given], made, options, 2)

    def depth_to_space(self, given: int) -> int | None:
        shape, block = self.build.shape(given), self.number(1, 2)
        if len(shape) != 4 or shape[3] % (block * block):
            return None
        options = schema.DepthToSpaceOptionsT()
        options.blockSize = block
        made = self.same_as(given, (1, shape[1] * block, shape[2] * block, shape[3] // (block * block)))
        return self.build.operator(OPERATORS.DEPTH_TO_SPACE, [given], made, options, 1)

    def _resized(self, given: int, kind: int, options: Any, version: int) -> int | None:
        shape = self.build.shape(given)
        if len(shape) != 4:
            return None
        size = [self.number(1, 2 * length + 2) for length in shape[1:3]]
        options.alignCorners = self.chance(0.4)
        options.halfPixelCenters = not options.alignCorners and self.chance(0.5)
        made = self.same_as(given, (1, *size, shape[3]))
        return self.build.operator(kind, [given, self._numbers(size)], made, options, version)

    def resize_nearest_neighbor(self, given: int) -> int | None:
        return self._resized(given, OPERATORS.RESIZE_NEAREST_NEIGHBOR, schema.ResizeNearestNeighborOptionsT(), 3)

    def resize_bilinear(self, given: int) -> int | None:
        return self._resized(given, OPERATORS.RESIZE_BILINEAR, schema.ResizeBilinearOptionsT(), 3)
