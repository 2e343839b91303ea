"""Rebuilt models as files, in the runtimes: operators on which converters or runtimes have gone wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from rebuild_checks import WARNINGS, alive

from optkit import registry, runtimes
from optkit.exporters import ExportJob
from optkit.keras_models.rebuild import rebuild
from optkit.schema import Recipe, Step

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    *(pytest.mark.filterwarnings(line) for line in WARNINGS),
    pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning"),
    pytest.mark.slow,
]


def padded_pool() -> Any:
    """Zeros around values that are all negative, then their maximum, as ResNet50V2 begins."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(4, 1, name="conv")(image) - 4.0
    return keras.Model(
        image, layers.MaxPooling2D(3, 2, name="pool")(layers.ZeroPadding2D(1, name="pad")(x)), name="net"
    )


def mobile() -> Any:
    """Hard activations, squeeze and excitation, a residual sum, pixels scaled by arithmetic."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_silu", name="stem")(image * 0.5 + 0.1)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid", name="gate")(ops.mean(x, axis=(1, 2), keepdims=True))
    x = layers.BatchNormalization(name="norm")(x * gate) + x
    return keras.Model(image, layers.Dense(5, name="digits")(layers.Flatten(name="flat")(x)), name="net")


def attention() -> Any:
    """A block of a vision transformer."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Reshape((16, 8), name="tokens")(layers.Conv2D(8, 2, 2, name="patches")(image))
    x = x + layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.LayerNormalization(name="norm")(x)
    x = x + layers.Dense(8, name="out")(layers.Dense(16, activation="gelu", name="wide")(x))
    return keras.Model(image, layers.Dense(3, name="digits")(ops.mean(x, axis=1)), name="net")


def grouped() -> Any:
    """Convolutions in groups: two, and one for each channel, as in ConvNeXt."""
    image = keras.Input((12, 12, 4), name="image")
    x = layers.Conv2D(8, 3, groups=2, activation="relu", name="two")(image)
    x = layers.Conv2D(16, 3, groups=8, padding="same", name="each")(x)
    return keras.Model(image, layers.Dense(3, name="digits")(ops.mean(x, axis=(1, 2))), name="net")


MODELS = {one.__name__: one for one in (padded_pool, mobile, attention, grouped)}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("file", ["fp32.tflite", "int8.tflite", "fp32.onnx", "int8.onnx"])
def test_the_file_answers_as_the_keras_3_model(name: str, file: str, tmp_path: Path) -> None:
    source = alive(MODELS[name]())
    model = rebuild(source).model
    precision, file_format = file.split(".")
    images = np.random.default_rng(3).standard_normal((64, *source.input_shape[1:])).astype(np.float32)
    job = ExportJob(Recipe(precision, (Step(precision),)), images[:48])
    registry.by_format("exporters", file_format).export(job, model, tmp_path / file)
    session = runtimes.open_model(tmp_path / file)
    expected = np.asarray(source(images, training=False))
    found = session.from_native(runtimes.predict(session, images)).reshape(expected.shape)
    signal = expected - expected.mean(0)
    ratio = 10 * np.log10(np.square(signal).sum() / np.square(found - expected).sum())
    assert ratio > (90 if precision == "fp32" else 20)
