"""Small sound files of every format that optkit takes: what the hostile ones are made of.

``python -m benchmarks._hostile_samples FOLDER`` writes them; most need TensorFlow, so it is a process of its own.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._files import CACHE

SIDE, CLASSES = 8, 4
TRAIN, TEST = 160, 40
_DONE = "done"
# Of the smallest kind: what counts is the files around the weights.
RECIPE = (
    '[settings]\nseed = 3\n\n[[recipe]]\nsteps = [{ name = "prune", params = { sparsity = 0.5 } }, { name = "int8" }]\n'
)


def samples() -> Path:
    """The folder with the sound files, made where they are missing."""
    folder = CACHE / "hostile"
    if not (folder / _DONE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "benchmarks._hostile_samples", str(folder)], check=True)
        (folder / _DONE).touch()
    return folder


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [n, 8, 8, 1] with a bright quarter, which their label int64 [n] tells."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.integers(0, 100, (count, SIDE, SIDE, 1), np.uint8)
    half = SIDE // 2
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[row * half : (row + 1) * half, column * half : (column + 1) * half] += 150
    return images, labels.astype(np.int64)


def write_data(folder: Path) -> None:
    """The same data as .npz, .npy, .csv and a folder of pictures."""
    from PIL import Image

    x_train, y_train = pictures(TRAIN, 1)
    x_test, y_test = pictures(TEST, 2)
    np.savez(folder / "data.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    np.save(folder / "images.npy", x_test / np.float32(255), allow_pickle=False)
    arrays = folder / "arrays"
    arrays.mkdir(exist_ok=True)
    for name, values in (("x_train", x_train), ("y_train", y_train), ("x_test", x_test), ("y_test", y_test)):
        np.save(arrays / f"{name}.npy", values, allow_pickle=False)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*(f"pixel_{index}" for index in range(SIDE * SIDE)), "label"])
        for image, label in zip(x_train, y_train, strict=True):
            writer.writerow([*image.reshape(-1).tolist(), f"class_{label}"])
    for part, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = folder / "pictures" / part / f"class_{label}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(place / f"{index}.{'jpg' if index % 2 else 'png'}")
    Image.fromarray(x_test[0, ..., 0]).save(folder / "picture.png")
    Image.fromarray(x_test[1, ..., 0]).save(folder / "picture.jpg")


def write_models(folder: Path) -> None:
    """One network, trained for a moment, in every model format."""
    import keras
    import tensorflow as tf
    import tf_keras

    keras.utils.set_random_seed(0)
    images, labels = pictures(TRAIN, 1)
    real = images / np.float32(255)
    model = _network(keras)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(real, labels, epochs=20, verbose=0)
    model.save(folder / "model3.keras")
    model.save_weights(folder / "model.weights.h5")
    old = _network(tf_keras)
    old.set_weights(model.get_weights())
    old.save(folder / "model2.keras")
    old.save(folder / "model.h5", include_optimizer=False)
    model.export(folder / "saved", verbose=False)

    def some() -> Any:
        return ([image[None]] for image in real[:50])

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "fp32.tflite").write_bytes(converter.convert())
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = some
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(converter.convert())


def _network(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((SIDE, SIDE, 1)),
            layers.Conv2D(4, 3, activation="relu", name="see"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(CLASSES, activation="softmax", name="answer"),
        ]
    )


def write_onnx(folder: Path) -> None:
    """The TFLite files as ONNX."""
    import onnx
    import tf2onnx

    for name in ("fp32", "int8"):
        model, _ = tf2onnx.convert.from_tflite(str(folder / f"{name}.tflite"), opset=17)
        onnx.save(model, folder / f"{name}.onnx")


def write_report(folder: Path) -> None:
    """The report of a benchmark of these files, with accuracy."""
    command = [sys.executable, "-m", "optkit.cli.main", "benchmark", "--json", str(folder / "report.json")]
    command += [str(folder / f"{name}.{suffix}") for suffix in ("tflite", "onnx") for name in ("fp32", "int8")]
    command += ["--data", str(folder / "data.npz"), "--scale", str(1 / 255), "--min-time", "0.1", "--max-time", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main(folder: Path) -> None:
    """Write everything."""
    write_data(folder)
    write_models(folder)
    write_onnx(folder)
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    write_report(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
