"""Data larger than memory: what loading, checking and compressing with a folder of 200,000 pictures takes."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._process import watch
from benchmarks._result import Figure, write

PICTURES = 200_000
CLASSES = 10
SIDE = 28
LIMIT_GIB = 3
PARTS = ("load", "compress")

# What every command does with a data set, in a process of its own: load with all checks, one pass over every example
# as training, validation and test read them, and the representative data set.
LOAD = """
import sys, time
from optkit import data
from optkit.data._calibration import choose
start = time.perf_counter()
dataset = data.load(data.DataSpec(sys.argv[1], data.Preprocessing(scale=1 / 255)))
loaded = time.perf_counter()
total = 0.0
for part in (dataset.train, dataset.validation, dataset.test):
    for first in range(0, len(part.labels), 1000):
        total += float(dataset.real(part.images[first : first + 1000]).mean())
passed = time.perf_counter()
chosen = choose(dataset, 500)
calibration = dataset.real(chosen[:])
assert calibration.shape == (500, 28, 28, 1) and total > 0
print(sum(len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)))
print(loaded - start, passed - loaded, time.perf_counter() - passed)
"""

# A small convolutional network of today's Keras, trained on a few of the pictures.
MODEL = """
import sys
import keras
from keras import layers
from optkit import data
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((28, 28, 1)),
    layers.Conv2D(8, 3, strides=2, activation="relu"),
    layers.Conv2D(16, 3, strides=2, activation="relu"),
    layers.Flatten(),
    layers.Dense(10, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy")
dataset = data.load(data.DataSpec(sys.argv[1], data.Preprocessing(scale=1 / 255)))
model.fit(dataset.real(dataset.train.images[:5000]), dataset.train.labels[:5000], epochs=2, verbose=0)
model.save(sys.argv[2])
"""


def run(results: Path, names: list[str]) -> list[str]:
    """Write ``large_folder.json``; ``names`` are some of ``load`` and ``compress``, both by default."""
    wanted = names or list(PARTS)
    figures, more = [], {"pictures": PICTURES, "shape": [SIDE, SIDE, 1]}
    with tempfile.TemporaryDirectory(prefix="optkit-large-") as scratch:
        folder = Path(scratch) / "pictures"
        start = time.perf_counter()
        make_folder(folder, PICTURES)
        print(f"made {PICTURES} pictures in {time.perf_counter() - start:.0f} s")
        if "load" in wanted:
            cost = watch([sys.executable, "-c", LOAD, str(folder)])
            print(cost.output)
            count, seconds = cost.output.splitlines()
            load, one_pass, calibration = map(float, seconds.split())
            figures += [
                Figure("load: exit code", cost.exit_code, "<=", 0, ""),
                Figure("load: pictures in all parts", int(count), ">=", PICTURES, ""),
                Figure("load: peak memory of all processes", cost.peak_memory_bytes / 2**30, "<=", LIMIT_GIB, "GiB"),
                Figure("load: loading and all checks", load, "<=", None, "s"),
                Figure("load: one pass over all pictures", one_pass, "<=", None, "s"),
                Figure("load: 500 calibration pictures", calibration, "<=", None, "s"),
            ]
        if "compress" in wanted:
            model = Path(scratch) / "model.keras"
            subprocess.run([sys.executable, "-c", MODEL, str(folder), str(model)], check=True, capture_output=True)
            options = ["--data", str(folder), "--scale", "1/255", "--out", str(Path(scratch) / "run")]
            recipes = ["--recipe", "int8", "--recipe", "prune:epochs=1+int8"]
            command = [sys.executable, "-m", "optkit.cli.main", "compress", str(model), *options, *recipes]
            cost = watch(command)
            print(cost.output)
            figures += [
                Figure("compress: exit code", cost.exit_code, "<=", 0, ""),
                Figure(
                    "compress: peak memory of all processes", cost.peak_memory_bytes / 2**30, "<=", LIMIT_GIB, "GiB"
                ),
                Figure("compress: wall time", cost.wall_seconds, "<=", None, "s"),
            ]
            more["command"] = "optkit compress model.keras --data pictures --scale 1/255 " + " ".join(recipes)
    return write(results, "large_folder", figures, more)


def make_folder(folder: Path, count: int) -> None:
    """Write grey PNG pictures in class folders: a smooth pattern for each class, and noise on it.

    Args:
        folder: Gets ``train/CLASS`` with nine tenths of the pictures, and ``test/CLASS``.
        count: How many in all.
    """
    from PIL import Image

    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (CLASSES, 7, 7))
    patterns = coarse.repeat(SIDE // 7, axis=1).repeat(SIDE // 7, axis=2)
    for name in ("train", "test"):
        for label in range(CLASSES):
            (folder / name / str(label)).mkdir(parents=True)
    for first in range(0, count, 1000):
        labels = np.arange(first, min(count, first + 1000)) % CLASSES
        noise = generator.normal(0, 40, (len(labels), SIDE, SIDE))
        pixels = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
        for position, (label, one) in enumerate(zip(labels, pixels, strict=True), start=first):
            content = io.BytesIO()
            Image.fromarray(one).save(content, "PNG", compress_level=1)
            part = "test" if position // CLASSES % 10 == 9 else "train"
            (folder / part / str(label) / f"{position:06}.png").write_bytes(content.getvalue())
