"""The trainings of the front, as jobs of worker processes: each leaves one network, and is done again after a kill."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from benchmarks.pareto.plan import CHANGES, COPIES, COPIES_SEED, QAT_EPOCHS, TASK, Net, Teacher
from optkit import data, keras_models, networks, store, techniques
from optkit.schema import Step

if TYPE_CHECKING:
    import numpy as np

    from optkit.data import Dataset
    from optkit.workers import Tell

# Looked at after every epoch, for the log alone: nothing is decided by them.
LOOKED_AT = 1_000
# Augmented copies of the validation part: 5,000 pictures are too few to rank networks by.
VALIDATION_COPIES = 8
AT_ONCE = 500


class Trained(Struct, frozen=True):
    """What is kept beside a trained network.

    Attributes:
        correct: Right answers on the validation part.
        augmented: Right answers on its augmented copies.
        total: Images of the validation part.
        parameters: Of the network.
        seconds: Of training.
    """

    correct: int
    augmented: int
    total: int
    parameters: int
    seconds: float


@functools.cache
def dataset() -> Dataset:
    """MNIST without its test part: nothing here may see it."""
    whole = data.load("mnist")
    return dataclasses.replace(whole, test=whole.test.first(0))


def seen() -> Dataset:
    """What training may see."""
    return dataclasses.replace(dataset(), validation=dataset().validation.first(LOOKED_AT))


def validation() -> tuple[np.ndarray, np.ndarray]:
    """The validation part and its augmented copies: real images [45,000, 28, 28, 1] and labels."""
    import numpy as np
    import tensorflow as tf

    from optkit.training import Augmentation
    from optkit.training.augmentation import change
    from optkit.training.copies import canvas_of

    part = dataset().validation
    plain = dataset().real(part.images[:], (28, 28, 1))
    wanted, on = Augmentation(**CHANGES), canvas_of(dataset())
    found = [plain]
    for copy in range(VALIDATION_COPIES):
        moved, _ = change(tf.constant(plain), tf.zeros([len(plain), 1]), wanted, on, tf.constant([99, copy]))
        # As a camera would give them.
        found.append(np.rint(moved.numpy() * 255).clip(0, 255).astype(np.float32) / np.float32(255))
    return np.concatenate(found), np.tile(part.labels, VALIDATION_COPIES + 1)


def train_teacher(tell: Tell, *, teacher: dict[str, Any], path: str) -> None:
    """Train a teacher and save it as ``path``, with ``Trained`` beside it."""
    from optkit.training import configure_tensorflow, train

    started = time.perf_counter()
    wanted = msgspec.convert(teacher, Teacher)
    configure_tensorflow(wanted.seed, threads=1)
    network = networks.fitted(networks.Network(wanted.layers, batchnorm=True), dataset().train.images.shape[1:])
    model = networks.build(network, TASK, name="teacher")
    train(model, seen(), wanted.plan, task=TASK, seed=wanted.seed, tell=tell, checkpoint=Path(path).with_suffix(".npz"))
    keep(model, Path(path), started)


def train_net(tell: Tell, *, net: dict[str, Any], teachers: list[str], seed: int, path: str) -> None:
    """Distil the teachers into a small network."""
    wanted = msgspec.convert(net, Net)
    given = {
        "student": "/".join(wanted.layers),
        "batchnorm": True,
        "epochs": wanted.epochs,
        "learning_rate": wanted.learning_rate,
    }
    _apply("distill", given, tell, source=Path(teachers[0]), teachers=teachers, seed=seed, path=Path(path))


def train_narrow(tell: Tell, *, source: str, teachers: list[str], seed: int, path: str) -> None:
    """Train a small network for kernels of 4 bits, by the same teachers."""
    given = {"weight_bits": 4, "granularity": "tensor", "epochs": QAT_EPOCHS, "learning_rate": 1e-3}
    _apply("qat", given, tell, source=Path(source), teachers=teachers, seed=seed, path=Path(path))


def ask_teachers(tell: Tell, *, teachers: list[str], folder: str, threads: int) -> None:
    """Let the teachers answer to all copies once; each training finds the answers."""
    from optkit.techniques import distill
    from optkit.techniques._teaching import ask_all
    from optkit.training import configure_tensorflow

    configure_tensorflow(0, threads=threads)
    params = msgspec.convert({"epochs": COPIES, "copies": COPIES, **CHANGES}, distill.Params)
    ask_all(_work(params, teachers, Path(folder), tell), params, distill.plan_of(params), (28, 28, 1))


def _work(params: Any, teachers: list[str], folder: Path, tell: Tell, history: tuple[Step, ...] = ()) -> Any:
    return techniques.Work(
        params=params,
        history=history,
        data=seen(),
        task=TASK,
        seed=COPIES_SEED,
        skip_layers=(),
        tell=tell,
        teachers=tuple(techniques.Teacher(Path(teacher), TASK) for teacher in teachers),
        kept=folder,
    )


def _apply(
    technique: str, given: dict[str, Any], tell: Tell, *, source: Path, teachers: list[str], seed: int, path: Path
) -> None:
    from optkit import registry
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    configure_tensorflow(seed, threads=1)
    given |= {"teachers": ":".join(teachers), "copies": COPIES, **CHANGES}
    model = keras_models.load(source)
    params = msgspec.convert(given, registry.load("techniques", technique).Params)
    work = _work(params, teachers, path.parent, tell, (Step("distill"),) if technique == "qat" else ())
    outcome = techniques.run(technique, model, work, [layer.name for layer in model.layers])
    failed = [check.name for check in outcome.checks if not check.passed]
    if failed:
        raise RuntimeError(f"{technique} of {source.name}: {', '.join(failed)} failed")
    keep(outcome.model, path, started)


def keep(model: Any, path: Path, started: float) -> None:
    """Save a network, and last what is known of it."""
    seconds = round(time.perf_counter() - started, 1)
    images, labels = validation()
    answers = keras_models.outputs_of(model, images).argmax(axis=1)
    right, total = answers == labels, len(dataset().validation.labels)
    keras_models.save(model, path)
    found = Trained(int(right[:total].sum()), int(right[total:].sum()), total, model.count_params(), seconds)
    store.write_bytes(path.with_suffix(".json"), msgspec.json.encode(found))
