"""Every standard layer of the image and dense kind, one small Keras 3 model each, rebuilt in tf_keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers
from rebuild_checks import WARNINGS, alive, check

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.filterwarnings(line) for line in WARNINGS]

IMAGE, SERIES, VOLUME, TABLE = (8, 9, 4), (10, 4), (5, 6, 7, 4), (6,)


def normalization(**options: Any) -> Any:
    layer = layers.Normalization(**options)
    layer.adapt(np.random.default_rng(1).normal(3.0, 2.0, (50, 8, 9, 4)).astype(np.float32))
    return layer


LAYERS: dict[str, tuple[Any, Any]] = {
    "dense": (TABLE, lambda: layers.Dense(5)),
    "dense without bias": (TABLE, lambda: layers.Dense(5, use_bias=False, activation="tanh")),
    "dense on an image": (IMAGE, lambda: layers.Dense(5, kernel_regularizer="l2", kernel_constraint="max_norm")),
    "einsum dense": (SERIES, lambda: layers.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d", activation="relu")),
    "conv1d causal": (SERIES, lambda: layers.Conv1D(5, 3, padding="causal", dilation_rate=2)),
    "conv1d strided": (SERIES, lambda: layers.Conv1D(5, 3, strides=2, padding="same")),
    "conv2d": (IMAGE, lambda: layers.Conv2D(5, (3, 2), strides=(2, 1), padding="same")),
    "conv2d groups": (IMAGE, lambda: layers.Conv2D(6, 3, groups=2)),
    "conv2d a group for each channel": (
        IMAGE,
        lambda: layers.Conv2D(12, 3, groups=4, padding="same", activation="hard_silu", kernel_regularizer="l2"),
    ),
    "conv2d dilation": (IMAGE, lambda: layers.Conv2D(5, 3, dilation_rate=(2, 3), padding="same")),
    "conv3d": (VOLUME, lambda: layers.Conv3D(5, 3, strides=2, padding="same")),
    "conv1d transpose": (SERIES, lambda: layers.Conv1DTranspose(5, 3, strides=2, padding="same")),
    "conv2d transpose": (IMAGE, lambda: layers.Conv2DTranspose(5, 3, strides=2, padding="same")),
    "conv2d transpose valid": (IMAGE, lambda: layers.Conv2DTranspose(5, 2, strides=3, output_padding=1)),
    "conv3d transpose": (VOLUME, lambda: layers.Conv3DTranspose(5, 3, strides=2)),
    "separable 1d": (SERIES, lambda: layers.SeparableConv1D(5, 3, depth_multiplier=2)),
    "separable 2d": (IMAGE, lambda: layers.SeparableConv2D(5, 3, padding="same", activation="relu")),
    "depthwise 1d": (SERIES, lambda: layers.DepthwiseConv1D(3, depth_multiplier=2)),
    "depthwise 2d": (IMAGE, lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")),
    "depthwise 2d dilation": (IMAGE, lambda: layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")),
    **{
        f"{kind} {shape}": (inside, lambda kind=kind, name=name: getattr(layers, f"{kind}Pooling{name}")(2, 2, "same"))
        for kind in ("Max", "Average")
        for shape, inside, name in (("1d", SERIES, "1D"), ("2d", IMAGE, "2D"), ("3d", VOLUME, "3D"))
    },
    **{
        f"global {kind} {name} {keep}": (
            inside,
            lambda kind=kind, name=name, keep=keep: getattr(layers, f"Global{kind}Pooling{name}")(keepdims=keep),
        )
        for kind in ("Max", "Average")
        for inside, name in ((SERIES, "1D"), (IMAGE, "2D"), (VOLUME, "3D"))
        for keep in (False, True)
    },
    "batch normalization": (IMAGE, layers.BatchNormalization),
    "batch normalization bare": (IMAGE, lambda: layers.BatchNormalization(scale=False, center=False, epsilon=0.01)),
    "batch normalization axis": (IMAGE, lambda: layers.BatchNormalization(axis=1)),
    "layer normalization": (IMAGE, layers.LayerNormalization),
    "layer normalization axes": (IMAGE, lambda: layers.LayerNormalization(axis=(1, 2, 3), center=False)),
    "group normalization": (IMAGE, lambda: layers.GroupNormalization(2)),
    "unit normalization": (IMAGE, layers.UnitNormalization),
    "rms normalization": (IMAGE, layers.RMSNormalization),
    "rms normalization of a series": (SERIES, layers.RMSNormalization),
    "spectral normalization": (IMAGE, lambda: layers.SpectralNormalization(layers.Conv2D(5, 3))),
    "relu": (IMAGE, layers.ReLU),
    "relu with options": (IMAGE, lambda: layers.ReLU(max_value=2.0, negative_slope=0.1, threshold=0.2)),
    "leaky relu": (IMAGE, lambda: layers.LeakyReLU(0.15)),
    "prelu": (IMAGE, layers.PReLU),
    "prelu shared": (IMAGE, lambda: layers.PReLU(shared_axes=[1, 2])),
    "elu": (IMAGE, lambda: layers.ELU(0.7)),
    "softmax": (IMAGE, lambda: layers.Softmax(axis=2)),
    **{
        f"dropout {name}": (inside, make)
        for name, inside, make in (
            ("plain", IMAGE, lambda: layers.Dropout(0.4, noise_shape=(None, 1, 1, 4))),
            ("1d", SERIES, lambda: layers.SpatialDropout1D(0.4)),
            ("2d", IMAGE, lambda: layers.SpatialDropout2D(0.4)),
            ("3d", VOLUME, lambda: layers.SpatialDropout3D(0.4)),
            ("alpha", IMAGE, lambda: layers.AlphaDropout(0.4, seed=3)),
            ("gaussian", IMAGE, lambda: layers.GaussianDropout(0.4)),
            ("noise", IMAGE, lambda: layers.GaussianNoise(0.4)),
        )
    },
    "activity regularization": (IMAGE, lambda: layers.ActivityRegularization(l2=0.1)),
    "identity": (IMAGE, layers.Identity),
    "flatten": (IMAGE, layers.Flatten),
    "reshape": (IMAGE, lambda: layers.Reshape((4, -1))),
    "permute": (IMAGE, lambda: layers.Permute((3, 1, 2))),
    "repeat": (TABLE, lambda: layers.RepeatVector(3)),
    "cropping 1d": (SERIES, lambda: layers.Cropping1D((1, 2))),
    "cropping 2d": (IMAGE, lambda: layers.Cropping2D(((1, 2), (0, 1)))),
    "cropping 3d": (VOLUME, lambda: layers.Cropping3D(1)),
    "padding 1d": (SERIES, lambda: layers.ZeroPadding1D((1, 2))),
    "padding 2d": (IMAGE, lambda: layers.ZeroPadding2D(((1, 2), (0, 1)))),
    "padding 3d": (VOLUME, lambda: layers.ZeroPadding3D(1)),
    "upsampling 1d": (SERIES, lambda: layers.UpSampling1D(3)),
    "upsampling 2d": (IMAGE, lambda: layers.UpSampling2D((2, 3))),
    "upsampling bilinear": (IMAGE, lambda: layers.UpSampling2D(2, interpolation="bilinear")),
    "upsampling 3d": (VOLUME, lambda: layers.UpSampling3D(2)),
    "rescaling": (IMAGE, lambda: layers.Rescaling(1 / 127.5, offset=-1)),
    "rescaling channels": (IMAGE, lambda: layers.Rescaling([0.1, 0.2, 0.3, 0.4], offset=[1.0, 2.0, 3.0, 4.0])),
    "normalization": (IMAGE, normalization),
    "normalization of all": (IMAGE, lambda: normalization(axis=None)),
    "normalization of two axes": (IMAGE, lambda: normalization(axis=(2, 3), invert=True)),
    "normalization given": (IMAGE, lambda: layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 2, 3, 4])),
    "resizing": (IMAGE, lambda: layers.Resizing(5, 12)),
    "resizing nearest": (IMAGE, lambda: layers.Resizing(16, 4, interpolation="nearest")),
    "resizing cropped": (IMAGE, lambda: layers.Resizing(5, 12, crop_to_aspect_ratio=True)),
    "resizing antialiased": (IMAGE, lambda: layers.Resizing(3, 3, antialias=True)),
    "center crop": (IMAGE, lambda: layers.CenterCrop(5, 6)),
    **{
        f"augmentation {kind}": (IMAGE, lambda kind=kind, options=options: getattr(layers, kind)(**options))
        for kind, options in {
            "RandomFlip": {"mode": "horizontal"},
            "RandomRotation": {"factor": 0.1},
            "RandomZoom": {"height_factor": 0.2},
            "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
            "RandomContrast": {"factor": 0.2},
            "RandomBrightness": {"factor": 0.2},
            "RandomCrop": {"height": 8, "width": 9},
            "RandomErasing": {},
            "RandomGaussianBlur": {},
        }.items()
    },
    "layer scale": (IMAGE, lambda: keras.src.applications.convnext.LayerScale(0.5, 4)),
    "layer scale of a table": (TABLE, lambda: keras.src.applications.convnext.LayerScale(0.5, 6)),
    "stochastic depth": (IMAGE, lambda: keras.src.applications.convnext.StochasticDepth(0.5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, tmp_path: Path) -> None:
    shape, make = LAYERS[name]
    given = keras.Input(shape, name="given")
    layer = make()
    layer.name = "this"
    source = alive(keras.Model(given, layers.Flatten()(layer(given)), name="net"))
    rebuilt = check(source, tmp_path)
    assert "this" in [one.name for one in rebuilt.model.layers]


ACTIVATIONS = sorted(set(keras.src.activations.ALL_OBJECTS_DICT) - {"threshold", "sparsemax"})


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_as_an_option_and_as_a_layer(name: str, tmp_path: Path) -> None:
    given = keras.Input((6,), name="given")
    x = layers.Dense(8, activation=name, name="option")(given)
    source = alive(keras.Model(given, layers.Activation(name, name="layer")(x), name="net"))
    rebuilt = check(source, tmp_path)
    names = [layer.name for layer in rebuilt.model.layers]
    assert {"option", "layer"} <= set(names)
    assert rebuilt.model.output_names == ["layer"]


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"])
def test_merging(name: str, tmp_path: Path) -> None:
    left, right = keras.Input((6, 4), name="left"), keras.Input((6, 4), name="right")
    options = {"axes": (1, 1), "normalize": True} if name == "Dot" else {}
    source = keras.Model([left, right], getattr(layers, name)(name="merged", **options)([left, right]), name="net")
    rebuilt = check(source, tmp_path)
    assert rebuilt.model.input_names == ["left", "right"]
    assert type(rebuilt.model.get_layer("merged")).__name__ == name


def test_the_own_layer_of_inception_resnet(tmp_path: Path) -> None:
    left, right = keras.Input((6, 4), name="left"), keras.Input((6, 4), name="right")
    layer = keras.src.applications.inception_resnet_v2.CustomScaleLayer(0.2, name="this")
    check(keras.Model([left, right], layer([left, right]), name="net"), tmp_path)


def test_embedding_takes_whole_numbers_as_float_or_integer(tmp_path: Path) -> None:
    for dtype in ("float32", "int32"):
        given = keras.Input((5,), dtype=dtype, name="given")
        x = layers.Embedding(11, 4, mask_zero=dtype == "int32", name="table")(given)
        source = keras.Model(given, layers.GlobalAveragePooling1D(name="mean")(x), name="net")
        check(source, tmp_path)


def test_masks_reach_the_layers_that_use_them(tmp_path: Path) -> None:
    given = keras.Input((5, 3), name="given")
    x = layers.Masking(0.0, name="masking")(layers.ReLU(negative_slope=0.0)(given))
    x = layers.GlobalAveragePooling1D(name="mean")(layers.Dense(4, name="dense")(x))
    check(alive(keras.Model(given, x, name="net")), tmp_path)


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_category_encoding(mode: str, tmp_path: Path) -> None:
    given = keras.Input((1,) if mode == "one_hot" else (4,), dtype="int64", name="given")
    source = keras.Model(given, layers.CategoryEncoding(7, output_mode=mode, name="coded")(given), name="net")
    check(source, tmp_path)


@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_discretization(mode: str, tmp_path: Path) -> None:
    given = keras.Input((4 if mode == "int" else 1,), name="given")
    layer = layers.Discretization(bin_boundaries=[-0.5, 0.0, 1.0], output_mode=mode, name="bins")
    check(keras.Model(given, layer(given), name="net"), tmp_path)


@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention(causal: bool, tmp_path: Path) -> None:
    query, value = keras.Input((5, 6), name="query"), keras.Input((7, 6), name="value")
    layer = layers.MultiHeadAttention(2, 3, value_dim=4, dropout=0.1, name="attention")
    x = layer(query=query, value=value, use_causal_mask=causal)
    more = layers.MultiHeadAttention(2, 3, output_shape=5, name="own")
    x, scores = more(x, x, return_attention_scores=True)
    source = alive(keras.Model([query, value], [x, scores], name="net"))
    rebuilt = check(source, tmp_path)
    assert {"attention", "own"} <= {layer.name for layer in rebuilt.model.layers}


@pytest.mark.parametrize("kind", ["Attention", "AdditiveAttention"])
def test_attention(kind: str, tmp_path: Path) -> None:
    query, value = keras.Input((5, 6), name="query"), keras.Input((7, 6), name="value")
    source = keras.Model([query, value], getattr(layers, kind)(use_scale=True)([query, value]), name="net")
    check(alive(source), tmp_path)


def test_frozen_layers_and_training_options_come_along(tmp_path: Path) -> None:
    given = keras.Input((6,), name="given")
    frozen = layers.Dense(5, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2), trainable=False, name="frozen")
    norm = layers.BatchNormalization(momentum=0.7, name="norm")
    source = alive(keras.Model(given, layers.Dropout(0.3, name="drop")(norm(frozen(given))), name="net"))
    model = check(source, tmp_path).model
    assert not model.get_layer("frozen").trainable
    assert model.get_layer("norm").trainable
    assert model.get_layer("norm").momentum == 0.7
    assert model.get_layer("drop").rate == 0.3
    assert float(model.get_layer("frozen").kernel_regularizer.l2) == pytest.approx(0.2)


def test_low_rank_update_is_added_to_the_kernel(tmp_path: Path) -> None:
    source = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="dense")], name="net")
    source.layers[0].enable_lora(2)
    check(alive(source), tmp_path)
