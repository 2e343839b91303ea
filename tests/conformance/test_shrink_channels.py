"""Channels are followed through every kind of layer, and a smaller model that is wrong is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensorflow as tf
from rebuild_checks import WARNINGS
from tf_keras import Input, Model, Sequential, layers

from optkit.errors import InputError, InternalError
from optkit.techniques._shrink import choice, rebuilding
from optkit.techniques._shrink.follow import follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.techniques._shrink.channels import Followed

pytestmark = [pytest.mark.filterwarnings(line) for line in WARNINGS]

IMAGE, SERIES, VOLUME, TABLE = (9, 8, 4), (10, 4), (5, 6, 7, 4), (6,)
# Makes channels for the layer under test to follow, by the rank of what goes in.
FIRST: dict[int, Callable[[], Any]] = {
    1: lambda: layers.Dense(8, name="first"),
    2: lambda: layers.Conv1D(8, 3, padding="same", name="first"),
    3: lambda: layers.Conv2D(8, 3, padding="same", name="first"),
    4: lambda: layers.Conv3D(8, 3, padding="same", name="first"),
}


def chain(shape: tuple[int, ...], *between: Any) -> Any:
    """What makes channels, the layers under test, and a dense layer that reads them."""
    x = given = Input(shape, name="given")
    x = FIRST[len(shape)]()(x)
    for layer in between:
        x = layer(x)
    if len(x.shape) > 2:
        x = layers.Flatten(name="flat")(x)
    return Model(given, layers.Dense(3, activation="softmax", name="last")(x), name="net")


def one(layer: Callable[[], Any], shape: tuple[int, ...] = IMAGE) -> Callable[[], Any]:
    return lambda: chain(shape, layer())


def merged(layer: Callable[[], Any], *, second: int = 8) -> Callable[[], Any]:
    """Two convolutions, joined."""

    def build() -> Any:
        given = Input(IMAGE, name="given")
        left = layers.Conv2D(8, 3, padding="same", activation="relu", name="left")(given)
        right = layers.Conv2D(second, 3, padding="same", name="right")(left)
        x = layers.Conv2D(4, 3, name="after")(layer()([left, right]))
        return Model(given, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)), name="net")

    return build


def inverted_residual() -> Any:
    """As MobileNetV2 has them: a wide depthwise middle, a residual sum of narrow ends."""
    given = Input(IMAGE, name="given")
    stem = layers.Conv2D(4, 3, padding="same", name="stem")(given)
    x = layers.ReLU(6.0, name="six")(layers.BatchNormalization(name="norm")(layers.Conv2D(12, 1, name="wide")(stem)))
    x = layers.DepthwiseConv2D(3, padding="same", name="deep")(layers.ZeroPadding2D(0, name="pad")(x))
    x = layers.Conv2D(4, 1, name="narrow")(layers.ReLU(6.0, name="six_2")(layers.BatchNormalization(name="norm_2")(x)))
    x = layers.GlobalAveragePooling2D(name="mean")(layers.Add(name="sum")([stem, x]))
    return Model(given, layers.Dense(3, name="last")(x), name="net")


def squeeze_and_excite() -> Any:
    given = Input(IMAGE, name="given")
    x = layers.Conv2D(8, 3, padding="same", name="first")(given)
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="up")(
        layers.Conv2D(3, 1, activation="relu", name="down")(mean)
    )
    x = layers.Flatten(name="flat")(layers.Multiply(name="gated")([x, gate]))
    return Model(given, layers.Dense(3, name="last")(x), name="net")


def gate_of_one_channel() -> Any:
    given = Input(IMAGE, name="given")
    x = layers.Conv2D(8, 3, padding="same", name="first")(given)
    x = layers.Multiply(name="gated")([x, layers.Conv2D(1, 1, activation="sigmoid", name="gate")(x)])
    return Model(given, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)), name="net")


def concatenated_and_added() -> Any:
    """Two branches side by side are added to one that is as wide as both."""
    given = Input(IMAGE, name="given")
    parts = [layers.Conv2D(4, 3, padding="same", name=name)(given) for name in ("left", "right")]
    whole = layers.Conv2D(8, 1, name="whole")(given)
    x = layers.Add(name="sum")([layers.Concatenate(name="both")(parts), whole])
    return Model(given, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)), name="net")


def _inner(kind: str, channels: int = 8) -> Any:
    shape = (*IMAGE[:2], channels)
    parts = [
        layers.Conv2D(6, 3, activation="relu", name="inner_conv"),
        layers.BatchNormalization(name="inner_norm"),
    ]
    if kind == "sequential":
        return Sequential([Input(shape, name="inner_input"), *parts], name="inner")
    x = given = Input(shape, name="inner_input")
    for part in parts:
        x = part(x)
    return Model(given, x, name="inner")


def nested_twice() -> Any:
    given = Input(IMAGE, name="given")
    inner = _inner("functional")
    first, second = (layers.Conv2D(8, 3, padding="same", name=name)(given) for name in ("first", "second"))
    x = layers.Subtract(name="difference")([inner(first), inner(second)])
    return Model(given, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)), name="net")


def shared_layer() -> Any:
    given = Input(TABLE, name="given")
    shared = layers.Dense(5, activation="tanh", name="shared")
    left, right = layers.Dense(8, name="left")(given), layers.Dense(8, name="right")(given)
    x = layers.Concatenate(name="both")([shared(left), shared(right)])
    return Model(given, layers.Dense(3, name="last")(x), name="net")


def generator() -> Any:
    """A dense layer whose units become a small picture."""
    given = Input(TABLE, name="given")
    x = layers.Reshape((2, 2, 6), name="picture")(layers.Dense(24, name="first")(given))
    x = layers.Conv2DTranspose(5, 3, strides=2, name="larger")(x)
    return Model(given, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)), name="net")


def words() -> Any:
    given = Input((7,), name="given")
    x = layers.Conv1D(4, 3, name="conv")(layers.Embedding(20, 8, name="table")(given))
    return Model(given, layers.Dense(3, name="last")(layers.GlobalMaxPooling1D(name="most")(x)), name="net")


def arithmetic() -> Any:
    """Operators on tensors, and functions of TensorFlow."""
    given = Input(IMAGE, name="given")
    x = layers.Conv2D(8, 3, padding="same", name="first")(given)
    x = tf.nn.relu6(x + 3.0) * x / 6.0 - layers.Conv2D(8, 3, padding="same", name="second")(x)
    return Model(given, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)), name="net")


def one_after_the_other() -> Any:
    """Sequential, whose first layer brings its own input shape."""
    return Sequential(
        [
            layers.Conv2D(8, 3, input_shape=IMAGE, name="first"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flat"),
            layers.Dropout(0.5, name="drop"),
            layers.Dense(7, activation="relu", name="dense"),
            layers.Dense(3, activation="softmax", name="last"),
        ]
    )


# Layers that lose channels, by name, and what they have before.
EIGHT = {"first": 8}
FOLLOWED: dict[str, tuple[Callable[[], Any], dict[str, int]]] = {
    "dense": (one(lambda: layers.Dense(5, name="it"), TABLE), {"first": 8, "it": 5}),
    "dense of a series": (one(lambda: layers.Dense(5, name="it"), SERIES), {"first": 8, "it": 5}),
    "conv1d": (one(lambda: layers.Conv1D(5, 3, padding="causal", name="it"), SERIES), {"first": 8, "it": 5}),
    "conv2d": (one(lambda: layers.Conv2D(5, (3, 2), strides=2, name="it")), {"first": 8, "it": 5}),
    "conv2d dilation": (one(lambda: layers.Conv2D(5, 3, dilation_rate=2, name="it")), {"first": 8, "it": 5}),
    "conv2d without bias": (one(lambda: layers.Conv2D(5, 3, use_bias=False, name="it")), {"first": 8, "it": 5}),
    "conv3d": (one(lambda: layers.Conv3D(5, 3, name="it"), VOLUME), {"first": 8, "it": 5}),
    "conv2d groups": (one(lambda: layers.Conv2D(6, 3, groups=2, name="it")), {"first": 8, "it": 6}),
    "conv2d a group for each channel": (
        one(lambda: layers.Conv2D(16, 3, groups=8, name="it")),
        {"first": 8, "it": 16},
    ),
    "conv1d transpose": (
        one(lambda: layers.Conv1DTranspose(5, 3, strides=2, name="it"), SERIES),
        {"first": 8, "it": 5},
    ),
    "conv2d transpose": (one(lambda: layers.Conv2DTranspose(5, 3, strides=2, name="it")), {"first": 8, "it": 5}),
    "conv3d transpose": (one(lambda: layers.Conv3DTranspose(5, 3, name="it"), VOLUME), {"first": 8, "it": 5}),
    "depthwise 1d": (one(lambda: layers.DepthwiseConv1D(3, depth_multiplier=2, name="it"), SERIES), EIGHT),
    "depthwise 2d": (one(lambda: layers.DepthwiseConv2D(3, depth_multiplier=3, name="it")), EIGHT),
    "separable 1d": (
        one(lambda: layers.SeparableConv1D(5, 3, depth_multiplier=2, name="it"), SERIES),
        {"first": 8, "it": 5},
    ),
    "separable 2d": (one(lambda: layers.SeparableConv2D(5, 3, name="it")), {"first": 8, "it": 5}),
    "batch normalization": (one(lambda: layers.BatchNormalization(name="it")), EIGHT),
    "batch normalization bare": (one(lambda: layers.BatchNormalization(scale=False, center=False, name="it")), EIGHT),
    "prelu": (one(lambda: layers.PReLU(name="it")), EIGHT),
    "prelu shared": (one(lambda: layers.PReLU(shared_axes=[1, 2], name="it")), EIGHT),
    **{
        f"{kind} pooling {dimensions}": (
            one(lambda kind=kind, dimensions=dimensions: getattr(layers, f"{kind}Pooling{dimensions}")(2), shape),
            EIGHT,
        )
        for kind in ("Max", "Average")
        for dimensions, shape in (("1D", SERIES), ("2D", IMAGE), ("3D", VOLUME))
    },
    **{
        f"global {kind} pooling {keep}": (
            one(lambda kind=kind, keep=keep: getattr(layers, f"Global{kind}Pooling2D")(keepdims=keep)),
            EIGHT,
        )
        for kind in ("Max", "Average")
        for keep in (False, True)
    },
    "padding": (one(lambda: layers.ZeroPadding2D(2)), EIGHT),
    "cropping": (one(lambda: layers.Cropping2D(2)), EIGHT),
    "upsampling": (one(lambda: layers.UpSampling2D(2, interpolation="bilinear")), EIGHT),
    "flatten": (one(layers.Flatten), EIGHT),
    "reshape of an image": (one(lambda: layers.Reshape((72, 8))), EIGHT),
    "reshape of rows into channels": (one(lambda: layers.Reshape((8, 72))), EIGHT),
    "reshape to a row": (one(lambda: layers.Reshape((-1,))), EIGHT),
    "reshape to a picture": (generator, {"first": 24, "larger": 5}),
    "permute of an image's sides": (one(lambda: layers.Permute((2, 1, 3))), EIGHT),
    "repeat": (one(lambda: layers.RepeatVector(3), TABLE), EIGHT),
    "activation": (one(lambda: layers.Activation("sigmoid")), EIGHT),
    "leaky relu": (one(lambda: layers.LeakyReLU(0.2)), EIGHT),
    "softmax of an image's rows": (one(lambda: layers.Softmax(axis=1)), EIGHT),
    "dropout": (one(lambda: layers.Dropout(0.5)), EIGHT),
    "spatial dropout": (one(lambda: layers.SpatialDropout2D(0.5)), EIGHT),
    "noise": (one(lambda: layers.GaussianNoise(0.5)), EIGHT),
    "rescaling": (one(lambda: layers.Rescaling(0.5, 0.1)), EIGHT),
    **{
        kind.lower(): (merged(getattr(layers, kind)), {"left": 8, "right": 8, "after": 4})
        for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    },
    "concatenate": (merged(layers.Concatenate, second=5), {"left": 8, "right": 5, "after": 4}),
    "concatenate along a side": (merged(lambda: layers.Concatenate(axis=1)), {"left": 8, "right": 8, "after": 4}),
    "concatenate and add": (concatenated_and_added, {"left": 4, "right": 4, "whole": 8}),
    "inverted residual": (inverted_residual, {"stem": 4, "wide": 12, "narrow": 4}),
    "squeeze and excite": (squeeze_and_excite, {"first": 8, "down": 3, "up": 8}),
    "a gate of one channel": (gate_of_one_channel, EIGHT),
    "nested functional": (lambda: chain(IMAGE, _inner("functional")), {"first": 8, "inner/inner_conv": 6}),
    "nested sequential": (lambda: chain(IMAGE, _inner("sequential")), {"first": 8, "inner/inner_conv": 6}),
    "nested twice": (nested_twice, {"first": 8, "second": 8, "inner/inner_conv": 6}),
    "shared layer": (shared_layer, {"left": 8, "right": 8, "shared": 5}),
    "embedding": (words, {"table": 8, "conv": 4}),
    "operators": (arithmetic, {"first": 8, "second": 8}),
    "sequential": (one_after_the_other, {"first": 8, "dense": 7}),
}


def two_models() -> Any:
    """A layer that the outer model calls, and a model inside it too."""
    given = Input(IMAGE, name="given")
    both = layers.Conv2D(8, 3, padding="same", name="both")
    x = layers.Conv2D(8, 3, padding="same", name="middle")(both(layers.Conv2D(4, 1, name="first")(given)))
    inside = Input((*IMAGE[:2], 4), name="inside")
    inner = Model(inside, both(inside), name="inner")
    x = layers.Add(name="sum")([x, inner(layers.Conv2D(4, 1, name="second")(given))])
    return Model(given, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)), name="net")


# What cannot go: the layer, and a part of the reason.
HELD: dict[str, tuple[Callable[[], Any], str, str]] = {
    "output": (merged(layers.Add), "last", "output of the model"),
    "softmax": (one(layers.Softmax), "first", "softmax looks at all channels together"),
    "softmax as an activation": (
        one(lambda: layers.Dense(5, activation="softmax", name="it"), TABLE),
        "it",
        "activation softmax looks at all",
    ),
    "activation layer": (one(lambda: layers.Activation("softmax", name="it")), "first", "activation softmax looks at"),
    "layer normalization": (one(lambda: layers.LayerNormalization(name="it")), "first", "a LayerNormalization is not"),
    "group normalization": (one(lambda: layers.GroupNormalization(2, name="it")), "first", "a GroupNormalization is"),
    "batch normalization axis": (one(lambda: layers.BatchNormalization(axis=1)), "first", "axis [1], not the last"),
    "recurrent": (one(lambda: layers.LSTM(4, name="it"), SERIES), "first", "a LSTM is not followed"),
    "permute of the channels": (one(lambda: layers.Permute((3, 1, 2))), "first", "moves the channels"),
    "reshape across channels": (one(lambda: layers.Reshape((64, 9))), "first", "all its channels go together"),
    "rescaling by channel": (one(lambda: layers.Rescaling([0.5] * 8)), "first", "a scale for each channel"),
    "noise of its own shape": (one(lambda: layers.Dropout(0.5, (None, 1, 1, 8))), "first", "noise has a shape"),
    "dot": (merged(lambda: layers.Dot(axes=3)), "left", "a Dot is not followed"),
    "wrapper": (one(lambda: layers.TimeDistributed(layers.Dense(4)), SERIES), "first", "a TimeDistributed is not"),
    "channels first": (one(lambda: layers.Flatten(data_format="channels_first")), "first", "channels first"),
    "array of constants": (one(lambda: lambda x: x * np.ones(8, np.float32)), "first", "an array of constants"),
    "function": (one(lambda: lambda x: tf.reduce_mean(x, axis=-1)), "first", "is not followed"),
}


def randomize(model: Any) -> Any:
    """No weight as it was made: biases of zero and variances of one would hide mistakes."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        values = generator.uniform(0.5, 1.5, weight.shape) if "variance" in weight.name else None
        if values is None:
            values = generator.normal(0.0, 0.4, weight.shape)
        weight.assign(values.astype(weight.dtype.as_numpy_dtype))
    return model


def some_gone(followed: Followed, seed: int) -> np.ndarray:
    """Groups that stay when about half of those that can go do."""
    generator = np.random.default_rng(seed)
    able = choice.order(followed, generator.random(followed.groups), "global")
    return choice.keep_of(followed, able[: max(1, len(able) // 2)])


def kept_counts(model: Any) -> dict[str, int]:
    return {"/".join(path): len(made.channels) for path, made in follow(model).made.items()}


@pytest.mark.parametrize("kind", FOLLOWED)
def test_a_layer_kind_is_followed_and_proved(kind: str) -> None:
    build, expected = FOLLOWED[kind]
    model = randomize(build())
    before = [weight.copy() for weight in model.get_weights()]
    followed = follow(model)
    whole = kept_counts(model)
    assert {name: whole[name] for name in expected} == expected
    for seed in range(3):
        keep = some_gone(followed, seed)
        smaller = rebuilding.rebuild(model, followed, keep)
        assert rebuilding.prove(model, followed, keep, smaller, seed) <= rebuilding.LIMIT
        left = kept_counts(smaller)
        for path, made in followed.made.items():
            assert left["/".join(path)] == keep[followed.group[made.channels]].sum()
        assert smaller.count_params() < model.count_params()
        assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
        assert smaller.input_names == model.input_names
        assert smaller.output_names == model.output_names
    # The most that can go: every layer that was named has come down.
    able = choice.order(followed, np.arange(followed.groups, dtype=float), "global")
    least = kept_counts(rebuilding.rebuild(model, followed, choice.keep_of(followed, able)))
    assert all(1 <= least[name] < count for name, count in expected.items()), least
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("kind", FOLLOWED)
def test_a_channel_in_the_wrong_place_is_refused(kind: str) -> None:
    """The numbers of what some layer reads are moved on by one."""
    model = randomize(FOLLOWED[kind][0]())
    followed = follow(model)
    keep = some_gone(followed, 0)
    wrong = []
    for place, cut in enumerate(followed.cuts):
        axis = next((axis for axis in cut.reads if not keep[followed.group[cut.axes[axis]]].all()), None)
        if axis is not None:
            moved = cut._replace(axes=cut.axes | {axis: np.roll(cut.axes[axis], 1)})
            wrong.append([*followed.cuts[:place], moved, *followed.cuts[place + 1 :]])
    assert wrong
    for cuts in wrong:
        broken = type(followed)(followed.group, followed.fixed, cuts, followed.settings, followed.made, followed.inputs)
        with pytest.raises(InternalError, match="must answer within"):
            rebuilding.prove(model, broken, keep, rebuilding.rebuild(model, broken, keep), 0)


@pytest.mark.parametrize("kind", HELD)
def test_what_cannot_go_is_held_with_the_reason(kind: str) -> None:
    build, layer, reason = HELD[kind]
    model = randomize(build())
    followed = follow(model)
    channels = next(made.channels for path, made in followed.made.items() if path[-1] == layer)
    groups = set(followed.group[channels].tolist())
    if groups <= set(followed.fixed):
        assert any(reason in followed.fixed[group] for group in groups), followed.fixed
    else:
        assert reason == "all its channels go together"
        assert len(groups) == 1
    able = choice.order(followed, np.zeros(followed.groups), "global")
    assert not groups & set(able)
    # What can go beside it still comes out right.
    keep = choice.keep_of(followed, able)
    smaller = rebuilding.rebuild(model, followed, keep)
    assert rebuilding.prove(model, followed, keep, smaller, 0) <= rebuilding.LIMIT


def test_a_layer_of_two_models_is_refused() -> None:
    with pytest.raises(InputError, match="layer both is called here and as inner/both"):
        follow(two_models())


@pytest.mark.parametrize("name", ["left", "inner"])
def test_a_layer_to_skip_stays_as_it_is(name: str) -> None:
    model = randomize(shared_layer() if name == "left" else chain(IMAGE, _inner("functional")))
    followed = follow(model, (name,))
    able = choice.order(followed, np.zeros(followed.groups), "global")
    smaller = rebuilding.rebuild(model, followed, choice.keep_of(followed, able))
    shapes = [weight.shape for weight in model.get_layer(name).get_weights()]
    assert [weight.shape for weight in smaller.get_layer(name).get_weights()] == shapes
    assert "named in --skip-layer" in followed.fixed.values()
