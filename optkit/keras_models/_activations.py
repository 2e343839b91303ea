"""Keras 3's activation functions in tf_keras: as an option of a layer, or as layers of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.keras_models._parts import Parts

# Those that tf_keras computes in the same way, by its name. Its hard_sigmoid has another slope, and functions
# that it borrows from tf.nn (relu6, leaky_relu, log_softmax) do not come back from a file under their names.
NATIVE = {
    "elu": "elu",
    "exponential": "exponential",
    "gelu": "gelu",
    "linear": "linear",
    "mish": "mish",
    "relu": "relu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "swish",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}


def name_of(parts: Parts, function: Any) -> str:
    """The name of a Keras 3 activation function.

    Raises:
        NotRebuildableError: It is a function of the user's own.
    """
    import keras

    name = getattr(function, "__name__", type(function).__name__)
    if getattr(keras.activations, name, None) is not function:
        raise parts.refuse(f"its activation {name!r} is a function that Keras does not have")
    return str(name)


def activate(parts: Parts, activation: Any, x: Any, suffix: str = "") -> Any:
    """Apply an activation as layers; the last of them has the suffix.

    Args:
        parts: Of the layer or operation that it belongs to.
        activation: A function of ``keras.activations``, its name, or a Keras 3 layer.
        x: Tensor.
        suffix: Empty where the operation is nothing but the activation.
    """
    import keras
    import tf_keras

    if isinstance(activation, keras.Layer):
        return parts.convert(parts, activation, suffix, x)
    name = activation if isinstance(activation, str) else name_of(parts, activation)
    if name in NATIVE:
        return parts.layer(tf_keras.layers.Activation, suffix, activation=NATIVE[name])(x)
    if name not in _MADE:
        raise parts.refuse(f"the activation {name!r} has no counterpart in tf_keras")
    return _MADE[name](parts, x, suffix)


def gelu(parts: Parts, x: Any, suffix: str, *, approximate: bool) -> Any:
    """Exact, or by its approximation with tanh."""
    import tensorflow as tf

    return parts.op(tf.nn.gelu, suffix)(x, approximate=True) if approximate else activate(parts, "gelu", x, suffix)


def hard_sigmoid(parts: Parts, x: Any, suffix: str) -> Any:
    """``relu6(x + 3) / 6``; a true division, as in Keras 3, since a factor of 1/6 would round differently."""
    import tensorflow as tf
    import tf_keras

    x = parts.layer(tf_keras.layers.Rescaling, "shift", scale=1.0, offset=3.0)(x)
    x = parts.layer(tf_keras.layers.ReLU, "clip", max_value=6.0)(x)
    return parts.op(tf.math.divide, suffix)(x, 6.0)


def celu(parts: Parts, x: Any, suffix: str, *, alpha: float) -> Any:
    """``x`` where positive, else ``alpha (exp(x / alpha) - 1)``, which is ``alpha elu(x / alpha)``."""
    import tf_keras

    if alpha == 1.0:
        return parts.layer(tf_keras.layers.ELU, suffix)(x)
    x = parts.layer(tf_keras.layers.Rescaling, "divide", scale=1.0 / alpha)(x)
    x = parts.layer(tf_keras.layers.ELU, "elu")(x)
    return parts.layer(tf_keras.layers.Rescaling, suffix, scale=alpha)(x)


def glu(parts: Parts, x: Any, suffix: str, *, axis: int) -> Any:
    """One half times the sigmoid of the other."""
    import tensorflow as tf
    import tf_keras

    left, right = parts.op(tf.split, "split")(x, 2, axis=axis)
    gate = activate(parts, "sigmoid", right, "gate")
    return parts.layer(tf_keras.layers.Multiply, suffix)([left, gate])


def threshold(parts: Parts, x: Any, suffix: str, *, limit: float, value: float) -> Any:
    """``x`` over the limit, else the value."""
    import tensorflow as tf

    return parts.op(tf.where, suffix)(parts.op(tf.math.greater, "over")(x, limit), x, value)


def hard_shrink(parts: Parts, x: Any, suffix: str, *, limit: float) -> Any:
    """``x`` where it is farther from 0 than the limit, else 0."""
    import tensorflow as tf

    size = parts.op(tf.math.abs, "size")(x)
    return parts.op(tf.where, suffix)(parts.op(tf.math.greater, "over")(size, limit), x, 0.0)


def soft_shrink(parts: Parts, x: Any, suffix: str, *, limit: float) -> Any:
    """``x`` brought towards 0 by the limit: ``relu(x - t) - relu(-x - t)``."""
    import tf_keras

    above = parts.layer(tf_keras.layers.Rescaling, "less", scale=1.0, offset=-limit)(x)
    below = parts.layer(tf_keras.layers.Rescaling, "more", scale=-1.0, offset=-limit)(x)
    above = parts.layer(tf_keras.layers.ReLU, "above")(above)
    below = parts.layer(tf_keras.layers.ReLU, "below")(below)
    return parts.layer(tf_keras.layers.Subtract, suffix)([above, below])


def squareplus(parts: Parts, x: Any, suffix: str, *, b: float) -> Any:
    """``(x + sqrt(x² + b)) / 2``."""
    import tensorflow as tf
    import tf_keras

    square = parts.layer(tf_keras.layers.Multiply, "square")([x, x])
    root = parts.op(tf.math.sqrt, "root")(parts.layer(tf_keras.layers.Rescaling, "add", scale=1.0, offset=b)(square))
    total = parts.layer(tf_keras.layers.Add, "sum")([x, root])
    return parts.layer(tf_keras.layers.Rescaling, suffix, scale=0.5)(total)


def _relu6(parts: Parts, x: Any, suffix: str) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.ReLU, suffix, max_value=6.0)(x)


def _leaky_relu(parts: Parts, x: Any, suffix: str) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.LeakyReLU, suffix, alpha=0.2)(x)


def _hard_silu(parts: Parts, x: Any, suffix: str) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.Multiply, suffix)([x, hard_sigmoid(parts, x, "gate")])


def _tanh_shrink(parts: Parts, x: Any, suffix: str) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.Subtract, suffix)([x, activate(parts, "tanh", x, "tanh")])


def _log_softmax(parts: Parts, x: Any, suffix: str) -> Any:
    import tensorflow as tf

    return parts.op(tf.nn.log_softmax, suffix)(x)


def _log_sigmoid(parts: Parts, x: Any, suffix: str) -> Any:
    import tensorflow as tf

    return parts.op(tf.math.log_sigmoid, suffix)(x)


def _hard_tanh(parts: Parts, x: Any, suffix: str) -> Any:
    import tensorflow as tf

    return parts.op(tf.clip_by_value, suffix)(x, -1.0, 1.0)


def _sparse_sigmoid(parts: Parts, x: Any, suffix: str) -> Any:
    """``(x + 1) / 2``, cut off at 0 and 1."""
    import tf_keras

    x = parts.layer(tf_keras.layers.Rescaling, "shift", scale=0.5, offset=0.5)(x)
    return parts.layer(tf_keras.layers.ReLU, suffix, max_value=1.0)(x)


def _sparse_plus(parts: Parts, x: Any, suffix: str) -> Any:
    """0 up to -1, ``x`` from 1 on, ``(x + 1)² / 4`` between."""
    import tensorflow as tf
    import tf_keras

    shifted = parts.layer(tf_keras.layers.Rescaling, "shift", scale=0.5, offset=0.5)(x)
    inner = parts.layer(tf_keras.layers.ReLU, "inner", max_value=1.0)(shifted)
    square = parts.layer(tf_keras.layers.Multiply, "square")([inner, inner])
    return parts.op(tf.where, suffix)(parts.op(tf.math.greater_equal, "over")(x, 1.0), x, square)


_MADE: dict[str, Callable[[Parts, Any, str], Any]] = {
    "celu": lambda parts, x, suffix: celu(parts, x, suffix, alpha=1.0),
    "glu": lambda parts, x, suffix: glu(parts, x, suffix, axis=-1),
    "hard_shrink": lambda parts, x, suffix: hard_shrink(parts, x, suffix, limit=0.5),
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_tanh": _hard_tanh,
    "leaky_relu": _leaky_relu,
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _log_softmax,
    "relu6": _relu6,
    "soft_shrink": lambda parts, x, suffix: soft_shrink(parts, x, suffix, limit=0.5),
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "squareplus": lambda parts, x, suffix: squareplus(parts, x, suffix, b=4.0),
    "tanh_shrink": _tanh_shrink,
}
