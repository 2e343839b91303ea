"""Every operator that Keras 3 makes of plain arithmetic and of keras.ops, rebuilt in tf_keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from rebuild_checks import WARNINGS, alive, check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.filterwarnings(line) for line in WARNINGS]

CHANNELS = np.array([0.5, 2.0, -1.0, 4.0], np.float32)

# What is done to an image tensor [n, 6, 5, 4], and the layer that it should become where there is one.
ARITHMETIC: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "x + 3": (lambda x: x + 3, "Rescaling"),
    "3 + x": (lambda x: 3 + x, "Rescaling"),
    "x + channels": (lambda x: x + CHANNELS, "Rescaling"),
    "x - 1.5": (lambda x: x - 1.5, "Rescaling"),
    "1 - x": (lambda x: 1 - x, "Rescaling"),
    "x * 0.5": (lambda x: x * 0.5, "Rescaling"),
    "channels * x": (lambda x: ops.convert_to_tensor(CHANNELS) * x, "Rescaling"),
    "x / 127.5 - 1": (lambda x: x / 127.5 - 1, "Rescaling"),
    "-x": (lambda x: -x, "Rescaling"),
    "2 / (abs(x) + 1)": (lambda x: 2 / (abs(x) + 1), None),
    "x + x": (lambda x: x + x, "Add"),
    "x - 2x": (lambda x: x - x * 2, "Subtract"),
    "x * x": (lambda x: x * x, "Multiply"),
    "x ** 2": (lambda x: x**2, "Multiply"),
    "square": (ops.square, "Multiply"),
    "x / (x * x + 1)": (lambda x: x / (x * x + 1), None),
    "x ** 3": (lambda x: x**3, None),
    "abs(x) ** 0.5": (lambda x: abs(x) ** 0.5, None),
    "mod": (lambda x: x % 3, None),
    "floor divide": (lambda x: x // 0.7, None),
    "broadcast": (lambda x: x * ops.mean(x, axis=(1, 2), keepdims=True), "Multiply"),
    "fewer axes": (lambda x: x + ops.mean(x, axis=(0, 1, 2)), None),
    "more axes": (lambda x: ops.mean(x, axis=(1, 2)) + np.ones((3, 1, 4), np.float32), None),
    "maximum of a number": (lambda x: ops.maximum(x, 0.3), None),
    "minimum": (lambda x: ops.minimum(x, -x), "Minimum"),
    "where": (lambda x: ops.where(x > 0.2, x, 0.0), None),
    "logic": (lambda x: ops.cast(ops.logical_and(x > 0, ops.logical_not(x >= 2)), "float32"), None),
    "equal": (lambda x: ops.cast(ops.equal(ops.floor(x), 1), "float32"), None),
    "clip": (lambda x: ops.clip(x, -0.5, 0.7), None),
    "clip at 0": (lambda x: ops.clip(x, 0, 0.7), "ReLU"),
    "exp": (lambda x: ops.exp(x * 0.01), None),
    "log": (lambda x: ops.log(abs(x) + 1), None),
    "log1p": (lambda x: ops.log1p(abs(x)), None),
    "rsqrt": (lambda x: ops.rsqrt(abs(x) + 1), None),
    "sin": (ops.sin, None),
    "sign": (ops.sign, None),
    "erf": (ops.erf, None),
    "round": (ops.round, None),
    "reciprocal": (lambda x: ops.reciprocal(abs(x) + 1), None),
    "normalize": (lambda x: ops.normalize(x, axis=-1), None),
    "stop gradient": (ops.stop_gradient, None),
    "relu": (ops.relu, "ReLU"),
    "relu6": (ops.relu6, "ReLU"),
    "relu with options": (lambda x: keras.activations.relu(x, 0.1, 3.0, 0.5), "ReLU"),
    "leaky relu": (lambda x: ops.leaky_relu(x, 0.3), "LeakyReLU"),
    "elu": (lambda x: ops.elu(x, 0.7), "ELU"),
    "celu": (lambda x: ops.celu(x, 0.7), "Rescaling"),
    "gelu": (ops.gelu, None),
    "gelu exact": (lambda x: ops.gelu(x, approximate=False), "Activation"),
    "glu": (lambda x: ops.glu(x, axis=-1), "Multiply"),
    "silu": (ops.silu, "Activation"),
    "hard silu": (ops.hard_silu, "Multiply"),
    "hard sigmoid": (ops.hard_sigmoid, None),
    "hard shrink": (lambda x: ops.hard_shrink(x, 0.4), None),
    "soft shrink": (lambda x: ops.soft_shrink(x, 0.4), "Subtract"),
    "squareplus": (lambda x: ops.squareplus(x, 3), "Rescaling"),
    "threshold": (lambda x: ops.threshold(x, 0.2, 0.1), None),
    "softmax": (lambda x: ops.softmax(x, axis=1), "Softmax"),
    "log softmax": (ops.log_softmax, None),
    "sigmoid": (ops.sigmoid, "Activation"),
    "tanh": (ops.tanh, "Activation"),
    "selu": (ops.selu, "Activation"),
    "softplus": (ops.softplus, "Activation"),
    "log sigmoid": (ops.log_sigmoid, None),
}

SHAPES: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "mean of places": (lambda x: ops.mean(x, axis=[1, 2]), "GlobalAveragePooling2D"),
    "mean of channels": (lambda x: ops.mean(x, axis=-1, keepdims=True), None),
    "max of places": (lambda x: ops.max(x, axis=(-3, -2), keepdims=True), "GlobalMaxPooling2D"),
    "min": (lambda x: ops.min(x, axis=2), None),
    "sum": (lambda x: ops.sum(x, axis=(1, 3)), None),
    "prod": (lambda x: ops.prod(x * 0.01, axis=3), None),
    "var": (lambda x: ops.var(x, axis=1), None),
    "std": (lambda x: ops.std(x, axis=(1, 2), keepdims=True), None),
    "any": (lambda x: ops.cast(ops.any(x > 2, axis=1), "int32"), None),
    "argmax": (lambda x: ops.argmax(x, axis=-1), None),
    "logsumexp": (lambda x: ops.logsumexp(x * 0.01, axis=1), None),
    "cumsum": (lambda x: ops.cumsum(x, axis=1), None),
    "reshape": (lambda x: ops.reshape(x, (-1, 30, 4)), "Reshape"),
    "reshape open": (lambda x: ops.reshape(x, (-1, 4)), None),
    "squeeze": (lambda x: ops.squeeze(x[:, :, :, :1], axis=-1), "Reshape"),
    "expand": (lambda x: ops.expand_dims(x, axis=2), "Reshape"),
    "expand two": (lambda x: ops.expand_dims(x, axis=(0, 2)), None),
    "transpose": (lambda x: ops.transpose(x, (0, 3, 1, 2)), "Permute"),
    "transpose batch": (lambda x: ops.transpose(x, (1, 0, 2, 3)), None),
    "swap": (lambda x: ops.swapaxes(x, 1, -1), "Permute"),
    "move": (lambda x: ops.moveaxis(x, 3, 1), "Permute"),
    "concatenate": (lambda x: ops.concatenate([x, x * 2], axis=-1), "Concatenate"),
    "stack": (lambda x: ops.stack([x, x * 2], axis=1), None),
    "split": (lambda x: ops.add(*ops.split(x, 2, axis=-1)), "Add"),
    "split at places": (lambda x: ops.concatenate(ops.split(x, [1, 3], axis=2)[::-1], axis=2), "Concatenate"),
    "unstack": (lambda x: ops.unstack(x, axis=3)[2], None),
    "slice": (lambda x: x[:, 1:], None),
    "slice of all kinds": (lambda x: x[..., ::2, 1:-1], None),
    "backwards": (lambda x: x[:, ::-1], None),
    "place": (lambda x: x[:, 0, -1], None),
    "new axis": (lambda x: x[:, None, ..., None], None),
    "pad": (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))), "ZeroPadding2D"),
    "pad with a value": (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=7), None),
    "pad by reflection": (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), mode="reflect"), None),
    "flip": (lambda x: ops.flip(x, axis=2), None),
    "roll": (lambda x: ops.roll(x, 2, axis=1), None),
    "repeat": (lambda x: ops.repeat(x, 2, axis=1), None),
    "tile": (lambda x: ops.tile(x, (1, 2, 1, 3)), None),
    "matmul": (lambda x: ops.matmul(x, ops.transpose(x, (0, 1, 3, 2))), None),
    "matmul by a constant": (lambda x: x @ np.ones((4, 3), np.float32), None),
    "einsum": (lambda x: ops.einsum("abcd,abed->abce", x, x), None),
    "einsum in another order": (lambda x: ops.einsum("abcd,aecd->aeb", x, x * 2), None),
    "take": (lambda x: ops.take(x, [0, 2, 2], axis=3), None),
    "one hot": (lambda x: ops.one_hot(ops.argmax(x, axis=-1), 4), None),
    "max pool": (lambda x: ops.max_pool(x, 2, 2, "same"), "MaxPooling2D"),
    "average pool": (lambda x: ops.average_pool(x, 2, 1), "AveragePooling2D"),
    "resize": (lambda x: ops.image.resize(x, (9, 4)), None),
    "space to depth": (lambda x: ops.nn.space_to_depth(x[:, :, :4], 2), None),
    "depth to space": (lambda x: ops.nn.depth_to_space(x, 2), None),
}


@pytest.mark.parametrize("name", [*ARITHMETIC, *SHAPES])
def test_operator(name: str, tmp_path: Path) -> None:
    apply, becomes = {**ARITHMETIC, **SHAPES}[name]
    image = keras.Input((6, 5, 4), name="image")
    source = keras.Model(image, apply(image), name="net")
    rebuilt = check(source, tmp_path)
    last = source.outputs[0]._keras_history.operation.name
    assert rebuilt.model.output_names == [last]
    kind = type(rebuilt.model.get_layer(last)).__name__
    assert kind == (becomes or kind)
    assert becomes or kind == "TFOpLambda"


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    number = keras.Input((4,), dtype="int32", name="number")
    source = keras.Model(number, [number + 3, number * number, number / 2, -number], name="net")
    model = check(source, tmp_path).model
    assert [tensor.dtype.name for tensor in model.outputs] == ["int32", "int32", "float32", "int32"]


def test_pixels_as_bytes(tmp_path: Path) -> None:
    image = keras.Input((6, 5, 3), dtype="uint8", name="image")
    x = layers.Conv2D(4, 3, name="conv")(ops.cast(image, "float32") / 255)
    check(alive(keras.Model(image, x, name="net")), tmp_path)


def test_operators_with_no_counterpart_are_named() -> None:
    from optkit.keras_models.rebuild import NotRebuildableError, rebuild

    image = keras.Input((6, 6, 4), name="image")
    for apply, word in (
        (ops.erfinv, "erfinv"),
        (lambda x: ops.fft2((x[..., 0], x[..., 1]))[0], "fft2"),
        (lambda x: ops.einsum("abcd->a", x), "einsum"),
    ):
        with pytest.raises(NotRebuildableError, match=word):
            rebuild(keras.Model(image, apply(image), name="net"))
