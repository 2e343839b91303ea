"""Data sets, and how their images are fed to a model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optkit import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@dataclass(frozen=True)
class Part:
    """``images`` uint8 [n, height, width] with values 0 to 255, and ``labels`` int64 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def first(self, count: int) -> Part:
        """The first ``count`` examples."""
        return Part(self.images[:count], self.labels[:count])


@dataclass(frozen=True)
class Dataset:
    """A data set with its fixed split.

    ``calibration`` holds positions in ``train`` in a fixed, seeded order: the first n of them are the
    representative data set of size n.
    """

    name: str
    sha256: str
    classes: int
    train: Part
    validation: Part
    test: Part
    calibration: np.ndarray


def load(name: str, *, train_samples: int | None = None) -> Dataset:
    """Load a data set by its plug-in's name.

    Args:
        name: A module of this package.
        train_samples: Keep only so many training images; all of them when ``None``.

    Raises:
        InputError: No such data set, or its file is damaged.
    """
    import numpy as np

    dataset = _whole(name)
    if train_samples is None or train_samples >= len(dataset.train.labels):
        return dataset
    train = dataset.train.first(train_samples)
    order = np.random.default_rng(0).permutation(train_samples)
    return Dataset(dataset.name, dataset.sha256, dataset.classes, train, dataset.validation, dataset.test, order)


@functools.cache
def _whole(name: str) -> Dataset:
    dataset: Dataset = registry.load("data", name).load()
    # One copy serves everyone in this process and in its forked workers.
    for part in (dataset.train, dataset.validation, dataset.test):
        part.images.flags.writeable = part.labels.flags.writeable = False
    dataset.calibration.flags.writeable = False
    return dataset


def to_real(images: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Real values 0 to 1 (pixel / 255) in a model's input shape.

    Args:
        images: uint8 [n, height, width].
        shape: The model's input shape without the batch axis: (28, 28, 1), (28, 28) or (784,).

    Returns:
        float32 [n, *shape].
    """
    import numpy as np

    return (images.astype(np.float32) / np.float32(255)).reshape(len(images), *shape)


def overlap(first: np.ndarray, second: np.ndarray) -> int:
    """How many images of ``first`` are also in ``second``, by content hash.

    Args:
        first: uint8 [n, height, width].
        second: uint8 [m, height, width].
    """
    import hashlib

    known = {hashlib.sha256(image.tobytes()).digest() for image in second}
    return sum(hashlib.sha256(image.tobytes()).digest() in known for image in first)
