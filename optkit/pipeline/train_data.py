"""The data that settings train on: the subset of the training part, and what ``--normalize`` makes of the values."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from optkit import data
from optkit.data._views import chunks
from optkit.errors import InputError
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    import numpy as np

    from optkit.data import Dataset, Examples
    from optkit.pipeline.train_settings import TrainSettings

# Digits of a mean or deviation: more than the data can tell, few enough for a command line; compress is given these.
DIGITS = 6
# With more values along the last axis than this (pixels laid out flat) one mean and deviation serve them all.
MOST_CHANNELS = 64


def load(settings: TrainSettings) -> Dataset:
    """The data set with the training examples that are to be used, and its preprocessing.

    Raises:
        InputError: There are no such data, or fewer training examples than are asked for.
    """
    spec = settings.data_spec
    if settings.train_samples is not None:
        there = len(data.load(spec).train.labels)
        if settings.train_samples > there:
            raise InputError(
                f"--train-samples expects at most the {there:,} training examples of {settings.data}, found "
                f"{settings.train_samples:,}; give fewer, or leave it out for all"
            )
    dataset = data.load(spec, train_samples=settings.train_samples)
    if settings.normalize is None:
        return dataset
    return dataclasses.replace(dataset, preprocessing=normalized(dataset, settings.normalize))


def normalized(dataset: Dataset, kind: str) -> Preprocessing:
    """The preprocessing that ``none``, ``unit`` or ``standard`` stands for on these data.

    ``standard`` takes mean and deviation of the training examples in use, and of nothing else: a figure from the
    validation or test part would let them into training. Bytes are divided by 255 before, so that the figures are the
    customary ones (0.1307 and 0.3081 for MNIST).
    """
    kept = msgspec.structs.replace(dataset.preprocessing, scale=1.0, mean=(), std=())
    if kind == "none":
        return kept
    if kind == "unit":
        return msgspec.structs.replace(kept, scale=1 / 255)
    examples = dataset.train.images
    scaled = msgspec.structs.replace(kept, scale=1 / 255 if examples.dtype.name == "uint8" else 1.0)
    mean, deviation = _moments(examples, scaled)
    # A value that never changes says nothing: it becomes 0, whatever it is divided by.
    deviation = [value or 1.0 for value in deviation]
    return msgspec.structs.replace(scaled, mean=_rounded(mean), std=_rounded(deviation))


def _moments(examples: Examples, preprocessing: Preprocessing) -> tuple[list[float], list[float]]:
    """Mean and standard deviation over all examples: one of each, or one for each channel or column.

    Pictures have channels last; the last axis of [n, height, width] is no channel.
    """
    import numpy as np

    by_channel = len(examples.shape) in {2, 4} and examples.shape[-1] <= MOST_CHANNELS
    wanted = examples.shape[-1] if by_channel else 1

    def summed(values: np.ndarray) -> np.ndarray:
        total: np.ndarray = values.reshape(-1, wanted).sum(axis=0)
        return total

    count = 0
    total = np.zeros(wanted)
    for chunk in chunks(examples):
        total += summed(data.to_real(chunk, preprocessing).astype(np.float64))
        count += chunk.size // wanted
    mean = total / count
    # In a second pass: the difference of two large sums would lose the digits that matter.
    squares = np.zeros(wanted)
    for chunk in chunks(examples):
        real = data.to_real(chunk, preprocessing).astype(np.float64).reshape(-1, wanted)
        squares += summed(np.square(real - mean))
    return mean.tolist(), np.sqrt(squares / count).tolist()


def _rounded(values: list[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def compress_options(settings: TrainSettings, dataset: Dataset) -> list[str]:
    """What ``optkit compress MODEL`` must be given so that the model sees the values that it was trained on."""
    options = [] if settings.data == "mnist" else ["--data", settings.data]
    if settings.target is not None:
        options += ["--target", settings.target]
    wanted = dataset.preprocessing
    usual = Preprocessing(scale=1 / 255) if settings.data == "mnist" else Preprocessing()
    if wanted == usual:
        return options
    if wanted.scale != 1:
        whole = round(1 / wanted.scale)
        options += ["--scale", f"1/{whole}" if whole > 1 and 1 / whole == wanted.scale else repr(wanted.scale)]
    for name, values in (("--mean", wanted.mean), ("--std", wanted.std)):
        if values:
            # Glued on, since a negative number would be taken for an option.
            options.append(f"{name}={','.join(repr(value) for value in values)}")
    if wanted.resize is not None:
        options += ["--resize", f"{wanted.resize[0]}x{wanted.resize[1]}"]
    if wanted.channels != "as they are":
        options += ["--channels", wanted.channels]
    if settings.data == "mnist" and wanted == Preprocessing():
        # The data set has a preprocessing of its own: that values stay as they are must be said.
        options += ["--scale", "1"]
    return options
