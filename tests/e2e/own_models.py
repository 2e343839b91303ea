"""Makes, in a process of its own, models as users have them: trained with current Keras on pictures of their own.

The pictures are MNIST's, dark on bright, in colour, 20×20: no other data set is to be had here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from optkit import data

TRAIN, TEST = 3_000, 1_000


def pictures(images: np.ndarray) -> np.ndarray:
    """uint8 [n, 20, 20, 3]: bright paper, dark ink, each channel another tint."""
    small = images[:, 4:24, 4:24].astype(np.float32)
    tints = np.array([0.9, 0.7, 0.5], np.float32)
    return (255 - small[..., None] * tints).astype(np.uint8)


def arrays() -> dict[str, np.ndarray]:
    """x_train, y_train, x_test, y_test."""
    mnist = data.load("mnist")
    train, test = mnist.train.first(TRAIN), mnist.test.first(TEST)
    return {
        "x_train": pictures(train.images[:]),
        "y_train": train.labels,
        "x_test": pictures(test.images[:]),
        "y_test": test.labels,
    }


def make(folder: Path) -> None:
    """Write the data and the models."""
    import keras

    keras.utils.set_random_seed(0)
    found = arrays()
    np.savez(folder / "digits.npz", **found)
    real, labels = found["x_train"] / np.float32(255), found["y_train"]

    image = keras.Input((20, 20, 3), name="picture")
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv")(image)
    branch = keras.layers.Conv2D(8, 3, padding="same", name="branch")(x)
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(momentum=0.8, name="norm")(x + branch * 0.5))
    x = keras.layers.AveragePooling2D(2, name="pool")(keras.layers.Conv2D(16, 3, strides=2, name="conv_2")(x))
    x = keras.layers.Dense(32, activation="relu", name="dense")(keras.layers.Flatten(name="flatten")(x))
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax", name="digit")(x), name="own")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate = 3e-3
    model.fit(real, labels, batch_size=64, epochs=4, verbose=0)
    model.save(folder / "own.keras")
    model.export(folder / "own_saved", verbose=False)

    # Itself rescales, gives logits, and tells even from odd digits with one output.
    parity = keras.Sequential(
        [
            keras.Input((20, 20, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu", name="hidden"),
            keras.layers.Dense(1, name="odd"),
        ]
    )
    parity.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    parity.fit(found["x_train"], labels % 2, batch_size=64, epochs=4, verbose=0)
    parity.save(folder / "odd.keras")
    np.savez(folder / "odd.npz", **{k: v % 2 if k[0] == "y" else v for k, v in found.items()})

    # Sentences of numbers: whether many of them are low ones.
    words = np.random.default_rng(0).integers(1, 1000, (2_000, 20))
    many = ((words < 300).sum(axis=1) > 6).astype(int)
    numbers = keras.Input((20,), dtype="int32", name="words")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(1000, 8, name="table")(numbers))
    lookup = keras.Model(numbers, keras.layers.Dense(1, activation="sigmoid", name="many")(x))
    lookup.compile(keras.optimizers.Adam(2e-2), "binary_crossentropy")
    lookup.fit(words[:1500], many[:1500], epochs=12, verbose=0)
    lookup.save(folder / "words.keras")
    parts = {"x_train": words[:1500], "y_train": many[:1500], "x_test": words[1500:], "y_test": many[1500:]}
    np.savez(folder / "words.npz", **parts)
    parts["x_train"][3, 3] = 1000
    np.savez(folder / "beyond.npz", **parts)

    # Two answers to one picture, and two of the same form.
    seen = keras.layers.Dense(48, activation="relu", name="seen")(keras.layers.Flatten()(image))
    digit = keras.layers.Dense(10, activation="softmax", name="digit")(seen)
    odd = keras.layers.Dense(1, activation="sigmoid", name="odd")(seen)
    both = keras.Model(image, [digit, odd], name="both")
    both.compile("adam", ["sparse_categorical_crossentropy", "binary_crossentropy"])
    both.fit(real, [labels, (labels % 2).astype("float32")], batch_size=64, epochs=4, verbose=0)
    both.save(folder / "both.keras")
    keras.Model(image, [digit, keras.layers.Dense(10, name="other")(seen)]).save(folder / "alike.keras")

    # Several inputs, two of them of one shape, in no alphabetical order; one that is looked up beside one that is not.
    upper, lower = keras.Input((10, 20, 3), name="upper"), keras.Input((10, 20, 3), name="lower")
    ink, kind = keras.Input((20,), name="ink"), keras.Input((1,), dtype="int32", name="kind")
    halves = [keras.layers.Conv2D(6, 3, strides=2, activation="relu")(half) for half in (upper, lower)]
    flat = [keras.layers.Flatten()(one) for one in halves]
    x = keras.layers.Dense(32, activation="relu", name="joined")(keras.layers.Concatenate()([*flat, ink]))
    several = keras.Model([upper, ink, lower], keras.layers.Dense(10, activation="softmax", name="digit")(x))
    looked_up = keras.layers.Flatten()(keras.layers.Embedding(3, 4, name="kinds")(kind))
    x = keras.layers.Dense(10, activation="softmax", name="digit")(keras.layers.Concatenate()([flat[1], looked_up]))
    kinds = keras.Model([lower, kind], x)

    def parted(name: str) -> dict[str, np.ndarray]:
        whole = found[f"x_{name}"].astype(np.float32) / 255
        rows = whole.mean(axis=(2, 3))
        return {"upper": whole[:, :10], "lower": whole[:, 10:], "ink": rows, "kind": found[f"y_{name}"] % 3}

    def names(model: keras.Model) -> list[str]:
        return [one.name for one in model.inputs]

    for name, one in (("several", several), ("kinds", kinds)):
        one.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
        one.fit({key: parted("train")[key] for key in names(one)}, labels, batch_size=64, epochs=6, verbose=0)
        one.save(folder / f"{name}.keras")
        sides = {f"x_{part}.{key}": parted(part)[key] for part in ("train", "test") for key in names(one)}
        np.savez(folder / f"{name}.npz", **sides, y_train=labels, y_test=found["y_test"])
    two = keras.Model([upper, lower], keras.layers.Dense(10)(keras.layers.Concatenate()(flat)))
    two.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    two.fit({key: parted("train")[key] for key in names(two)}, labels, batch_size=64, epochs=4, verbose=0)
    two.export(folder / "halves", verbose=False)
    sides = {f"x_{part}.{key}": parted(part)[key] for part in ("train", "test") for key in names(two)}
    np.savez(folder / "halves.npz", **sides, y_train=labels, y_test=found["y_test"])

    # Large pictures and a wide first layer: a hundred of them at once take 3 GB of activations.
    large = found["x_train"][:160].repeat(10, axis=1).repeat(10, axis=2)
    light = labels[:160] % 2
    large[light == 0] //= 2
    inputs = keras.Input((200, 200, 3), name="photograph")
    x = keras.layers.Conv2D(64, 3, activation="relu", name="wide")(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Conv2D(4, 3, strides=4, name="narrow")(x)
    x = keras.layers.Dense(2, activation="softmax", name="light")(keras.layers.GlobalAveragePooling2D()(x))
    photograph = keras.Model(inputs, x)
    photograph.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    photograph.fit(large[:32], light[:32], batch_size=16, epochs=4, verbose=0)
    photograph.save(folder / "photograph.keras")
    parts = {"x_train": large[:120], "y_train": light[:120], "x_test": large[120:], "y_test": light[120:]}
    np.savez(folder / "photographs.npz", **parts)

    # How much ink there is, from a table of 20 columns: the means of the rows.
    table = np.concatenate([255 - found["x_train"].mean(axis=(2, 3)), found["y_train"][:, None]], axis=1)
    table[:, -1] = table[:, :-1].mean(axis=1) * 0.1 + 0.5
    np.savetxt(
        folder / "ink.csv",
        table,
        delimiter=",",
        header=",".join([*(f"row_{i}" for i in range(20)), "ink"]),
        comments="",
        fmt="%.6f",
    )
    # The same, to whole numbers, which are classes.
    np.savetxt(folder / "whole.csv", table, delimiter=",", fmt=["%.6f"] * 20 + ["%d"])
    ink = keras.Sequential([keras.Input((20,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    ink.compile(keras.optimizers.Adam(1e-2), "mse")
    ink.fit(table[:, :-1] / 255, table[:, -1], epochs=15, verbose=0)
    ink.save(folder / "ink.keras")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
