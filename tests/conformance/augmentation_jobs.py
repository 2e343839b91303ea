"""Jobs that run in workers: pictures on which each random change can be read off."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit import data
from optkit.data import Part
from optkit.problem import Preprocessing, Task
from optkit.training import Augmentation, TrainingPlan, configure_tensorflow, loop, train
from optkit.training.augmentation import canvas, change
from optkit.training.copies import canvas_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.workers import Tell

COUNT = 600


def changed(pictures: np.ndarray, background: float = 0.0, seed: int = 1, **wanted: float) -> tuple[Any, Any]:
    """Pictures [n, height, width, channels] and the rows of a unit matrix as targets, changed."""
    import tensorflow as tf

    on = canvas(pictures.shape[1:], np.full(pictures.shape[1:], background, np.float32))
    targets = np.eye(len(pictures), dtype=np.float32)
    given = tf.constant(pictures), tf.constant(targets), Augmentation(**wanted), on
    found, labels = tf.function(lambda: change(*given, tf.constant([0, seed])))()
    return found.numpy(), labels.numpy()


def _squares(height: int, width: int, channels: int = 1) -> np.ndarray:
    """A bright square in the middle and a small one to its right."""
    picture = np.zeros((height, width, channels), np.float32)
    y, x = height // 2, width // 2
    picture[y - 2 : y + 2, x - 2 : x + 2] = 1.0
    return np.repeat(picture[None], COUNT, axis=0)


def _ramps(height: int, width: int) -> np.ndarray:
    """Each pixel has its own place in two channels, x and y: what is there afterwards says where it came from."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.repeat(np.stack([x, y], axis=-1)[None], COUNT, axis=0)


def moves(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """How far, how much turned, how much larger."""
    configure_tensorflow(0, threads=2)
    found: dict[str, Any] = {}
    # Where the middle comes from, away from the rim: from ramps on a canvas of 40 rows and 60 columns.
    height, width = 40, 60
    for name, wanted in {
        "shift": {"shift": 0.1},
        "rotation": {"rotation": 20.0},
        "zoom": {"zoom": 0.2},
        "all three, then bent by hardly anything": {"shift": 0.1, "rotation": 20.0, "zoom": 0.2, "elastic": 1e-6},
    }.items():
        after, _ = changed(_ramps(height, width), **wanted)
        y, x = height // 2, width // 2
        middle = after[:, y, x] - [x, y]
        across = after[:, y, x + 4] - after[:, y, x - 4]
        size, angle = 8 / np.hypot(*across.T), np.degrees(np.arctan2(across[:, 1], across[:, 0]))
        found[name] = {
            "x": _spread(middle[:, 0]),
            "y": _spread(middle[:, 1]),
            "size": _spread(size),
            "angle": _spread(angle),
        }
    square, _ = changed(_squares(height, width), shift=0.1)
    weight = square.sum(axis=(1, 2, 3))
    found["square"] = [float(weight.min()), float(weight.max())]
    return found


def _spread(values: np.ndarray) -> list[float]:
    return [round(float(one), 3) for one in (values.min(), values.mean(), values.max(), values.std())]


def bends(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """The field of displacements: its deviation, how smooth it is, and whether pictures have fields of their own."""
    configure_tensorflow(0, threads=2)
    after, _ = changed(_ramps(28, 36), elastic=1.0)
    # Of inner pixels: at the rim, what lies outside comes in.
    field = (after - _ramps(28, 36))[:, 6:-6, 6:-6]
    return {
        "deviation": [float(field[..., axis].std()) for axis in (0, 1)],
        "mean": float(np.abs(field.mean(axis=0)).max()),
        "each pixel": [float(field.std(axis=0).min()), float(field.std(axis=0).max())],
        "steps": float(np.diff(field, axis=2).std()),
        "x and y": float(np.corrcoef(field[..., 0].ravel(), field[..., 1].ravel())[0, 1]),
        "neighbours": float(np.corrcoef(field[1:, 8, 8, 0], field[:-1, 8, 8, 0])[0, 1]),
    }


def holes_and_blends(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """Size and place of holes, shares of blends, and the background."""
    configure_tensorflow(0, threads=2)
    found: dict[str, Any] = {}
    after, labels = changed(np.ones((COUNT, 20, 30, 3), np.float32), background=-0.4, cutout=0.5)
    hole = after == np.float32(-0.4)
    found["whole pixels"] = bool((hole.all(axis=3) == hole.any(axis=3)).all() and ((after == 1) | hole).all())
    sides = [hole[..., 0].any(axis=axis).sum(axis=1) for axis in (1, 2)]
    found["sides"] = [[int(one.min()), int(one.max())] for one in sides]
    found["area"] = bool((hole[..., 0].sum(axis=(1, 2)) == sides[0] * sides[1]).all())
    found["everywhere"] = bool(hole.any(axis=0).all())
    found["labels as they were"] = bool((labels == np.eye(COUNT)).all())
    for alpha in (0.05, 0.2, 1.0, 4.0):
        pictures = np.arange(COUNT, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 1), np.float32)
        after, labels = changed(pictures, mixup=alpha)
        share = np.diagonal(labels)
        found[f"blend {alpha}"] = {
            "mean": float(share.mean()),
            "variance": float(share.var()),
            "sums": float(np.abs(labels.sum(axis=1) - 1).max()),
            "apart": float(np.abs(after[:, 0, 0, 0] - labels @ pictures[:, 0, 0, 0]).max()),
            "two at most": int((labels > 0).sum(axis=1).max()),
        }
    # Turned by up to 45 degrees, a bright picture has corners of background.
    for elastic in (0.0, 1e-6):
        after, _ = changed(np.ones((COUNT, 16, 16, 1), np.float32), background=-0.4, rotation=45.0, elastic=elastic)
        found[f"corner {elastic}"] = [float(after.min()), float(after.max()), float(after[:, 0, 0].min())]
    return found


def _digest(model: Any) -> str:
    return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()


def _perceptron(shape: Sequence[int], classes: int) -> Any:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(1)
    given = layers.Input(tuple(shape), name="image")
    x = layers.Dense(8, activation="relu")(layers.Reshape((int(np.prod(shape)),))(given))
    ends = layers.Dense(classes, "softmax") if classes > 2 else layers.Dense(1, "sigmoid")
    return tf_keras.Model(given, ends(x))


ALL = Augmentation(shift=0.1, rotation=10, zoom=0.1, elastic=1, cutout=0.3, mixup=0.2)
PLAN = TrainingPlan(2, 32, "adam", 1e-3, "constant", augmentation=ALL)


def trained(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """Digests of weights after training on digits: by seed, chunk and the shape of the model's input."""
    configure_tensorflow(0, threads=2)
    digits, found = data.load("mnist", train_samples=320), {}
    cases: dict[str, tuple[Sequence[int], TrainingPlan, int, int]] = {
        "first": ((28, 28, 1), PLAN, 0, 50),
        "again": ((28, 28, 1), PLAN, 0, 50),
        "small chunks": ((28, 28, 1), PLAN, 0, 3),
        "flat": ((784,), PLAN, 0, 50),
        "without channels": ((28, 28), PLAN, 0, 50),
        "other seed": ((28, 28, 1), PLAN, 1, 50),
        "plain": ((28, 28, 1), msgspec.structs.replace(PLAN, augmentation=Augmentation()), 0, 50),
    }
    for name, (shape, plan, seed, chunk) in cases.items():
        loop.CHUNK_STEPS = chunk
        model = _perceptron(shape, 10)
        train(model, digits, plan, task=Task(), seed=seed, tell=lambda _: None)
        found[name] = _digest(model)
    return found


def colours(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """Colour pictures of an odd size, normalized, with two classes; and what a picture of zeros becomes."""
    configure_tensorflow(0, threads=2)
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (96, 9, 14, 3), np.uint8)
    part = Part(pictures, generator.integers(0, 2, 96))
    preprocessing = Preprocessing(1 / 255, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    digits = data.load("mnist", train_samples=96)
    colour = replace(digits, classes=2, train=part, validation=part, preprocessing=preprocessing)
    model = _perceptron((9, 14, 3), 2)
    epochs = train(model, colour, PLAN, task=Task("binary", "probabilities", 1), seed=0, tell=lambda _: None)
    return {
        "background": [float(one) for one in canvas_of(colour).background],
        "loss": epochs[-1].loss,
        "accuracy": epochs[-1].accuracy,
    }
