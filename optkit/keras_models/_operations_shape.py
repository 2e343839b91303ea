"""Operators of Keras 3 that reduce, reshape, cut and join, in tf_keras."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.keras_models._parts import as_float32, cast, is_tensor, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.keras_models._parts import Parts

    Convert = Callable[..., Any]


def _axes(axis: Any, rank: int) -> list[int]:
    """Axes counted from the front; ``None`` is all of them."""
    if axis is None:
        return list(range(rank))
    many = [axis] if isinstance(axis, (int, np.integer)) else axis
    return sorted(int(item) % rank for item in many)


def _reduce(function: str, pooling: str | None = None) -> Convert:
    """A reduction; over all places of an image it is the global pooling layer."""

    def apply(parts: Parts, source: Any, x: Any) -> Any:
        import tensorflow as tf
        import tf_keras

        rank = len(x.shape)
        axes, keep = _axes(source.axis, rank), bool(source.keepdims)
        dtype = as_float32(parts.outputs[0].dtype)
        if getattr(source, "initial", None) is not None:
            raise parts.refuse("a reduction with an initial value")
        x = cast(parts, x, dtype)
        if pooling and dtype == "float32" and 3 <= rank <= 5 and axes == list(range(1, rank - 1)):
            kind = getattr(tf_keras.layers, f"Global{pooling}Pooling{rank - 2}D")
            return parts.layer(kind, keepdims=keep)(x)
        return parts.op(getattr(tf.math, function))(x, axis=axes, keepdims=keep)

    return apply


def _arg(function: str) -> Convert:
    def apply(parts: Parts, source: Any, x: Any) -> Any:
        import tensorflow as tf

        if source.axis is None or source.keepdims:
            raise parts.refuse(f"{function} without an axis, or with keepdims")
        found = parts.op(getattr(tf.math, function), "index")(x, axis=int(source.axis))
        return parts.op(tf.cast)(found, "int32")

    return apply


def _logsumexp(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    axes = _axes(source.axis, len(x.shape))
    return parts.op(tf.math.reduce_logsumexp)(x, axis=axes, keepdims=bool(source.keepdims))


def _cumsum(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    if source.axis is None:
        raise parts.refuse("cumsum over all axes at once, the batch included")
    return parts.op(tf.math.cumsum)(cast(parts, x, as_float32(parts.outputs[0].dtype)), axis=int(source.axis))


def _reshaped(parts: Parts, x: Any, shape: Sequence[Any]) -> Any | None:
    """As a Reshape layer, if the batch stays what it is and at most one other size is unknown."""
    import tf_keras

    target = [-1 if size is None else int(size) for size in shape[1:]]
    inside = tuple(x.shape[1:])
    if target.count(-1) > 1 or not shape or None in inside:
        return None
    if -1 not in target and int(np.prod(target)) != int(np.prod(inside)):
        return None
    return parts.layer(tf_keras.layers.Reshape, target_shape=tuple(target))(x)


def _reshape(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    shape = list(source.newshape) if isinstance(source.newshape, (list, tuple)) else [source.newshape]
    if any(is_tensor(size) for size in shape):
        raise parts.refuse("a reshape to a size that is computed")
    if len(shape) > 1 and shape[0] in (-1, None) and -1 not in shape[1:] and None not in shape[1:]:
        made = _reshaped(parts, x, shape)
        if made is not None:
            return made
    if len(shape) > 1 and x.shape[0] is not None and shape[0] == x.shape[0]:
        made = _reshaped(parts, x, shape)
        if made is not None:
            return made
    return parts.op(tf.reshape)(x, [-1 if size is None else int(size) for size in shape])


def _squeeze(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    rank = len(x.shape)
    axes = [axis for axis in range(rank) if x.shape[axis] == 1] if source.axis is None else _axes(source.axis, rank)
    if 0 not in axes:
        made = _reshaped(parts, x, [size for axis, size in enumerate(x.shape) if axis not in axes])
        if made is not None:
            return made
    return parts.op(tf.squeeze)(x, axis=axes)


def _expand_dims(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    shape: list[Any] = list(x.shape)
    given = source.axis if isinstance(source.axis, (list, tuple)) else [source.axis]
    rank = len(shape) + len(given)
    axes = sorted(int(axis) % rank for axis in given)
    for axis in axes:
        shape.insert(axis, 1)
    if 0 not in axes:
        made = _reshaped(parts, x, shape)
        if made is not None:
            return made
    for number, axis in enumerate(axes):
        x = parts.op(tf.expand_dims, "" if number == len(axes) - 1 else "expand")(x, axis)
    return x


def _ravel(parts: Parts, _source: Any, x: Any) -> Any:
    import tensorflow as tf

    return parts.op(tf.reshape)(x, [-1])


def _permuted(parts: Parts, x: Any, order: list[int]) -> Any:
    import tensorflow as tf
    import tf_keras

    if order[0] == 0 and len(order) > 1:
        return parts.layer(tf_keras.layers.Permute, dims=tuple(order[1:]))(x)
    return parts.op(tf.transpose)(x, order)


def _transpose(parts: Parts, source: Any, x: Any) -> Any:
    rank = len(x.shape)
    order = list(range(rank))[::-1] if source.axes is None else [int(axis) % rank for axis in source.axes]
    return _permuted(parts, x, order)


def _swapaxes(parts: Parts, source: Any, x: Any) -> Any:
    order = list(range(len(x.shape)))
    one, other = source.axis1 % len(order), source.axis2 % len(order)
    order[one], order[other] = order[other], order[one]
    return _permuted(parts, x, order)


def _moveaxis(parts: Parts, source: Any, x: Any) -> Any:
    rank = len(x.shape)
    moved = np.moveaxis(np.empty(tuple(range(2, rank + 2))), source.source, source.destination).shape
    return _permuted(parts, x, [size - 2 for size in moved])


def _concatenate(parts: Parts, source: Any, xs: Sequence[Any]) -> Any:
    import tensorflow as tf
    import tf_keras

    dtype = as_float32(parts.outputs[0].dtype)
    given = [cast(parts, x, dtype) if is_tensor(x) else plain(x) for x in xs]
    if all(is_tensor(x) for x in xs) and len(given) > 1 and source.axis != 0:
        return parts.layer(tf_keras.layers.Concatenate, axis=int(source.axis))(given)
    return parts.op(tf.concat)(given, axis=int(source.axis))


def _stack(parts: Parts, source: Any, xs: Sequence[Any]) -> Any:
    import tensorflow as tf

    dtype = as_float32(parts.outputs[0].dtype)
    given = [cast(parts, x, dtype) if is_tensor(x) else plain(x) for x in xs]
    return parts.op(tf.stack)(given, axis=int(source.axis))


def _split(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    axis = int(source.axis)
    sections = source.indices_or_sections
    if not isinstance(sections, int):
        if x.shape[axis] is None:
            raise parts.refuse("a split at places of an axis of unknown size")
        edges = [0, *(int(place) for place in sections), int(x.shape[axis])]
        sections = [high - low for low, high in itertools.pairwise(edges)]
    return parts.op(tf.split)(x, sections, axis=axis)


def _unstack(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    return parts.op(tf.unstack)(x, num=source.num or len(parts.outputs), axis=int(source.axis))


def _get_item(parts: Parts, _source: Any, x: Any, key: Any) -> Any:
    """Slices, single places, new axes and an ellipsis, as TensorFlow's strided slice."""
    import tensorflow as tf

    keys = list(key) if isinstance(key, (tuple, list)) else [key]
    if any(not isinstance(item, (int, np.integer, slice, type(None), type(...))) for item in keys):
        raise parts.refuse("an index that is a tensor, an array or a list")
    used = sum(item is not None and item is not ... for item in keys)
    if ... in keys:
        place = keys.index(...)
        keys[place : place + 1] = [slice(None)] * (len(x.shape) - used)
    starts, ends, strides = [], [], []
    masks = {"begin_mask": 0, "end_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}
    for place, item in enumerate(keys):
        piece = item if isinstance(item, slice) else slice(None)
        if item is None:
            masks["new_axis_mask"] |= 1 << place
        elif not isinstance(item, slice):
            masks["shrink_axis_mask"] |= 1 << place
            # The last place from the end has no end to name: it is open there.
            piece = slice(int(item), int(item) + 1 if int(item) != -1 else None)
        masks["begin_mask"] |= (piece.start is None) << place
        masks["end_mask"] |= (piece.stop is None) << place
        starts.append(int(piece.start or 0))
        ends.append(int(piece.stop or 0))
        strides.append(int(piece.step or 1))
    return parts.op(tf.strided_slice)(x, starts, ends, strides, **masks)


def _pad(parts: Parts, source: Any, x: Any, constant_values: Any = None) -> Any:
    import tensorflow as tf
    import tf_keras

    rank = len(x.shape)
    widths = [[int(side) for side in pair] for pair in source.pad_width]
    widths = widths * rank if len(widths) == 1 else widths
    mode = {"constant": "CONSTANT", "reflect": "REFLECT", "symmetric": "SYMMETRIC"}.get(source.mode)
    if mode is None or is_tensor(constant_values):
        raise parts.refuse(f"padding by {source.mode!r}, or with a computed value")
    value = plain(constant_values) or 0
    if mode == "CONSTANT" and value == 0 and rank == 4 and widths[0] == widths[3] == [0, 0]:
        sides = tuple(tuple(pair) for pair in widths[1:3])
        return parts.layer(tf_keras.layers.ZeroPadding2D, padding=sides, data_format="channels_last")(x)
    return parts.op(tf.pad)(x, widths, mode=mode, constant_values=value)


def _flip(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    return parts.op(tf.reverse)(x, _axes(source.axis, len(x.shape)))


def _roll(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    if source.axis is None:
        raise parts.refuse("roll over all axes at once, the batch included")
    return parts.op(tf.roll)(x, plain(source.shift), axis=plain(source.axis))


def _repeat(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    if source.axis is None:
        raise parts.refuse("repeat over all axes at once, the batch included")
    return parts.op(tf.repeat)(x, plain(source.repeats), axis=int(source.axis))


def _tile(parts: Parts, source: Any, x: Any) -> Any:
    import tensorflow as tf

    repeats = [source.repeats] if isinstance(source.repeats, int) else [int(size) for size in source.repeats]
    if len(repeats) > len(x.shape):
        raise parts.refuse("tile that adds axes")
    return parts.op(tf.tile)(x, [1] * (len(x.shape) - len(repeats)) + repeats)


def _cast(parts: Parts, _source: Any, x: Any) -> Any:
    import tensorflow as tf
    import tf_keras

    dtype = as_float32(parts.outputs[0].dtype)
    if tf.as_dtype(x.dtype).name == dtype:
        return parts.layer(tf_keras.layers.Activation, activation="linear")(x) if dtype == "float32" else x
    return parts.op(tf.cast)(x, dtype)


MADE: dict[str, Convert] = {
    "All": _reduce("reduce_all"),
    "Amax": _reduce("reduce_max", "Max"),
    "Amin": _reduce("reduce_min"),
    "Any": _reduce("reduce_any"),
    "Argmax": _arg("argmax"),
    "Argmin": _arg("argmin"),
    "Cast": _cast,
    "Concatenate": _concatenate,
    "Cumsum": _cumsum,
    "ExpandDims": _expand_dims,
    "Flip": _flip,
    "GetItem": _get_item,
    "Logsumexp": _logsumexp,
    "Max": _reduce("reduce_max", "Max"),
    "Mean": _reduce("reduce_mean", "Average"),
    "Min": _reduce("reduce_min"),
    "Moveaxis": _moveaxis,
    "Pad": _pad,
    "Prod": _reduce("reduce_prod"),
    "Ravel": _ravel,
    "Repeat": _repeat,
    "Reshape": _reshape,
    "Roll": _roll,
    "Split": _split,
    "Squeeze": _squeeze,
    "Stack": _stack,
    "Std": _reduce("reduce_std"),
    "Sum": _reduce("reduce_sum"),
    "Swapaxes": _swapaxes,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unstack": _unstack,
    "Var": _reduce("reduce_variance"),
}
