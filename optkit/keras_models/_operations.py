"""Operators of Keras 3 in tf_keras: arithmetic, functions of one value, comparisons, activations.

Keras 3 makes a node of every ``x + y`` and every call of ``keras.ops``. Where a standard layer does the same it is
taken, since compression tools know layers; else a layer that calls the TensorFlow function.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.keras_models import _activations, _operations_matrix, _operations_shape
from optkit.keras_models._parts import as_float32, cast, is_tensor, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.keras_models._parts import Parts

    Convert = Callable[..., Any]


def convert(parts: Parts, source: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply an operator of Keras 3 in tf_keras.

    Args:
        parts: Makes the layers.
        source: The operator.
        args: Tensors and constants (numpy arrays or Python values), as it was called.
        kwargs: Likewise.

    Raises:
        NotRebuildableError: With the reason.
    """
    kind = type(source)
    if not kind.__module__.startswith("keras.src."):
        raise parts.refuse(f"{kind.__name__} is an operation of the user's own")
    name = kind.__name__
    if name in _FUNCTIONS:
        return _function(parts, _FUNCTIONS[name], *args, **kwargs)
    made = _MADE.get(name) or _operations_shape.MADE.get(name) or _operations_matrix.MADE.get(name)
    if made is None:
        raise parts.refuse(f"the operation keras.ops.{name.lower()} has no counterpart here")
    return made(parts, source, *args, **kwargs)


def _symbol(name: str) -> Any:
    """A function of TensorFlow by its public name, such as ``math.exp``."""
    import tensorflow as tf

    found: Any = tf
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _function(parts: Parts, name: str, x: Any, *, out: str | None = None) -> Any:
    """A function of one tensor; integers go in as the type that comes out."""
    dtype = out or as_float32(parts.outputs[0].dtype)
    return parts.op(_symbol(name))(x if dtype == "bool" else cast(parts, x, dtype))


def _pair(function: str, layer: str | None = None) -> Convert:
    """An operator of two tensors, or of one and a constant.

    Args:
        function: TensorFlow's name.
        layer: Merging layer that does the same for tensors with the same number of axes.
    """

    def apply(parts: Parts, _source: Any, x1: Any, x2: Any) -> Any:
        import tf_keras

        dtype = as_float32(parts.outputs[0].dtype)
        left, right = (cast(parts, x, dtype) if is_tensor(x) else _constant(x, dtype) for x in (x1, x2))
        alike = is_tensor(x1) and is_tensor(x2) and len(x1.shape) == len(x2.shape) and x1.shape[0] == x2.shape[0]
        if layer and alike:
            return parts.layer(getattr(tf_keras.layers, layer))([left, right])
        return parts.op(_symbol(function))(left, right)

    return apply


def _compare(function: str) -> Convert:
    """A comparison: both sides in one type, the outcome boolean."""

    def apply(parts: Parts, _source: Any, x1: Any, x2: Any) -> Any:
        tensors = [x for x in (x1, x2) if is_tensor(x)]
        names = {str(np.dtype(x.dtype.as_numpy_dtype)) for x in tensors}
        whole = all(isinstance(x, int) or is_tensor(x) or np.asarray(x).dtype.kind in "iub" for x in (x1, x2))
        dtype = names.pop() if len(names) == 1 and whole else "float32"
        left, right = (cast(parts, x, dtype) if is_tensor(x) else _constant(x, dtype) for x in (x1, x2))
        return parts.op(_symbol(function))(left, right)

    return apply


def _affine(parts: Parts, x: Any, other: Any, scale: Any, offset: Any) -> Any | None:
    """``x · scale + offset`` as a Rescaling layer, if the result is a float in the shape of ``x``."""
    import tf_keras

    if as_float32(parts.outputs[0].dtype) != "float32" or len(parts.outputs[0].shape) != len(x.shape):
        return None
    # A constant may not have more axes than the tensor, nor stretch an axis of size 1.
    shape = np.shape(other)
    if any(size not in (1, have) for size, have in zip(shape[::-1], tuple(x.shape)[::-1], strict=False)):
        return None
    return parts.layer(tf_keras.layers.Rescaling, scale=plain(scale), offset=plain(offset))(x)


def _float(value: Any) -> Any:
    """A constant as float or float array."""
    return float(value) if np.ndim(value) == 0 else np.asarray(value, np.float64)


def _add(parts: Parts, source: Any, x1: Any, x2: Any) -> Any:
    if is_tensor(x1) != is_tensor(x2):
        x, other = (x1, x2) if is_tensor(x1) else (x2, x1)
        made = _affine(parts, x, other, 1.0, _float(other))
        if made is not None:
            return made
    return _pair("math.add", "Add")(parts, source, x1, x2)


def _subtract(parts: Parts, source: Any, x1: Any, x2: Any) -> Any:
    made = None
    if not is_tensor(x2):
        made = _affine(parts, x1, x2, 1.0, -_float(x2))
    elif not is_tensor(x1):
        made = _affine(parts, x2, x1, -1.0, _float(x1))
    return _pair("math.subtract", "Subtract")(parts, source, x1, x2) if made is None else made


def _multiply(parts: Parts, source: Any, x1: Any, x2: Any) -> Any:
    if is_tensor(x1) != is_tensor(x2):
        x, other = (x1, x2) if is_tensor(x1) else (x2, x1)
        made = _affine(parts, x, other, _float(other), 0.0)
        if made is not None:
            return made
    return _pair("math.multiply", "Multiply")(parts, source, x1, x2)


def _divide(parts: Parts, source: Any, x1: Any, x2: Any) -> Any:
    if is_tensor(x1) and not is_tensor(x2) and np.all(np.asarray(x2) != 0):
        made = _affine(parts, x1, x2, 1.0 / _float(x2), 0.0)
        if made is not None:
            return made
    return _pair("math.divide")(parts, source, x1, x2)


def _negative(parts: Parts, _source: Any, x: Any) -> Any:
    made = _affine(parts, x, 1.0, -1.0, 0.0)
    return _function(parts, "math.negative", x) if made is None else made


def _square(parts: Parts, _source: Any, x: Any) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.Multiply)([x, x])


def _power(parts: Parts, source: Any, x1: Any, x2: Any) -> Any:
    if is_tensor(x1) and np.ndim(x2) == 0 and not is_tensor(x2):
        if float(x2) == 2.0:
            return _square(parts, source, x1)
        if float(x2) == 0.5:
            return _function(parts, "math.sqrt", x1)
    return _pair("math.pow")(parts, source, x1, x2)


def _reciprocal(parts: Parts, _source: Any, x: Any) -> Any:
    return parts.op(_symbol("math.divide"))(1.0, cast(parts, x, as_float32(parts.outputs[0].dtype)))


def _clip(parts: Parts, source: Any, x: Any) -> Any:
    import tf_keras

    low, high = plain(source.x_min), plain(source.x_max)
    dtype = as_float32(parts.outputs[0].dtype)
    x = cast(parts, x, dtype)
    if dtype == "float32" and low == 0 and np.ndim(high) == 0 and high is not None:
        return parts.layer(tf_keras.layers.ReLU, max_value=float(high))(x)
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    return parts.op(_symbol("clip_by_value"))(x, low, high)


def _relu(parts: Parts, _source: Any, x: Any) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.ReLU)(x)


def _relu_with_options(parts: Parts, source: Any, x: Any) -> Any:
    """``keras.activations.relu`` with its arguments."""
    import tf_keras

    highest = None if source.max_value is None else float(source.max_value)
    slope, low = float(source.negative_slope), float(source.threshold)
    return parts.layer(tf_keras.layers.ReLU, max_value=highest, negative_slope=slope, threshold=low)(x)


def _leaky_relu(parts: Parts, source: Any, x: Any) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.LeakyReLU, alpha=float(source.negative_slope))(x)


def _elu(parts: Parts, source: Any, x: Any) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.ELU, alpha=float(source.alpha))(x)


def _softmax(parts: Parts, source: Any, x: Any) -> Any:
    import tf_keras

    if source.axis is None:
        raise parts.refuse("softmax over all axes at once, the batch included")
    return parts.layer(tf_keras.layers.Softmax, axis=plain(source.axis))(x)


def _log_softmax(parts: Parts, source: Any, x: Any) -> Any:
    if source.axis is None:
        raise parts.refuse("log_softmax over all axes at once, the batch included")
    return parts.op(_symbol("nn.log_softmax"))(x, axis=int(source.axis))


def _activation(name: str) -> Convert:
    return lambda parts, _source, x: _activations.activate(parts, name, x)


def _where(parts: Parts, _source: Any, condition: Any, x1: Any = None, x2: Any = None) -> Any:
    if x1 is None or x2 is None:
        raise parts.refuse("where with a condition alone")
    dtype = as_float32(parts.outputs[0].dtype)
    left, right = (cast(parts, x, dtype) if is_tensor(x) else _constant(x, dtype) for x in (x1, x2))
    condition = cast(parts, condition, "bool") if is_tensor(condition) else plain(condition)
    return parts.op(_symbol("where"))(condition, left, right)


def _constant(value: Any, dtype: str) -> Any:
    """Python numbers that TensorFlow takes for that type."""
    return plain(np.asarray(value, np.float32)) if dtype == "float32" else plain(value)


def _normalize(parts: Parts, source: Any, x: Any) -> Any:
    if source.order != 2:
        raise parts.refuse(f"normalize of order {source.order}, only 2 can be rebuilt")
    epsilon = float(source.epsilon or 1e-7)
    return parts.op(_symbol("math.l2_normalize"))(x, axis=plain(source.axis), epsilon=epsilon**2)


# Functions of one tensor, by TensorFlow's name.
_FUNCTIONS = {
    **dict.fromkeys(["Absolute", "Abs", "Fabs"], "math.abs"),
    **{
        name: f"math.{name.lower()}"
        for name in ("Ceil", "Cos", "Cosh", "Erf", "Exp", "Expm1", "Floor", "Log", "Log1p", "Round", "Rsqrt", "Sign")
    },
    **{name: f"math.{name.lower()}" for name in ("Sin", "Sinh", "Sqrt", "Tan")},
    "Arctan": "math.atan",
    "LogicalNot": "math.logical_not",
    "StopGradient": "stop_gradient",
}

_MADE: dict[str, Convert] = {
    "Add": _add,
    "Celu": lambda parts, source, x: _activations.celu(parts, x, "", alpha=float(source.alpha)),
    "Clip": _clip,
    "Divide": _divide,
    "Elu": _elu,
    "Equal": _compare("math.equal"),
    "FloorDivide": _pair("math.floordiv"),
    "Gelu": lambda parts, source, x: _activations.gelu(parts, x, "", approximate=bool(source.approximate)),
    "Glu": lambda parts, source, x: _activations.glu(parts, x, "", axis=int(source.axis)),
    "Greater": _compare("math.greater"),
    "GreaterEqual": _compare("math.greater_equal"),
    "HardShrink": lambda parts, source, x: _activations.hard_shrink(parts, x, "", limit=float(source.threshold)),
    "LeakyRelu": _leaky_relu,
    "Less": _compare("math.less"),
    "LessEqual": _compare("math.less_equal"),
    "LogSoftmax": _log_softmax,
    "LogicalAnd": _compare("math.logical_and"),
    "LogicalOr": _compare("math.logical_or"),
    "Maximum": _pair("math.maximum", "Maximum"),
    "Minimum": _pair("math.minimum", "Minimum"),
    "Mod": _pair("math.floormod"),
    "Multiply": _multiply,
    "Negative": _negative,
    "Normalize": _normalize,
    "NotEqual": _compare("math.not_equal"),
    "Power": _power,
    "ReLU": _relu_with_options,
    "Reciprocal": _reciprocal,
    "Relu": _relu,
    "SoftShrink": lambda parts, source, x: _activations.soft_shrink(parts, x, "", limit=float(source.threshold)),
    "Softmax": _softmax,
    "Square": _square,
    "Squareplus": lambda parts, source, x: _activations.squareplus(parts, x, "", b=float(source.b)),
    "Subtract": _subtract,
    "Threshold": lambda parts, source, x: _activations.threshold(
        parts, x, "", limit=float(source.threshold), value=float(source.default_value)
    ),
    "TrueDivide": _divide,
    "Where": _where,
    **{
        kind: _activation(name)
        for kind, name in {
            "HardSigmoid": "hard_sigmoid",
            "HardSilu": "hard_silu",
            "HardTanh": "hard_tanh",
            "LogSigmoid": "log_sigmoid",
            "Relu6": "relu6",
            "Selu": "selu",
            "Sigmoid": "sigmoid",
            "Silu": "silu",
            "Softplus": "softplus",
            "Softsign": "softsign",
            "SparsePlus": "sparse_plus",
            "SparseSigmoid": "sparse_sigmoid",
            "Tanh": "tanh",
            "TanhShrink": "tanh_shrink",
        }.items()
    },
}
