"""Operators of Keras 3 that multiply matrices, look up, pool and resize, in tf_keras."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.keras_models._parts import as_float32, cast, is_tensor, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.keras_models._parts import Parts

    Convert = Callable[..., Any]


def _matmul(parts: Parts, _source: Any, x1: Any, x2: Any) -> Any:
    import tensorflow as tf

    dtype = as_float32(parts.outputs[0].dtype)
    left, right = (cast(parts, x, dtype) if is_tensor(x) else plain(x) for x in (x1, x2))
    if min(len(np.shape(x)) for x in (x1, x2)) < 2:
        raise parts.refuse("matmul with a vector")
    return parts.op(tf.matmul)(left, right)


def _einsum(parts: Parts, source: Any, *operands: Any) -> Any:
    """A sum of products of two tensors, as a matrix product: tf.einsum itself does not come back from a file."""
    import tensorflow as tf

    terms, _, result = source.subscripts.replace(" ", "").partition("->")
    labels = terms.split(",")
    if len(operands) != 2 or len(labels) != 2 or not result or "." in terms or not all(map(is_tensor, operands)):
        raise parts.refuse(f"einsum {source.subscripts!r}: only two tensors, with an explicit result, can be rebuilt")
    left, right = labels
    both = [label for label in left if label in right]
    batch, summed = ([label for label in both if (label in result) == kept] for kept in (True, False))
    rows, columns = ([label for label in term if label not in both] for term in labels)
    if sorted(batch + rows + columns) != sorted(result) or len(set(left)) < len(left) or len(set(right)) < len(right):
        raise parts.refuse(f"einsum {source.subscripts!r}: sums over one tensor alone cannot be rebuilt")
    sizes = {
        label: size
        for term, tensor in zip(labels, operands, strict=True)
        for label, size in zip(term, tensor.shape, strict=True)
    }
    dtype = as_float32(parts.outputs[0].dtype)
    factors = []
    for tensor, have, (first, second), side in zip(
        operands, labels, ((rows, summed), (summed, columns)), ("left", "right"), strict=True
    ):
        want = [*batch, *first, *second]
        turned = parts.op(tf.transpose, side)(cast(parts, tensor, dtype), [have.index(label) for label in want])
        shape = _joined(parts, sizes, [[label] for label in batch] + [first, second])
        factors.append(parts.op(tf.reshape, f"{side}_matrix")(turned, shape))
    product = parts.op(tf.matmul, "product")(*factors)
    order = [*batch, *rows, *columns]
    apart = parts.op(tf.reshape, "apart")(product, _joined(parts, sizes, [[label] for label in order]))
    return parts.op(tf.transpose)(apart, [order.index(label) for label in result])


def _joined(parts: Parts, sizes: dict[str, int | None], groups: list[list[str]]) -> list[int]:
    """A shape in which each group of axes is one; an unknown size is left to be found out."""
    shape = [-1 if any(sizes[label] is None for label in group) else _product(sizes, group) for group in groups]
    if shape.count(-1) > 1:
        raise parts.refuse("einsum with more than one axis of unknown size")
    return shape


def _product(sizes: dict[str, int | None], labels: list[str]) -> int:
    return math.prod(sizes[label] or 1 for label in labels)


def _take(parts: Parts, source: Any, x: Any, indices: Any) -> Any:
    import tensorflow as tf

    if source.axis is None:
        raise parts.refuse("take over all axes at once, the batch included")
    places = cast(parts, indices, "int32") if is_tensor(indices) else plain(indices)
    return parts.op(tf.gather)(x if is_tensor(x) else plain(x), places, axis=int(source.axis))


def _one_hot(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    if source.sparse:
        raise parts.refuse("one_hot with a sparse answer")
    dtype = as_float32(parts.outputs[0].dtype)
    return parts.op(tf.one_hot)(cast(parts, x, "int32"), int(source.num_classes), axis=int(source.axis), dtype=dtype)


def _pool(kind: str) -> Convert:
    def apply(parts: Parts, source: Any, x: Any) -> Any:
        import tf_keras

        layer = getattr(tf_keras.layers, f"{kind}Pooling{len(x.shape) - 2}D")
        options = {"pool_size": source.pool_size, "strides": source.strides, "padding": source.padding}
        return parts.layer(layer, data_format=source.data_format or "channels_last", **options)(x)

    return apply


def _resize(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    if source.data_format != "channels_last" or source.pad_to_aspect_ratio or source.crop_to_aspect_ratio:
        raise parts.refuse("resize with channels first, or that keeps the aspect ratio")
    size = [int(side) for side in source.size]
    return parts.op(tf.image.resize)(x, size, method=source.interpolation, antialias=bool(source.antialias))


def _depth(function: str) -> Convert:
    def apply(parts: Parts, source: Any, x: Any) -> Any:
        import tensorflow as tf

        if source.data_format != "channels_last":
            raise parts.refuse(f"{function} with channels first")
        return parts.op(getattr(tf.nn, function))(x, int(source.block_size))

    return apply


MADE: dict[str, Convert] = {
    "AveragePool": _pool("Average"),
    "DepthToSpace": _depth("depth_to_space"),
    "Einsum": _einsum,
    "Matmul": _matmul,
    "MaxPool": _pool("Max"),
    "OneHot": _one_hot,
    "Resize": _resize,
    "SpaceToDepth": _depth("space_to_depth"),
    "Take": _take,
}
