"""Model files and images that several benchmarks measure: made once with optkit, kept in ``.bench``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from optkit import data

CACHE = Path(__file__).resolve().parent.parent / ".bench"
# Speed does not depend on what the weights are: a short training will do.
SHORT = ("--quick", "--epochs", "1")


def folder_of(baseline: str, *recipes: str) -> Path:
    """The artifacts of a baseline, in the given recipes and both formats."""
    out = CACHE / baseline
    command = [sys.executable, "-m", "optkit.cli.main", "compress", "--baseline", baseline, *SHORT, "--out", str(out)]
    for recipe in recipes:
        command += ["--recipe", recipe]
    CACHE.mkdir(exist_ok=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out / "artifacts"


LARGE = """
import sys
import tensorflow as tf
from tensorflow import keras
from keras import layers
for filters in (64, 128):
    convolution = dict(padding="same", activation="relu")
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(filters, 3, **convolution),
        layers.Conv2D(filters, 3, **convolution),
        layers.Conv2D(filters, 3, **convolution),
        layers.GlobalAveragePooling2D(),
        layers.Dense(10, activation="softmax"),
    ])
    with open(f"{sys.argv[1]}/conv-{filters}.tflite", "wb") as file:
        file.write(tf.lite.TFLiteConverter.from_keras_model(model).convert())
"""


def large_files() -> list[Path]:
    """Two float32 TFLite files, untrained, whose calls take some milliseconds."""
    paths = [CACHE / f"conv-{filters}.tflite" for filters in (64, 128)]
    if not all(path.is_file() for path in paths):
        CACHE.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-c", LARGE, str(CACHE)], check=True, capture_output=True)
    return paths


def test_images() -> Path:
    """256 real test images, float32 [256, 28, 28, 1], as .npy."""
    path = CACHE / "images.npy"
    if not path.is_file():
        CACHE.mkdir(exist_ok=True)
        dataset = data.load("mnist")
        np.save(path, dataset.real(dataset.test.images[:256], (28, 28, 1)), allow_pickle=False)
    return path
