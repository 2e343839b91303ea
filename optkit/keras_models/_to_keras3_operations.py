"""TensorFlow functions that are nodes of a tf_keras model, as operators of Keras 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.errors import InputError
from optkit.keras_models._to_keras3_layers import plain

if TYPE_CHECKING:
    from collections.abc import Callable


def apply(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a TFOpLambda or SlicingOpLambda layer computes, of Keras 3 tensors.

    Raises:
        InputError: Keras 3 has no operator like the function.
    """
    symbol = str(getattr(layer, "symbol", "")).removeprefix("compat.v1.")
    name = symbol.removeprefix("math.").removeprefix("nn.").removeprefix("linalg.").removeprefix("__operators__.")
    args = tuple(_constant(one) for one in args)
    kwargs = {key: _constant(one) for key, one in kwargs.items() if key != "name"}
    if name in _SAME:
        import keras

        function: Any = getattr(keras.ops, _SAME[name])
    elif name in _MADE:
        function = _MADE[name]
    else:
        raise InputError(
            f"layer {layer.name!r}: Keras 3 has no counterpart of TensorFlow's {symbol}; keep working with the .h5 file"
        )
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"layer {layer.name!r}: {symbol} is called in a way that Keras 3 lacks ({reason})") from error


def _constant(value: Any) -> Any:
    """Constant tensors as numpy arrays; everything else as it is."""
    import tensorflow as tf

    if isinstance(value, (tf.Tensor, tf.Variable)):
        return value.numpy()
    if isinstance(value, tf.DType):
        return value.name
    if isinstance(value, (list, tuple)):
        return type(value)(_constant(one) for one in value) if type(value) in (list, tuple) else list(value)
    return plain(value)


_SAME_WORDS = (
    "abs add argmax argmin ceil cos cosh cumsum divide einsum erf exp expm1 floor greater greater_equal less "
    "less_equal log log1p log_softmax logical_and logical_not logical_or maximum minimum multiply negative "
    "not_equal equal relu relu6 elu selu round rsqrt sigmoid sign silu sin sinh softplus softsign sqrt square "
    "stop_gradient subtract tan tanh where reshape expand_dims squeeze matmul roll tile transpose stack"
)
# TensorFlow's name without its module: the name in keras.ops, where arguments come in the same order.
_SAME = {
    **{name: name for name in _SAME_WORDS.split()},
    "atan": "arctan",
    "concat": "concatenate",
    "floordiv": "floor_divide",
    "floormod": "mod",
    "leaky_relu": "leaky_relu",
    "log_sigmoid": "log_sigmoid",
    "mul": "multiply",
    "neg": "negative",
    "pow": "power",
    "reverse": "flip",
    "sub": "subtract",
    "truediv": "divide",
    "repeat": "repeat",
    "swish": "silu",
}


def _reduction(name: str) -> Callable[..., Any]:
    def reduce(x: Any, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: FBT001, FBT002  # TensorFlow's
        import keras

        axis = tuple(axis) if isinstance(axis, list) else axis
        return getattr(keras.ops, name)(x, axis=axis, keepdims=keepdims)

    return reduce


def _cast(x: Any, dtype: Any) -> Any:
    import keras

    return keras.ops.cast(x, str(dtype))


def _softmax(x: Any, axis: int = -1) -> Any:
    import keras

    return keras.ops.softmax(x, axis=axis)


def _gelu(x: Any, approximate: bool = False) -> Any:  # noqa: FBT001, FBT002  # TensorFlow's
    import keras

    return keras.ops.gelu(x, approximate=approximate)


def _clip(x: Any, low: Any, high: Any) -> Any:
    import keras

    return keras.ops.clip(x, low, high)


def _split(x: Any, parts: Any, axis: int = 0) -> Any:
    import keras

    places = parts if isinstance(parts, int) else [int(place) for place in np.cumsum(parts)[:-1]]
    return keras.ops.split(x, places, axis=axis)


def _unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    import keras

    return keras.ops.unstack(x, num=num, axis=axis)


def _pad(x: Any, widths: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Any:
    import keras

    widths = [tuple(int(side) for side in pair) for pair in widths]
    if mode == "CONSTANT":
        return keras.ops.pad(x, widths, mode="constant", constant_values=constant_values)
    return keras.ops.pad(x, widths, mode=mode.lower())


def _gather(x: Any, indices: Any, axis: int = 0, batch_dims: int = 0) -> Any:
    import keras

    if batch_dims:
        raise TypeError("batch_dims")
    return keras.ops.take(x, indices, axis=axis)


def _one_hot(indices: Any, depth: int, axis: int = -1, dtype: Any = "float32") -> Any:
    import keras

    return keras.ops.one_hot(indices, depth, axis=axis, dtype=str(dtype))


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    import keras

    return keras.ops.normalize(x, axis=axis, order=2, epsilon=float(np.sqrt(epsilon)))


def _resize(x: Any, size: Any, method: str = "bilinear", antialias: bool = False) -> Any:  # noqa: FBT001, FBT002
    import keras

    size = tuple(int(side) for side in size)
    return keras.ops.image.resize(x, size, interpolation=method, antialias=antialias, data_format="channels_last")


def _depth(name: str) -> Callable[..., Any]:
    def move(x: Any, block_size: int) -> Any:
        import keras

        return getattr(keras.ops, name)(x, block_size, data_format="channels_last")

    return move


def _strided_slice(  # noqa: PLR0917  # TensorFlow's own order
    x: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Any:
    if ellipsis_mask:
        raise TypeError("ellipsis_mask")
    key: list[Any] = []
    for place, (first, last) in enumerate(zip(begin, end, strict=True)):
        if new_axis_mask >> place & 1:
            key.append(None)
        elif shrink_axis_mask >> place & 1:
            key.append(int(first))
        else:
            step = int(strides[place]) if strides is not None else 1
            low = None if begin_mask >> place & 1 else int(first)
            key.append(slice(low, None if end_mask >> place & 1 else int(last), step))
    return x[tuple(key)]


def _get_item(x: Any, key: Any) -> Any:
    key = key if isinstance(key, (list, tuple)) else [key]
    return x[tuple(_slice(one) for one in key)]


def _slice(one: Any) -> Any:
    """Saved models hold slices as records of their three numbers."""
    if isinstance(one, dict):
        return slice(one.get("start"), one.get("stop"), one.get("step"))
    return one


_MADE: dict[str, Callable[..., Any]] = {
    "cast": _cast,
    "clip_by_value": _clip,
    "depth_to_space": _depth("depth_to_space"),
    "gather": _gather,
    "gelu": _gelu,
    "getitem": _get_item,
    "image.resize": _resize,
    "l2_normalize": _l2_normalize,
    "one_hot": _one_hot,
    "pad": _pad,
    "reduce_all": _reduction("all"),
    "reduce_any": _reduction("any"),
    "reduce_logsumexp": _reduction("logsumexp"),
    "reduce_max": _reduction("max"),
    "reduce_mean": _reduction("mean"),
    "reduce_min": _reduction("min"),
    "reduce_prod": _reduction("prod"),
    "reduce_std": _reduction("std"),
    "reduce_sum": _reduction("sum"),
    "reduce_variance": _reduction("var"),
    "softmax": _softmax,
    "space_to_depth": _depth("space_to_depth"),
    "split": _split,
    "strided_slice": _strided_slice,
    "unstack": _unstack,
}
