"""Exports for test_exporters.py, in a process of its own: builds small networks, the same ones every time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from optkit import registry, techniques
from optkit.exporters import ExportJob
from optkit.schema import Recipe, Step
from optkit.techniques import _learned_steps

if TYPE_CHECKING:
    from collections.abc import Callable

CALIBRATION = 48
layers, quantize = keras.layers, tfmot.quantization.keras


def plain() -> Any:
    """Each kind of layer that is fused or merged: normalization, clamps, depthwise with a bias."""
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="narrow")(image)
    x = layers.ReLU(6.0, name="six")(layers.BatchNormalization(name="norm", momentum=0.5)(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="deep")(x)
    x = layers.MaxPool2D(name="pool")(x)
    x = layers.Dropout(0.1, name="drop")(layers.Flatten(name="flat")(x))
    x = layers.Dense(32, activation="relu", name="wide")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digits")(x), name="net")


def odd(function: Callable[[Any], Any]) -> Any:
    """A network with an operator of its own."""
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Flatten(name="flat")(layers.Lambda(function, name="odd")(image))
    return keras.Model(image, layers.Dense(10, name="digits")(x), name="net")


def tiny() -> Any:
    """No kernel of 1,024 values, and an operator that TensorFlow's 16-bit quantizer does not know."""
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Flatten(name="flat")(layers.MaxPool2D(7, name="pool")(image))
    x = layers.Dense(8, activation="elu", name="small")(x)
    return keras.Model(image, layers.Dense(10, name="digits")(x), name="net")


def fit(model: Any, images: np.ndarray, labels: np.ndarray, epochs: int) -> Any:
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(images, labels, 32, epochs, verbose=0, shuffle=False)
    return model


def trained_4(source: Any, images: np.ndarray, labels: np.ndarray) -> Any:
    """A quantization-aware model whose convolution and dense layers were trained with 4 bits."""
    names = ("narrow", "wide", "digits")
    rounded, whole = (quantize.quantize_model(techniques.copy_model(source)) for _ in range(2))
    learned = _learned_steps.attach(rounded, names, per_tensor=False, keep_zeros=False)
    _learned_steps.settle(fit(rounded, images, labels, 1), whole, learned)
    return whole


def build(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(1)
    source = fit(plain(), images, labels, 2)
    copy = plain()
    copy.set_weights(source.get_weights())
    return {
        "plain": source,
        "trained": fit(quantize.quantize_model(copy), images, labels, 1),
        "trained4": trained_4(source, images, labels),
        "unknown": odd(lambda t: tf.math.betainc(t + 1.0, t + 1.0, t * 0.5)),
        "partial": odd(lambda t: tf.math.atan2(t, t + 1.0)),
        "tiny": tiny(),
    }


def export(item: dict[str, Any], model: Any, folder: Path, images: np.ndarray) -> dict[str, Any]:
    """Do one job; ``broken`` in its options makes the exporter build another precision than it was asked for."""
    options = dict(item["options"])
    count, broken = options.pop("images", None), options.pop("broken", None)
    options["skip_layers"] = tuple(options.get("skip_layers", ()))
    calibration = folder / "calibration.npy" if count is None else images[:count]
    recipe = Recipe("any", (Step(item["precision"], options.pop("params", {})),))
    job = ExportJob(recipe, calibration, quantization_aware=item["model"].startswith("trained"), **options)
    exporter = registry.by_format("exporters", item["format"])
    builders = dict(exporter._BUILDERS)
    if broken:
        exporter._BUILDERS[item["precision"]] = builders[broken]
    destination = folder / item["file"]
    before = set(folder.iterdir())
    try:
        notes = exporter.export(job, model, destination)
    except Exception as error:  # noqa: BLE001 - the test that asked for this file tells what it thinks of it.
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        exporter._BUILDERS.update(builders)
    extra = sorted(str(path) for path in set(folder.iterdir()) - before - {destination})
    return {"notes": [(note.layer, note.changed, note.reason) for note in notes], "extra": extra}


def stock(model: Any, images: np.ndarray) -> bytes:
    """What TensorFlow's converter makes of a model by itself."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([images[i : i + 1]] for i in range(len(images)))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main(folder: Path, jobs: list[dict[str, Any]]) -> None:
    train = np.load(folder.parent / "train.npz")
    models = build(train["x"], train["y"])
    images = train["x"][:CALIBRATION]
    np.save(folder / "calibration.npy", images)
    pictures = np.load(folder.parent / "images.npy")
    np.save(folder / "expected.npy", models["plain"].predict(pictures, verbose=0))
    np.save(folder / "trained4.npy", models["trained4"].predict(pictures, verbose=0))
    results = {item["file"]: export(item, models[item["model"]], folder, images) for item in jobs}
    (folder / "stock.tflite").write_bytes(stock(models["plain"], images))
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
