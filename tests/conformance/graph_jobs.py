"""Jobs that run in workers: models whose graph a technique changes must answer as they did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from technique_jobs import work_for

from optkit import keras_models, readback, registry, techniques
from optkit.exporters import ExportJob
from optkit.schema import Recipe, Step
from optkit.techniques import _channels, _graph, factorize
from optkit.techniques._factors import Split, spectrum
from optkit.training import configure_tensorflow
from optkit.verify.structure import kernels_in_order

if TYPE_CHECKING:
    from optkit.readback import Constant
    from optkit.workers import Tell


def odd_functional() -> Any:
    """Convolutions of every padding, stride and dilation, one that is called twice, branches, and dense layers."""
    from tf_keras import Model, layers, regularizers

    image = layers.Input((28, 28, 1), name="image")
    x = layers.Conv2D(12, 5, strides=2, padding="same", activation="relu", name="first")(image)
    x = layers.Conv2D(16, (3, 5), strides=(2, 1), name="strided", kernel_regularizer=regularizers.L2(1e-3))(x)
    twice = layers.Conv2D(16, 3, padding="same", activation="tanh", name="twice")
    x = layers.Add(name="add")([twice(twice(x)), x])
    x = layers.Conv2D(24, 3, dilation_rate=2, padding="same", use_bias=False, name="dilated")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = x * 0.5 + 0.1
    x = layers.Conv2D(24, 1, name="one", activation="relu")(x)
    x = layers.Conv2D(24, 3, groups=2, padding="same", name="grouped")(x)
    x = layers.Dense(32, activation="relu", name="on_axes")(x)
    x = layers.Flatten(name="flatten")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x))


def odd_sequential(*, with_input: bool) -> Any:
    """Without an input layer its first layer has the shape of the input."""
    from tf_keras import Sequential, layers

    shape = {} if with_input else {"input_shape": (28, 28, 1)}
    model = Sequential([layers.Input((28, 28, 1), name="image")] if with_input else [])
    model.add(layers.Conv2D(64, 5, activation="relu", name="first", **shape))
    model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(40, activation="relu", name="dense"))
    model.add(layers.Dense(10, name="logits"))
    return model


def alive(model: Any) -> Any:
    """Give all weights random values, with which no layer is silent and no normalization does nothing."""
    generator = np.random.default_rng(7)
    for weight in model.weights:
        low, high = (0.5, 1.5) if "variance" in weight.name or "gamma" in weight.name else (-0.3, 0.3)
        weight.assign(generator.uniform(low, high, weight.shape))
    return model


def difference(one: Any, other: Any, *, saved: bool = True) -> float:
    """Largest difference of outputs over the largest output, also after saving and loading."""
    images = np.random.default_rng(1).random((20, *one.input_shape[1:]), np.float32)
    before = keras_models.outputs_of(one, images)
    found = [np.abs(keras_models.outputs_of(other, images) - before).max()]
    if saved:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.h5"
            keras_models.save(other, path)
            loaded = keras_models.load(path)
            found.append(np.abs(keras_models.outputs_of(loaded, images) - before).max())
    return float(max(found) / np.abs(before).max())


def full_rank(_: Tell) -> dict[str, dict[str, float]]:
    """Every layer split at full rank, in every layout: the same outputs; at a lower rank, others."""
    configure_tensorflow(0, threads=1)
    results = {}
    models = {
        "functional": odd_functional(),
        "sequential": odd_sequential(with_input=True),
        "sequential without input": odd_sequential(with_input=False),
    }
    for name, made in models.items():
        model = alive(made)
        for scheme in ("channel", "spatial"):
            splits, lower = {}, {}
            for layer in model.layers:
                layouts = factorize._layouts(layer) if layer.weights else ""
                layout = next((one for one in layouts if not isinstance(one, str) and one.scheme == scheme), None)
                if layout is not None and not isinstance(layout, str):
                    found = spectrum(layer.kernel.numpy(), layout)
                    splits[layer.name] = Split(found, layout.full_rank, 1.0)
                    lower[layer.name] = Split(found, max(1, layout.full_rank // 3), 0.5)
            split, firsts = factorize.split_layers(model, splits)
            results[f"{name}, {scheme}"] = {
                "difference": difference(model, split),
                "difference_when_cut": difference(model, factorize.split_layers(model, lower)[0]),
                "splits": len(firsts),
                "layers_more": len(split.layers) - len(model.layers),
                "same_ports": model.output_names == split.output_names and model.input_names == split.input_names,
            }
    return results


def planted(tell: Tell) -> dict[str, Any]:
    """A network whose kernels are of low rank: they are split there, without loss, and the others left alone."""
    configure_tensorflow(0, threads=1)
    model = alive(odd_sequential(with_input=True))
    generator = np.random.default_rng(3)
    kernel, bias = model.get_layer("dense").get_weights()
    low = generator.normal(size=(kernel.shape[0], 3)) @ generator.normal(size=(3, kernel.shape[1])) / 10
    model.get_layer("dense").set_weights([low.astype(np.float32), bias])
    work = work_for("factorize", {"energy": 1.0, "epochs": 0}, tell)
    layers = [layer.name for layer in model.layers]
    outcome = techniques.run("factorize", model, work, layers)
    refused = replace(work, skip_layers=("dense",))
    return {
        "difference": difference(model, outcome.model),
        "notes": {note.layer: [note.changed, note.reason] for note in outcome.notes},
        "failed": [check.name for check in outcome.checks if not check.passed],
        "checks": len(outcome.checks),
        "refusal": factorize.requires(model, refused),
        "ranks": outcome.model.get_layer("dense_factor").kernel.shape[-1],
        "activations": [outcome.model.get_layer(name).activation.__name__ for name in ("dense_factor", "dense")],
        "biased": [outcome.model.get_layer(name).use_bias for name in ("dense_factor", "dense")],
    }


def ill_scaled() -> Any:
    """Chains of every kind of layer through which factors pass, with channels of very different sizes."""
    from tf_keras import Model, layers

    image = layers.Input((28, 28, 1), name="image")
    x = layers.Conv2D(8, 5, strides=2, use_bias=False, name="conv")(image)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="conv_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.Activation("relu", name="depthwise_relu")(layers.BatchNormalization(name="depthwise_norm")(x))
    x = layers.Conv2D(12, 1, name="pointwise")(x)
    x = layers.LeakyReLU(0.1, name="leaky")(layers.BatchNormalization(scale=False, center=False, name="norm")(x))
    x = layers.ZeroPadding2D(1, name="pad")(x)
    x = layers.SeparableConv2D(10, 3, activation="relu", name="separable")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Conv2DTranspose(6, 3, activation="relu", name="transposed")(x)
    x = layers.Dropout(0.2, name="dropout")(layers.Flatten(name="flatten")(x))
    x = layers.Dense(20, activation="relu", name="dense")(x)
    branch = layers.Dense(20, activation="relu6", name="bounded")(x)
    x = layers.Add(name="add")([layers.Dense(20, name="linear")(x), branch])
    model = alive(Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x)))
    generator = np.random.default_rng(2)
    for pair in _channels.pairs(model, ())[0]:
        first, second = model.get_layer(pair.first), model.get_layer(pair.second)
        factors = np.exp(generator.uniform(-4, 4, pair.channels))
        for layer, scale, by in ((first, _channels.scale_given, factors), (second, _channels.scale_taken, 1 / factors)):
            weights = layer.get_weights()
            scale(layer, weights, by)
            layer.set_weights(weights)
    return model


def equalized(tell: Tell) -> dict[str, Any]:
    """Equalized, as a whole and with layers left out."""
    configure_tensorflow(0, threads=1)
    model = ill_scaled()
    layers = [layer.name for layer in model.layers]
    work = work_for("equalize", {}, tell)
    outcome = techniques.run("equalize", model, work, layers)
    skipped = replace(work, skip_layers=("depthwise", "norm"))
    part = techniques.run("equalize", model, skipped, layers)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    return {
        "difference": difference(model, outcome.model),
        "kinds": [type(layer).__name__ for layer in outcome.model.layers],
        "pairs": [list(pair[:2]) for pair in _channels.pairs(outcome.model, ())[0]],
        "notes": {note.layer: [note.changed, note.reason] for note in outcome.notes},
        "failed": [check.name for check in outcome.checks if not check.passed],
        "checks": {check.name: check.observed for check in outcome.checks},
        "same_ports": model.output_names == outcome.model.output_names,
        "part_difference": difference(model, part.model),
        "part_layers": part.layers,
        "skipped_unchanged": all(
            np.array_equal(one, two)
            for name in ("depthwise", "norm")
            for one, two in zip(before[name], part.model.get_layer(name).get_weights(), strict=True)
        ),
    }


def _steps_apart(constant: Constant, wanted: np.ndarray) -> float:
    """Largest difference of the sorted real values of a stored kernel from others, in its smallest step."""
    shape = [1] * constant.values.ndim
    shape[constant.channel_axis or 0] = -1
    real = constant.values * np.array(constant.scales).reshape(shape)
    return float(np.abs(np.sort(real.ravel()) - wanted).max() / min(constant.scales))


def as_exported(tell: Tell) -> dict[str, dict[str, float]]:
    """How far the kernels that bias correction goes by are from those in int8 files, in steps of the integers."""
    configure_tensorflow(0, threads=1)
    model, _ = _channels.folded(ill_scaled(), ())
    images = work_for("equalize", {}, tell).data.validation.images[:50].reshape(-1, 28, 28, 1) / np.float32(255)
    results: dict[str, dict[str, float]] = {}
    for file_format in registry.formats():
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"model.{file_format}"
            job = ExportJob(recipe=Recipe("int8", (Step("int8"),)), calibration=images)
            registry.by_format("exporters", file_format).export(job, model, path)
            stored = kernels_in_order(readback.read(path))
        found = results[file_format] = {}
        for layer in model.layers:
            for position, kernel in enumerate(weight for weight in layer.get_weights() if weight.ndim > 1):
                rounded = np.sort(_channels.rounded(layer, position, kernel, 127).ravel())
                # Two kernels of one size may be in another order in the file.
                apart = [_steps_apart(one, rounded) for one in stored if one.values.size == kernel.size]
                found[f"{layer.name} {position}"] = min(apart)
                rounding = float(np.abs(rounded - np.sort(kernel.ravel())).max())
                found["rounding"] = max(found.get("rounding", 0), rounding)
    return results


def several_inputs(tell: Tell) -> dict[str, str | None]:
    """What each technique says of a model with two inputs."""
    from tf_keras import Model, layers

    configure_tensorflow(0, threads=1)
    one, other = layers.Input((300,), name="one"), layers.Input((200,), name="other")
    x = layers.Dense(50, activation="relu", name="dense")(layers.Concatenate(name="both")([one, other]))
    model = alive(Model([one, other], layers.Dense(10, activation="softmax", name="probabilities")(x)))
    given: dict[str, dict[str, Any]] = {"factorize": {"share": 0.5}, "equalize": {}, "bias-correct": {}, "distill": {}}
    return {
        name: registry.load("techniques", name).requires(model, work_for(name, params, tell))
        for name, params in given.items()
    }


def renamed(_: Tell) -> dict[str, Any]:
    """Layers under other names, two of them swapped, and one that gives way."""
    configure_tensorflow(0, threads=1)
    model = alive(odd_functional())
    config = _graph.configuration(model)
    _graph.rename(config, {"image": "picture", "probabilities": "one", "first": "strided", "strided": "first"})
    made = type(model).from_config(config)
    made.set_weights(model.get_weights())
    return {
        "difference": difference(model, made),
        "inputs": list(made.input_names),
        "outputs": list(made.output_names),
        "names": [layer.name for layer in made.layers],
    }
