"""One training of the lessons' experiments, as a job of a worker process, and what is kept of it."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from optkit import data, store
from optkit.pipeline import building
from optkit.pipeline.train_settings import resolve_training
from optkit.schema import Epoch

if TYPE_CHECKING:
    import numpy as np

    from optkit.data import Dataset, Part
    from optkit.workers import Tell

# Of the training images so many are answered again after training, without dropout, to set beside the test images.
TRAIN_LOOKED_AT = 6_000
AT_ONCE = 500
LEAST_VALIDATION = 1_000
# What decides the result of a training besides its settings.
SOURCES = ("training", "networks.py", "baselines", "pipeline/building.py", "pipeline/train_settings.py", "data")


class Training(Struct, frozen=True):
    """What is trained and what is looked at.

    Attributes:
        settings: Of ``TrainSettings``, without the seed.
        looks: Epochs, from 1, after which the answers are counted; training ends with the settings' last.
        test_images: How many of the test images, from the first.
        seed: Decides weights, order and dropout; the images are the same for all.
    """

    settings: dict[str, Any]
    looks: tuple[int, ...]
    test_images: int
    seed: int

    @property
    def key(self) -> str:
        """Digest of all that decides the result: what is asked, and the code."""
        return store.digest([msgspec.to_builtins(self), _code()])


@functools.cache
def _code() -> str:
    return store.digest([store.source_digest(SOURCES), store.sha256_file(Path(__file__))])


class Look(Struct, frozen=True):
    """The answers of the network as it is after an epoch, without dropout.

    Attributes:
        epoch: From 1.
        train_correct: Right answers of ``train_total`` training images.
        train_total: Training images that were answered.
        confusion: Test images [label][answer].
    """

    epoch: int
    train_correct: int
    train_total: int
    confusion: list[list[int]]


class Run(Struct, frozen=True):
    """A finished training."""

    training: Training
    looks: list[Look]
    epochs: list[Epoch]
    seconds: float

    def look(self, epoch: int | None) -> Look:
        """What was seen after an epoch, or in the end; of a training that diverged before, what it was then."""
        return [one for one in self.looks if epoch is None or one.epoch <= epoch][-1]


def load(path: Path) -> Run | None:
    """A kept training; ``None`` where there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except (OSError, msgspec.DecodeError):
        return None


def train_once(tell: Tell, *, training: dict[str, Any], path: str) -> None:
    """Train, look, and keep what was found; the signature is that of ``optkit.workers``."""
    from optkit.training import configure_tensorflow, train

    started = time.perf_counter()
    wanted = msgspec.convert(training, Training)
    configure_tensorflow(wanted.seed, threads=1)
    settings = resolve_training({**wanted.settings, "seed": wanted.seed})
    dataset = data.load(settings.data_spec, train_samples=settings.train_samples)
    model, task = building.build(settings, dataset)
    looks: list[Look] = []

    def on_epoch(index: int, record: Epoch) -> bool:
        # A training whose loss is no number any more ends here.
        if index + 1 in wanted.looks or record.loss is None:
            looks.append(_look(model, dataset, index + 1, wanted.test_images))
        return False

    # The curve's share of the validation part, as optkit's own stages take it; training sees no test image.
    count = max(LEAST_VALIDATION, len(dataset.train.labels) // 10)
    seen = dataclasses.replace(dataset, validation=dataset.validation.first(count), test=dataset.test.first(0))
    epochs = train(model, seen, settings.plan, task=task, seed=wanted.seed, tell=tell, on_epoch=on_epoch)
    run = Run(wanted, looks, epochs, round(time.perf_counter() - started, 3))
    store.write_bytes(Path(path), msgspec.json.encode(run))


def _look(model: Any, dataset: Dataset, epoch: int, test_images: int) -> Look:
    import numpy as np

    train, test = dataset.train.first(TRAIN_LOOKED_AT), dataset.test.first(test_images)
    right = int((_answers(model, dataset, train) == train.labels).sum())
    confusion = np.zeros((dataset.classes, dataset.classes), np.int64)
    np.add.at(confusion, (test.labels, _answers(model, dataset, test)), 1)
    return Look(epoch, right, len(train.labels), confusion.tolist())


def _answers(model: Any, dataset: Dataset, part: Part) -> np.ndarray:
    """The class that the network answers for each example, int64 [n]."""
    import numpy as np

    shape = tuple(model.input_shape[1:])
    found = [
        model(dataset.real(part.images[start : start + AT_ONCE], shape), training=False).numpy().argmax(axis=1)
        for start in range(0, len(part.labels), AT_ONCE)
    ]
    return np.concatenate(found)
