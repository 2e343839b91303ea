"""Jobs that run in workers: tf_keras models of every making go out as Keras 3 files and are loaded again."""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import importing_jobs
import numpy as np

from optkit import baselines, keras_models, registry
from optkit.errors import InputError
from optkit.keras_models import _replay, saved_model, to_keras3

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.workers import Tell


def network() -> Any:
    """What the techniques meet: convolutions of three kinds, normalization, clamps, a branch, dropout."""
    from tf_keras import Input, Model, layers

    image = Input((16, 16, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv", kernel_regularizer="l2")(image)
    x = layers.ReLU(6.0, name="six")(layers.BatchNormalization(name="norm")(x))
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="deep")(x)
    y = layers.SeparableConv2D(4, 3, padding="same", activation="relu", name="separable")(y)
    x = layers.Dropout(0.1, name="drop")(layers.Flatten(name="flat")(layers.Add(name="sum")([x, y])))
    x = layers.Dense(8, activation="tanh", name="dense")(x)
    return importing_jobs.alive(Model(image, layers.Dense(3, activation="softmax", name="out")(x), name="net"))


def _pruned() -> Any:
    import tensorflow_model_optimization as tfmot

    sparsity = tfmot.sparsity.keras
    schedule = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    return sparsity.strip_pruning(_trained(sparsity.prune_low_magnitude(network(), pruning_schedule=schedule), tfmot))


def _clustered() -> Any:
    import tensorflow_model_optimization as tfmot

    clustering = tfmot.clustering.keras
    start = clustering.CentroidInitialization.LINEAR
    return clustering.strip_clustering(
        _trained(clustering.cluster_weights(network(), number_of_clusters=4, cluster_centroids_init=start))
    )


def _trained(model: Any, tfmot: Any = None) -> Any:
    generator = np.random.default_rng(5)
    model.compile("adam", "sparse_categorical_crossentropy")
    callbacks = [] if tfmot is None else [tfmot.sparsity.keras.UpdatePruningStep()]
    images, labels = importing_jobs.images((16, 16, 1)), generator.integers(0, 3, 64)
    model.fit(images, labels, verbose=0, shuffle=False, callbacks=callbacks)
    return model


def _quantized() -> Any:
    import tensorflow_model_optimization as tfmot

    return _trained(tfmot.quantization.keras.quantize_model(network()))


def _partly_quantized() -> Any:
    import tensorflow_model_optimization as tfmot
    import tf_keras

    quantize = tfmot.quantization.keras
    source = network()

    def mark(layer: Any) -> Any:
        marked = isinstance(layer, (tf_keras.layers.Dense, tf_keras.layers.Flatten))
        return quantize.quantize_annotate_layer(layer) if marked else layer

    model = tf_keras.models.clone_model(source, clone_function=mark)
    for layer, before in zip(model.layers, source.layers, strict=True):
        getattr(layer, "layer", layer).set_weights(before.get_weights())
    return _trained(quantize.quantize_apply(model))


def _operators() -> Any:
    """Nodes of plain arithmetic and functions, and a nested model that is used twice."""
    import tensorflow as tf
    from tf_keras import Input, Model, Sequential, layers

    image = Input((12, 12, 3), name="image")
    x = tf.nn.relu6(image * 2.0 - 1.0)
    x = x + tf.reduce_mean(x, axis=[1, 2], keepdims=True)
    x = tf.concat([x[:, 1:, :-1], x[:, :-1, 1:]], -1)
    x = layers.Conv2D(4, 3, activation="hard_sigmoid", name="slope")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(tf.image.resize(layers.LeakyReLU(0.1, name="leak")(x), [5, 5]))
    left, right = tf.split(tf.clip_by_value(x, -0.5, 0.5), 2, axis=-1)
    inner = Sequential([Input((2,)), layers.Dense(4, activation="swish"), layers.LayerNormalization()], name="inner")
    x = inner(left) + inner(tf.nn.gelu(right))
    return importing_jobs.alive(Model(image, tf.cast(x, "float32") * tf.constant([1.0, 2, 3, 4]), name="operators"))


def _sequences() -> Any:
    """Attention, recurrence and wrappers, with two outputs."""
    from tf_keras import Input, Model, layers

    words = Input((6,), dtype="int32", name="words")
    x = layers.Embedding(10, 8, name="embedding")(words)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")(x)
    x = layers.GRU(4, name="gru")(layers.TimeDistributed(layers.Dense(3), name="each")(x))
    outputs = [x, layers.Dense(1, activation="sigmoid", name="yes")(x)]
    return importing_jobs.alive(Model(words, outputs, name="sequences"))


def _rebuilt(build: Callable[[], Any]) -> Callable[[], Any]:
    def make() -> Any:
        from optkit.keras_models.rebuild import rebuild

        return rebuild(build()).model

    return make


def _net3() -> Any:
    import keras

    return importing_jobs.net(keras)


def _mobile() -> Any:
    import keras

    network = keras.applications.MobileNetV3Small(input_shape=(32, 32, 3), weights=None, classes=10)
    return importing_jobs.alive(network)


MODELS: dict[str, Callable[[], Any]] = {
    **{name: functools.partial(baselines.build, name) for name in registry.names("baselines")},
    "network": network,
    "pruned": _pruned,
    "clustered": _clustered,
    "quantized": _quantized,
    "partly quantized": _partly_quantized,
    "operators": _operators,
    "sequences": _sequences,
    "rebuilt": _rebuilt(_net3),
    "rebuilt MobileNetV3": _rebuilt(_mobile),
}


def bring_out(tell: Tell, *, names: list[str], folder: str) -> list[dict[str, Any]]:  # noqa: ARG001
    """Save models for Keras 3, load the files with it, and say how they compare."""
    import keras
    import tf_keras

    found = []
    for name in names:
        # Names of layers that their author did not name count through the process.
        tf_keras.backend.clear_session()
        keras.backend.clear_session()
        tf_keras.utils.set_random_seed(1)
        model = MODELS[name]()
        path = Path(folder) / f"{name}.keras"
        notes = to_keras3.save_keras3(model, path)
        loaded = keras.models.load_model(path, compile=False, safe_mode=True)
        # Quantize-aware models come out as they are in the run folder, from its file.
        if "quantized" in name:
            keras_models.save(model, path.with_suffix(".h5"))
            model = keras_models.load(path.with_suffix(".h5"))
        found.append({"notes": notes, **_compared(model, loaded), **_file(path)})
    return found


def _compared(model: Any, loaded: Any) -> dict[str, Any]:
    import tensorflow as tf

    shape, dtype = model.input_shape[1:], model.inputs[0].dtype
    given = importing_jobs.images(shape) if dtype.is_floating else np.arange(64 * 6).reshape(64, 6) % 10
    before, after = (tf.nest.flatten(one(given, training=False)) for one in (model, loaded))
    differences = [
        float(np.abs(np.asarray(x) - np.asarray(y)).max() / np.abs(np.asarray(x)).max())
        for x, y in zip(before, after, strict=True)
    ]
    kernels = {
        layer.name: float(np.mean(layer.kernel.numpy() == 0))
        for layer in loaded.layers
        if hasattr(layer, "kernel") and hasattr(layer.kernel, "numpy")
    }
    return {
        "difference": max(differences),
        "agree": float(np.mean(np.asarray(before[0]).argmax(-1) == np.asarray(after[0]).argmax(-1))),
        "layers": [layer.name for layer in loaded.layers[:12]],
        "inputs": [tensor.name for tensor in loaded.inputs],
        "outputs": list(loaded.output_names),
        "zeros": max(kernels.values(), default=0.0),
        "distinct": min((len(np.unique(one.kernel)) for one in loaded.layers if hasattr(one, "kernel")), default=0),
    }


def _file(path: Path) -> dict[str, Any]:
    left = [one.name for one in path.parent.iterdir() if one.name.startswith(".optkit-tmp")]
    with zipfile.ZipFile(path) as archive:
        dates = sorted({member.date_time for member in archive.infolist()})
        metadata = json.loads(archive.read("metadata.json"))
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "left": left,
        "dates": dates,
        "metadata": sorted(metadata),
    }


def refuse(tell: Tell) -> dict[str, str]:  # noqa: ARG001
    """What cannot come out, and comparisons that must fail."""
    import tf_keras
    from tf_keras import layers

    image = tf_keras.Input((8, 8, 1), name="image")
    twice = tf_keras.Model(image, layers.Lambda(lambda x: x * 2, name="twice")(image))

    class Own(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    own = tf_keras.Model(image, Own(name="own")(image))
    source = importing_jobs.net(tf_keras)
    frozen = saved_model.wrap(saved_model.from_keras(source, [(None, 8, 8, 1)], ["float32"]), "here")
    wavy = tf_keras.Model(image, layers.Dense(2, activation=lambda x: x * x, name="wavy")(image))
    found = {}
    for name, model in {"lambda": twice, "own": own, "frozen": frozen, "wavy": wavy}.items():
        found[name] = _refusal(lambda model=model: to_keras3.to_keras3(model))  # type: ignore[misc]
    made = to_keras3.to_keras3(source)
    for layer in ("conv", "side", "out", "norm"):
        weights = made.get_layer(layer).get_weights()
        made.get_layer(layer).set_weights([-weights[0], *weights[1:]])
        found[f"negated {layer}"] = _refusal(lambda: to_keras3._compare(source, made))
        made.get_layer(layer).set_weights(weights)
    found["as it was"] = _refusal(lambda: to_keras3._compare(source, made))
    made.get_layer("out").set_weights([weight * np.nan for weight in made.get_layer("out").get_weights()])
    found["not a number"] = _refusal(lambda: to_keras3._compare(source, made))
    subclassed = type("Sub", (tf_keras.Model,), {})()
    found["subclassed"] = _refusal(lambda: _replay.replay(subclassed, [], lambda *_: None))
    return found


def _refusal(act: Callable[[], Any]) -> str:
    try:
        act()
    except InputError as error:
        return str(error)
    return "nothing"
