"""Jobs that run in workers: networks of every knob are built, trained a little, exported, and brought to Keras 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from optkit import data, keras_models, networks, registry, runtimes
from optkit.errors import InputError
from optkit.exporters import ExportJob
from optkit.keras_models import to_keras3
from optkit.networks import Activation, Network
from optkit.schema import Recipe, Step
from optkit.training import TrainingPlan, configure_tensorflow, train

if TYPE_CHECKING:
    from optkit.workers import Tell

LAYERS = ("conv:6x5:stride2", "depthwise:3:same", "pool:2", "conv:8x3", "flatten", "dense:12", "dense:10")
NETWORKS: dict[str, Network] = {
    **{f"{name}": Network(LAYERS, activation=name) for name in get_args(Activation)},
    **{f"{name} normalized": Network(LAYERS, activation=name, batchnorm=True) for name in ("leaky-relu", "maxout")},
    "normalized": Network(LAYERS, batchnorm=True),
    **{
        f"dropout {place}": Network(LAYERS, dropout=0.3, dropout_after=place)
        for place in ("last", "dense", "conv", "all")
    },
    "penalties": Network(LAYERS, l1=0.001, l2=0.01),
    "average and global": Network(("conv:6x3:same", "average:4", "depthwise:3:stride2", "average:2:same", "global")),
    "own words": Network(("conv:6x3:stride3", "batchnorm", "dropout:0.25", "flatten", "dropout:.5", "dense:8")),
    "dense at once": Network(("conv:6x3:stride3", "dense:8", "flatten", "dense:6")),
}
FILES = (("tflite", "fp32"), ("tflite", "int8"), ("onnx", "fp32"))


def layers_of(model: Any) -> list[dict[str, Any]]:
    """What each layer is, as far as a knob decides it."""
    from tf_keras import activations

    described = []
    for layer in model.layers:
        one: dict[str, Any] = {"kind": type(layer).__name__, "name": layer.name}
        function = getattr(layer, "activation", None)
        if function is not None:
            one["activation"] = activations.serialize(function)
        for knob in ("rate", "filters", "units", "kernel_size", "strides", "pool_size", "padding", "alpha"):
            if hasattr(layer, knob):
                one[knob] = getattr(layer, knob)
        for knob in ("kernel_regularizer", "depthwise_regularizer"):
            if getattr(layer, knob, None) is not None:
                penalty = getattr(layer, knob)
                one["penalty"] = [round(float(penalty.l1), 6), round(float(penalty.l2), 6)]
        described.append(one)
    return described


def _values(described: list[dict[str, Any]]) -> list[str]:
    """In few words: a message from a worker has little room."""
    return [" ".join(f"{value}" for value in one.values()) for one in described]


def go_out(tell: Tell, *, names: list[str], folder: str) -> None:  # noqa: ARG001
    """Build, train one epoch, and bring out; how far every file's answers are from the model's, in ``NAME.json``."""
    configure_tensorflow(0, threads=1)
    digits = data.load("mnist", train_samples=640)
    plan = TrainingPlan(1, 32, "adam", 2e-3, "constant")
    for name in names:
        network = NETWORKS[name]
        model = networks.build(network, name="net")
        before = [weight.numpy() for weight in model.trainable_variables]
        epoch = train(model, digits, plan, task=networks.Task(), seed=0, tell=lambda _: None)[0]
        after = [weight.numpy() for weight in model.trainable_variables]
        images = digits.real(digits.validation.images[:200], (28, 28, 1))
        _enliven(model, images)
        expected = keras_models.outputs_of(model, images)
        root = Path(folder) / name
        root.mkdir()
        found = {
            "layers": _values(layers_of(model)),
            "all moved": all((one != other).any() for one, other in zip(before, after, strict=True)),
            "loss": [epoch.loss, epoch.validation_loss, epoch.penalty],
            "range": float(np.ptp(expected, axis=0).min()),
            **_exported(model, images, expected, root),
            "keras 3": _in_keras3(model, images, expected, root),
        }
        (Path(folder) / f"{name}.json").write_text(json.dumps(found))


def _enliven(model: Any, images: np.ndarray) -> None:
    """Scale each channel to mean 0 and deviation 1 before its activation (Mishkin and Matas, 2016, arXiv:1511.06422).

    Trained so little, networks answer hardly anything but a constant, in which no difference is seen.
    """
    import tf_keras

    for layer in model.layers:
        kernel = getattr(layer, "depthwise_kernel", getattr(layer, "kernel", None))
        if kernel is None:
            continue
        activation, layer.activation = layer.activation, tf_keras.activations.linear
        values = np.asarray(tf_keras.Model(model.input, layer.output)(images))
        layer.activation = activation
        axes = tuple(range(values.ndim - 1))
        deviation = values.std(axis=axes) + 1e-6
        # The channels of a depthwise kernel [height, width, channels, 1] are its last axis but one.
        kernel.assign(kernel / (deviation[:, None] if layer.__class__.__name__.startswith("Depth") else deviation))
        layer.bias.assign((layer.bias - values.mean(axis=axes)) / deviation)


def _exported(model: Any, images: np.ndarray, expected: np.ndarray, root: Path) -> dict[str, float | str]:
    far: dict[str, float | str] = {}
    for file_format, precision in FILES:
        target = root / f"{precision}.{file_format}"
        job = ExportJob(Recipe("any", (Step(precision),)), images[:100])
        try:
            registry.by_format("exporters", file_format).export(job, model, target)
        except InputError as error:
            far[f"{file_format} {precision}"] = str(error)
            continue
        session = runtimes.open_model(target)
        answers = session.from_native(runtimes.predict(session, images))
        apart = np.abs(answers - expected)
        # Rounding to integers may turn a near tie around: what counts is the whole. Beside it, answers to other images.
        apart = apart.max() if precision == "fp32" else apart.mean() / np.abs(expected[::-1] - expected).mean()
        far[f"{file_format} {precision}"] = float(apart)
    return far


def _in_keras3(model: Any, images: np.ndarray, expected: np.ndarray, root: Path) -> float:
    import keras

    path = root / "net.keras"
    to_keras3.save_keras3(model, path)
    loaded = keras.models.load_model(path, compile=False, safe_mode=True)
    return float(np.abs(np.asarray(loaded(images)) - expected).max())
