"""Whole Keras 3 models rebuilt in tf_keras: their structure, what is refused, and what the comparison finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers, ops
from rebuild_checks import WARNINGS, alive, check

from optkit.errors import InputError
from optkit.keras_models.rebuild import NotRebuildableError, rebuild
from optkit.keras_models.rebuild_compare import LIMIT, compare, difference, outputs, random_inputs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.filterwarnings(line) for line in WARNINGS]


def sequential() -> Any:
    parts = [
        keras.Input((12, 12, 1), name="image"),
        layers.Rescaling(1 / 255, name="scale"),
        layers.Conv2D(6, 3, activation="relu", name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(name="flat"),
        layers.Dropout(0.2, name="drop"),
        layers.Dense(4, activation="softmax", name="digits"),
    ]
    return keras.Sequential(parts, name="net")


def residual() -> Any:
    """Branches, a residual sum by a plus sign, concatenation, plain arithmetic."""
    image = keras.Input((12, 12, 3), name="image")
    x = stem = layers.Conv2D(8, 3, padding="same", name="stem")(image / 127.5 - 1)
    x = layers.ReLU(6, name="six")(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="hard_silu", name="deep")(x) + stem
    x = layers.Concatenate(name="join")([x, layers.Conv2D(4, 1, name="side")(stem) * 0.5])
    x = ops.mean(x[:, 1:], axis=(1, 2))
    return keras.Model(image, layers.Dense(5, name="digits")(x), name="net")


def several() -> Any:
    """A layer used twice, two inputs, two outputs."""
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    shared = layers.Dense(4, activation="tanh", name="shared")
    one, two = shared(left), shared(right)
    first = layers.Dense(3, activation="softmax", name="first")(ops.concatenate([one, two], axis=-1))
    return keras.Model([left, right], [first, layers.Dense(1, name="second")(one - two)], name="net")


def transfer() -> Any:
    """The usual transfer learning: a frozen base called with training=False, a head, augmentation before."""
    inner = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(inner)
    x = layers.BatchNormalization(name="norm")(x)
    base = keras.Model(inner, layers.GlobalAveragePooling2D(name="pool")(x), name="base")
    base.trainable = False
    image = keras.Input((8, 8, 3), name="photo")
    x = keras.Sequential([layers.RandomFlip(name="flip"), layers.RandomRotation(0.1, name="turn")], name="augment")(
        image
    )
    head = keras.Sequential([keras.Input((4,)), layers.Dropout(0.1), layers.Dense(3, name="conv")], name="head")
    return keras.Model(image, head(base(x, training=False)), name="net")


def twice() -> Any:
    """A nested model that is used twice, with another one within it."""
    tiny = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="tiny"), layers.ReLU()], name="inner")
    inside = keras.Input((4,), name="inside")
    tower = keras.Model(inside, tiny(inside) + inside, name="tower")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    return keras.Model({"left": left, "right": right}, {"sum": tower(left) * tower(right)}, name="net")


def attention() -> Any:
    """A block of a vision transformer, written by hand."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Reshape((16, 8), name="tokens")(layers.Conv2D(8, 2, 2, name="patches")(image))
    x = x + layers.Embedding(16, 8, name="places")(ops.arange(16))
    y = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = x + layers.MultiHeadAttention(2, 4, name="attention")(y, y)
    x = x + layers.Dense(8, name="out")(layers.Dense(16, activation="gelu", name="wide")(x))
    return keras.Model(image, layers.Dense(3, name="digits")(x[:, 0]), name="net")


MODELS = {one.__name__: one for one in (sequential, residual, several, transfer, twice, attention)}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("saved", [False, True])
def test_model(name: str, saved: bool, tmp_path: Path) -> None:
    source = alive(MODELS[name]())
    if saved:
        source.save(tmp_path / "model.keras")
        source = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True, compile=False)
    weights = [np.asarray(weight.numpy()) for weight in source.weights]
    model = check(source, tmp_path).model
    assert model.input_names == [one.name for one in source.inputs]
    assert model.output_names == [one._keras_history.operation.name for one in source.outputs]
    assert not any(isinstance(layer, tf_keras.Model) for layer in model.layers)
    assert all(np.array_equal(one, two.numpy()) for one, two in zip(weights, source.weights, strict=True))


@pytest.mark.parametrize("name", ["sequential", "residual"])
def test_layer_names_are_kept(name: str) -> None:
    source = MODELS[name]()
    names = [layer.name for layer in rebuild(source).model.layers]
    assert {layer.name for layer in source.layers} <= set(names)
    assert len(names) == len(set(names))


def test_nested_models_are_taken_apart_and_layers_of_one_name_told_apart() -> None:
    rebuilt = rebuild(alive(transfer()))
    layers_by_name = {layer.name: layer for layer in rebuilt.model.layers}
    assert {"photo", "conv", "norm", "pool", "head_conv", "flip", "turn"} <= set(layers_by_name)
    assert not layers_by_name["conv"].trainable
    assert not layers_by_name["norm"].trainable
    assert layers_by_name["head_conv"].trainable
    assert "nested model base was taken apart into the outer one" in rebuilt.notes
    assert "layer head/conv is called head_conv in the rebuilt model" in rebuilt.notes


def test_a_layer_used_twice_is_one_layer() -> None:
    model = rebuild(alive(several())).model
    assert len(model.get_layer("shared").inbound_nodes) == 2
    assert sum(weight.shape.num_elements() for weight in model.weights) == 6 * 4 + 4 + 8 * 3 + 3 + 4 + 1


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_other_policies_are_compared_in_float32(policy: str, tmp_path: Path) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        scale = layers.Normalization(name="scale")
        scale.adapt(np.random.default_rng(1).normal(3, 2, (50, 12, 12, 3)))
        image = keras.Input((12, 12, 3), name="image")
        x = layers.Conv2D(8, 3, activation="relu", name="conv")(scale(image))
        x = layers.GlobalAveragePooling2D(name="pool")(layers.BatchNormalization(name="norm")(x) * 2)
        source = alive(keras.Model(image, layers.Dense(3, dtype="float32", name="digits")(x), name="net"))
    finally:
        keras.config.set_dtype_policy(before)
    rebuilt = check(source, tmp_path)
    assert any(policy in note and "float32" in note for note in rebuilt.notes)
    assert {weight.dtype.name for weight in rebuilt.model.weights} == {"float32"}
    assert {tensor.dtype.name for tensor in rebuilt.model.outputs} == {"float32"}
    assert source.get_layer("conv").dtype_policy.name == policy


def test_names_that_tensorflow_does_not_take_are_replaced() -> None:
    image = keras.Input((6,), name="image")
    source = keras.Model(image, layers.Dense(3, name="_größe 1")(image), name="mein netz")
    rebuilt = rebuild(source)
    assert rebuilt.model.layers[-1].name == "layer_gr__e_1"
    assert "layer _größe 1 is called layer_gr__e_1 in the rebuilt model" in rebuilt.notes


def test_an_open_input_size_is_compared_at_one_that_fits() -> None:
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 50, padding="valid", name="conv")(image)
    rebuilt = rebuild(alive(keras.Model(image, layers.GlobalAveragePooling2D()(x), name="net")))
    assert rebuilt.model.input_shape == (None, None, None, 3)


class Own(keras.layers.Dense):
    """A class of the user's own, with the name of no other."""


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def _model(*parts: Any) -> Any:
    return keras.Sequential([keras.Input((6,), name="given"), *parts], name="net")


REFUSED: dict[str, tuple[Any, str, str]] = {
    "own class": (lambda: _model(Own(3, name="mine")), "mine", "user's own"),
    "lambda": (lambda: _model(layers.Lambda(lambda x: x + 1, name="code")), "code", "holds code"),
    "own activation": (lambda: _model(layers.Dense(3, activation=lambda x: x + 1, name="odd")), "odd", "activation"),
    "no counterpart": (lambda: _model(layers.Dense(3, activation="sparsemax", name="odd")), "odd", "sparsemax"),
    "nested": (lambda: _model(_model(Own(3, name="mine"))), "mine", "user's own"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_rebuilt_is_named(name: str) -> None:
    make, layer, reason = REFUSED[name]
    with pytest.raises(NotRebuildableError, match=reason) as caught:
        rebuild(make())
    assert caught.value.layer == layer
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_models_without_a_graph_are_refused() -> None:
    model = Subclassed()
    model(np.zeros((2, 6), np.float32))
    with pytest.raises(NotRebuildableError, match="subclassed"):
        rebuild(model)
    with pytest.raises(InputError, match="must have an input shape"):
        rebuild(keras.Sequential([layers.Dense(3)]))


def test_quantized_models_are_refused() -> None:
    source = sequential()
    source.get_layer("digits").quantize("int8")
    with pytest.raises(NotRebuildableError, match="already quantized"):
        rebuild(source)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("change", ["negate", "swap"])
def test_a_changed_kernel_is_found(name: str, change: str) -> None:
    """Each kernel of each model, one at a time."""
    source = alive(MODELS[name]())
    model = rebuild(source).model
    assert compare(source, model) <= LIMIT
    tried = 0
    for layer in model.layers:
        for attribute in ("kernel", "depthwise_kernel"):
            kernel = getattr(layer, attribute, None)
            if kernel is None:
                continue
            good = kernel.numpy()
            # The last two axes are the channels; a swap exchanges the first two places of the longer one.
            axis = int(np.argmax(good.shape))
            swapped = np.take(good, [1, 0, *range(2, good.shape[axis])], axis)
            kernel.assign(-good if change == "negate" else swapped)
            with pytest.raises(InputError, match=f"they part at layer '{layer.name.removeprefix('head_')}'|part at"):
                compare(source, model)
            kernel.assign(good)
            tried += 1
    assert tried >= 1
    assert compare(source, model) <= LIMIT


def test_the_layer_where_they_part_is_named() -> None:
    source = alive(residual())
    model = rebuild(source).model
    kernel = model.get_layer("deep").depthwise_kernel
    kernel.assign(-kernel)
    with pytest.raises(InputError, match="they part at layer 'deep'"):
        compare(source, model)


def test_an_error_is_found_where_the_outputs_do_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a ReLU that lets nothing through, each layer is still compared by itself."""
    from optkit.keras_models import _layers_config

    image = keras.Input((6,), name="image")
    x = layers.Dense(4, activation="relu", bias_initializer=keras.initializers.Constant(-1e9), name="dead")(
        layers.Dense(5, name="before")(image)
    )
    source = keras.Model(image, layers.Dense(2, name="after")(x), name="net")
    assert rebuild(source).difference <= LIMIT
    honest = _layers_config.array

    def negated(value: Any) -> np.ndarray:
        found = honest(value)
        return -found if found.shape == (6, 5) else found

    monkeypatch.setattr(_layers_config, "array", negated)
    with pytest.raises(InputError, match="layer 'before' rebuilt in tf_keras must answer within"):
        rebuild(source)


def test_outputs_that_are_not_finite_prove_nothing() -> None:
    source = sequential()
    kernel = source.get_layer("digits").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(InputError, match="no random input gives finite outputs"):
        rebuild(source)


def test_difference_is_relative_and_minds_shapes_and_nan() -> None:
    one = np.array([100.0, 1.0])
    assert difference(one, one) == 0
    assert difference(one, np.array([100.0, 2.0])) == pytest.approx(0.01)
    assert difference(one, one[:, None]) == np.inf
    assert difference(one, np.array([100.0, np.nan])) == np.inf
    assert difference(np.zeros(2), np.array([0.0, 1e-30])) == np.inf


def test_the_result_can_be_pruned_clustered_and_quantized() -> None:
    import tensorflow_model_optimization as tfmot

    from optkit.techniques import copy_model

    source = alive(residual())
    model = rebuild(source).model
    values = next(random_inputs(source))
    before = outputs(model, values)
    sparsity = tfmot.sparsity.keras

    def prune(layer: Any) -> Any:
        return sparsity.prune_low_magnitude(layer) if layer.name in ("stem", "side", "digits") else layer

    pruned = sparsity.strip_pruning(tf_keras.models.clone_model(copy_model(model), clone_function=prune))
    clustering = tfmot.clustering.keras
    centroids = {"number_of_clusters": 4, "cluster_centroids_init": clustering.CentroidInitialization.LINEAR}

    def cluster(layer: Any) -> Any:
        return clustering.cluster_weights(layer, **centroids) if layer.name in ("stem", "side", "digits") else layer

    clustered = tf_keras.models.clone_model(copy_model(model), clone_function=cluster)
    for made in (pruned, clustered):
        assert outputs(made, values)[0].shape == before[0].shape
    quantized = tfmot.quantization.keras.quantize_model(rebuild(alive(known_to_the_8_bit_scheme())).model)
    assert any(layer.name == "quant_conv" for layer in quantized.layers)
    assert np.array_equal(outputs(model, values)[0], before[0])


def known_to_the_8_bit_scheme() -> Any:
    """Layers that tensorflow-model-optimization quantizes; it knows neither Rescaling nor a lone normalization."""
    x = image = keras.Input((12, 12, 1), name="image")
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(6, 3, name="conv")(x))
    x = ops.mean(ops.relu6(x) + ops.relu(x), axis=(1, 2))
    return keras.Model(image, layers.Dense(4, activation="softmax", name="digits")(x), name="net")


def test_rounding_of_batch_normalization_does_not_count() -> None:
    """TensorFlow's fused kernel rounds otherwise than Keras 3; 60 layers on, it would be over the limit."""
    x = image = keras.Input((8, 8, 3), name="image")
    for number in range(60):
        x = layers.Conv2D(8, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(layers.BatchNormalization(name=f"norm{number}")(x))
    source = keras.Model(image, layers.Flatten(name="flat")(x), name="net")
    generator = np.random.default_rng(5)
    for weight in source.weights:
        scale = 1.0 if "variance" in weight.path or "gamma" in weight.path else 0.0
        weight.assign(generator.normal(scale, 0.17, weight.shape))
    model = rebuild(source).model
    assert compare(source, model) <= LIMIT
    assert all(layer.fused for layer in model.layers if "norm" in layer.name)
