"""Layers of Keras 3 in tf_keras, by class name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from optkit.keras_models import _layers_special as special
from optkit.keras_models._activations import NATIVE, activate, name_of
from optkit.keras_models._layers_config import translated, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from optkit.keras_models._parts import Parts

    Convert = Callable[..., Any]

# tf_keras has a class of the same name, which does the same with the same options and weights.
SAME = frozenset(
    f"{name}{dimensions}"
    for names, all_dimensions in (
        (("Conv", "UpSampling", "ZeroPadding", "Cropping", "SpatialDropout"), ("1D", "2D", "3D")),
        (("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"), ("1D", "2D", "3D")),
        (("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), ("",)),
        (("SeparableConv", "DepthwiseConv"), ("1D", "2D")),
        (("Dense", "EinsumDense", "Embedding", "Masking", "ActivityRegularization"), ("",)),
        (("BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization"), ("",)),
        (("ReLU", "PReLU", "ELU", "Softmax"), ("",)),
        (("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"), ("",)),
        (("Flatten", "Reshape", "Permute", "RepeatVector"), ("",)),
        (("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"), ("",)),
        (("CenterCrop", "CategoryEncoding", "Discretization"), ("",)),
    )
    for name in names
    for dimensions in all_dimensions
)


def convert(parts: Parts, source: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply a Keras 3 layer in tf_keras.

    Args:
        parts: Makes the layers.
        source: The layer.
        args: Tensors, as the layer was called.
        kwargs: Likewise.

    Raises:
        NotRebuildableError: With the reason.
    """
    kind = type(source)
    if not kind.__module__.startswith("keras.src."):
        raise parts.refuse(f"{kind.__name__} is a class of the user's own")
    if source.dtype_policy.quantization_mode is not None:
        raise parts.refuse(f"it is already quantized ({source.dtype_policy.name}); give the model before quantization")
    if kind.__name__ in _OWN:
        return _OWN[kind.__name__](parts, source, *args, **kwargs)
    if kind.__module__.startswith("keras.src.layers.preprocessing.image_preprocessing.random_"):
        return special.augmentation(parts, source, *args, **kwargs)
    if kind.__name__ in SAME:
        return same(parts, source, *args, **kwargs)
    if kind.__name__ == "Lambda":
        raise parts.refuse("a Lambda holds code, which is not run")
    raise parts.refuse(f"tf_keras has no counterpart of {kind.__name__}")


def same(parts: Parts, source: Any, *args: Any, **kwargs: Any) -> Any:
    """The tf_keras class of the same name."""
    import tf_keras

    target = getattr(tf_keras.layers, type(source).__name__)
    call = (args, kwargs)
    return _applied(parts, source, target, configured=translated, weights=lambda: weights_of(source), call=call)


def _applied(
    parts: Parts,
    source: Any,
    target: type,
    *,
    configured: Callable[[Parts, Any, type], dict[str, Any]],
    weights: Callable[[], list[np.ndarray]],
    call: tuple[tuple[Any, ...], dict[str, Any]],
) -> Any:
    """A layer with its weights; an activation that tf_keras lacks is made of layers that follow."""
    import keras

    activation = getattr(source, "activation", None)
    follows: Any = activation
    if activation is not None and not isinstance(activation, keras.Layer):
        # Before its configuration is read: Keras would write out a function of the user's own.
        follows = name_of(parts, activation)
    config = configured(parts, source, target)
    if activation is not None:
        config["activation"] = NATIVE.get(follows, "linear")
        follows = None if follows in NATIVE else follows
    args, kwargs = call
    result = parts.layer(target, weights=weights, **config)(*args, **accepted(parts, target, kwargs))
    return result if follows is None else activate(parts, follows, result, "activation")


def _convolution(parts: Parts, source: Any, x: Any, **kwargs: Any) -> Any:
    """Conv2D; with a group for each channel it is a depthwise convolution, which every converter knows as such."""
    import tf_keras

    channels = x.shape[-1]
    strides, dilation = (set(value) for value in (source.strides, source.dilation_rate))
    fits = len(strides) == 1 and (dilation == {1} or strides == {1}) and source.data_format == "channels_last"
    if source.groups == 1 or source.groups != channels or not fits:
        return same(parts, source, x, **kwargs)

    def configured(parts: Parts, source: Any, _target: type) -> dict[str, Any]:
        config = translated(parts, source, tf_keras.layers.Conv2D)
        del config["groups"]
        config["depth_multiplier"] = config.pop("filters") // channels
        for kind in ("regularizer", "constraint"):
            config[f"depthwise_{kind}"] = config.pop(f"kernel_{kind}")
        return config

    def weights() -> list[np.ndarray]:
        kernel, *bias = weights_of(source)
        return [kernel.reshape(*kernel.shape[:2], channels, -1), *bias]

    target = tf_keras.layers.DepthwiseConv2D
    return _applied(parts, source, target, configured=configured, weights=weights, call=((x,), kwargs))


def accepted(parts: Parts, target: type, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a call that mean something, if the tf_keras class takes them.

    Raises:
        NotRebuildableError: It does not.
    """
    taken = inspect.signature(target.call).parameters  # type: ignore[attr-defined]  # of a layer
    given = {key: value for key, value in kwargs.items() if not _says_nothing(value)}
    for key in list(given):
        if key in taken:
            continue
        if key == "mask" or key.endswith("_mask"):
            # Where tf_keras does not ask for them, masks go along with the tensors.
            del given[key]
        else:
            raise parts.refuse(f"tf_keras's {target.__name__} cannot be called with {key}")
    return given


def _says_nothing(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_says_nothing(item) for item in value)
    return value is None


def _activation(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    return activate(parts, source.activation, x)


def _identity(parts: Parts, _source: Any, x: Any, **_kwargs: Any) -> Any:
    """As an activation, which pruning and quantization know, where they do not know Identity."""
    return activate(parts, "linear", x)


def _leaky_relu(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    import tf_keras

    return parts.layer(tf_keras.layers.LeakyReLU, alpha=float(source.negative_slope))(x)


_OWN: dict[str, Convert] = {
    "Activation": _activation,
    "AdditiveAttention": special.attention,
    "Attention": special.attention,
    "Conv2D": _convolution,
    "CustomScaleLayer": special.scaled_residual,
    "Identity": _identity,
    "LayerScale": special.layer_scale,
    "LeakyReLU": _leaky_relu,
    "MultiHeadAttention": special.multi_head_attention,
    "Normalization": special.normalization,
    "RMSNormalization": special.rms_normalization,
    "Rescaling": special.rescaling,
    "Resizing": special.resizing,
    "SpectralNormalization": special.spectral_normalization,
    "StochasticDepth": special.stochastic_depth,
}
