"""Layers of Keras 3 whose counterpart in tf_keras differs: attention, scaling, preprocessing, augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.keras_models._layers_config import array, translated, weights_of
from optkit.keras_models._parts import NotRebuildableError, as_float32, cast, plain

if TYPE_CHECKING:
    from optkit.keras_models._parts import Parts


def multi_head_attention(parts: Parts, source: Any, query: Any, value: Any, key: Any = None, **kwargs: Any) -> Any:
    """MultiHeadAttention; its query, key, value and output layers have the same weights in the same order."""
    import tf_keras

    config = translated(parts, source, tf_keras.layers.MultiHeadAttention)
    made = parts.layer(tf_keras.layers.MultiHeadAttention, weights=lambda: weights_of(source), **config)
    given = {
        name: kwargs[name]
        for name in ("attention_mask", "return_attention_scores", "use_causal_mask")
        if kwargs.get(name) is not None
    }
    return made(query, value, **({} if key is None else {"key": key}), **given)


def attention(parts: Parts, source: Any, inputs: Any, **kwargs: Any) -> Any:
    """Attention and AdditiveAttention, on a list of query, value and, if it differs, key."""
    import tf_keras

    target = getattr(tf_keras.layers, type(source).__name__)
    config = translated(parts, source, target)
    made = parts.layer(target, weights=lambda: weights_of(source), **config)
    given = {name: value for name, value in kwargs.items() if value is not None and name != "mask"}
    if any(mask is not None for mask in kwargs.get("mask") or ()):
        given["mask"] = kwargs["mask"]
    return made(inputs, **given)


def layer_scale(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    """The layer class of ``keras.applications``' ConvNeXt: each channel times a weight."""
    return _times_channels(parts, array(source.gamma), x)


def scaled_residual(parts: Parts, source: Any, inputs: Any, **_kwargs: Any) -> Any:
    """The layer class of ``keras.applications``' InceptionResNetV2: the first input plus a part of the second."""
    import tf_keras

    branch = parts.layer(tf_keras.layers.Rescaling, "branch", scale=float(source.scale))(inputs[1])
    return parts.layer(tf_keras.layers.Add)([inputs[0], branch])


def _times_channels(parts: Parts, factors: np.ndarray, x: Any) -> Any:
    """Each channel times a weight: a depthwise convolution of size 1, the one standard layer that does this."""
    import tf_keras

    channels = factors.size
    shape = tuple(x.shape[1:])
    spatial = x if len(shape) == 3 else _reshape(parts, x, (-1, 1, channels), "spatial")
    scaled = parts.layer(
        tf_keras.layers.DepthwiseConv2D,
        weights=lambda: [factors.reshape(1, 1, channels, 1)],
        kernel_size=1,
        use_bias=False,
        data_format="channels_last",
    )(spatial)
    return scaled if len(shape) == 3 else _reshape(parts, scaled, shape, "flat")


def _reshape(parts: Parts, x: Any, shape: tuple[int | None, ...], suffix: str) -> Any:
    import tf_keras

    if sum(size is None or size < 0 for size in shape) > 1:
        raise parts.refuse(f"more than one size is unknown in its input's shape {tuple(x.shape)}")
    target = tuple(-1 if size is None else size for size in shape)
    return parts.layer(tf_keras.layers.Reshape, suffix, target_shape=target)(x)


def rms_normalization(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    """Divides by the root of the mean square over the last axis; each channel times a weight."""
    import tensorflow as tf
    import tf_keras

    if [axis % len(x.shape) for axis in source.axis] != [len(x.shape) - 1]:
        raise parts.refuse(f"RMSNormalization over axes {source.axis}, only the last can be rebuilt")
    square = parts.layer(tf_keras.layers.Multiply, "square")([x, x])
    mean = parts.op(tf.reduce_mean, "mean")(square, axis=[-1], keepdims=True)
    kept = parts.layer(tf_keras.layers.Rescaling, "epsilon", scale=1.0, offset=float(source.epsilon))(mean)
    normal = parts.layer(tf_keras.layers.Multiply, "normal")([x, parts.op(tf.math.rsqrt, "root")(kept)])
    return _times_channels(parts, array(source.scale).reshape(-1), normal)


def stochastic_depth(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    """ConvNeXt's own layer drops the branch for the whole batch: a dropout of one decision."""
    import tf_keras

    shape = [1] * len(x.shape)
    return parts.layer(tf_keras.layers.Dropout, rate=float(source.drop_path_rate), noise_shape=shape)(x)


def spectral_normalization(parts: Parts, source: Any, *args: Any, **_kwargs: Any) -> Any:
    """At inference it is the layer within, whose kernel was normalized in training."""
    parts.notes.append(f"layer {parts.name}: trained further, its kernel is no longer divided by its spectral norm")
    return parts.convert(parts, source.layer, "", *args)


def normalization(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    """With the adapted statistics as options, so that they stay when the model is copied."""
    import tf_keras

    kept = [axis if axis >= 0 else axis + len(x.shape) for axis in source.axis]
    shape = [int(x.shape[axis]) for axis in sorted(kept)]
    mean, variance = (array(value).reshape(shape) for value in (source.mean, source.variance))
    made = parts.layer(
        tf_keras.layers.Normalization,
        axis=source.axis or None,
        mean=plain(mean),
        variance=plain(variance),
        invert=source.invert,
    )
    return made(x)


def rescaling(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    """Scale and offset may be arrays, one value for each channel."""
    import tf_keras

    scale, offset = (plain(_number(parts, value)) for value in (source.scale, source.offset))
    return parts.layer(tf_keras.layers.Rescaling, scale=scale, offset=offset)(x)


def _number(parts: Parts, value: Any) -> Any:
    if isinstance(value, dict):
        # A saved model holds numpy arrays as {"class_name": "__numpy__", "config": {"value": …}}.
        value = value.get("config", {}).get("value")
    if value is None:
        raise parts.refuse("its scale or offset cannot be read")
    return value if isinstance(value, (int, float)) else np.asarray(value)


def resizing(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    """Resizing without antialiasing; padding to the aspect ratio has no counterpart."""
    import tensorflow as tf
    import tf_keras

    if source.data_format != "channels_last" or source.pad_to_aspect_ratio:
        raise parts.refuse("Resizing can be rebuilt for channels last, and without pad_to_aspect_ratio")
    size = (int(source.height), int(source.width))
    if source.antialias:
        if source.crop_to_aspect_ratio:
            raise parts.refuse("Resizing with both antialias and crop_to_aspect_ratio has no counterpart")
        return parts.op(tf.image.resize)(x, list(size), method=source.interpolation, antialias=True)
    made = parts.layer(
        tf_keras.layers.Resizing,
        height=size[0],
        width=size[1],
        interpolation=source.interpolation,
        crop_to_aspect_ratio=source.crop_to_aspect_ratio,
    )
    return made(x)


def augmentation(parts: Parts, source: Any, x: Any, **_kwargs: Any) -> Any:
    """Random changes of images in training; at inference nothing happens.

    Where tf_keras has no such layer, or not with these options, it is left out, with a note.
    """
    import tensorflow as tf
    import tf_keras

    target = getattr(tf_keras.layers, type(source).__name__, None)
    x = cast(parts, x, as_float32(parts.outputs[0].dtype))
    config = None
    if target is not None and type(source).__name__ in _AUGMENTATIONS:
        # A refusal here means no more than that the layer is left out.
        try:
            config = translated(parts, source, target)
        except NotRebuildableError:
            config = None
    if target is None or config is None:
        parts.notes.append(f"layer {parts.name}: {type(source).__name__} left out, tf_keras has no counterpart")
        return parts.layer(tf_keras.layers.Activation, activation="linear")(x)
    # Unlike others, these layers take it that they are in training, unless a model says otherwise.
    mode = {"training": False} if tf.is_tensor(x) else {}
    return parts.layer(target, **config)(x, **mode)


# Those with the same meaning of their options on both sides.
_AUGMENTATIONS = frozenset(
    ["RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom"]
)
