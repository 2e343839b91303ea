"""Augmented copies of the training images that come round again, so that a teacher is asked once about each picture.

A teacher that sees the very picture that its student sees teaches best (Beyer et al., 2022, arXiv:2106.05237, section
3.1), and costs more than all the rest where it is large. Epoch e has the order and the changes of epoch e mod copies:
after the first round every answer is known. No picture is stored, as the changes follow from the seed and the step.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import store
from optkit.data._inputs import fed
from optkit.training.augmentation import Canvas, canvas, change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from optkit.data import Dataset
    from optkit.data._inputs import Form
    from optkit.training.plan import TrainingPlan
    from optkit.workers import Tell

# Steps between two progress messages.
CHUNK_STEPS = 25


@dataclass(frozen=True)
class Copies:
    """What is known of every picture of every copy.

    Attributes:
        answers: float16 [copies, steps * batch, …], in the order in which an epoch shows the pictures.
    """

    answers: np.ndarray

    @property
    def turns(self) -> int:
        """How many copies there are."""
        return len(self.answers)


def orders(examples: int, seed: int, copies: int = 0) -> Iterator[np.ndarray]:
    """The order of the examples in each epoch, without end: int32 [examples].

    Args:
        examples: How many there are.
        seed: Decides it.
        copies: After so many epochs the orders come round again; never for 0.
    """
    generator = np.random.default_rng(seed)
    drawn = (generator.permutation(examples).astype(np.int32) for _ in itertools.count())
    return itertools.cycle(itertools.islice(drawn, copies)) if copies else drawn


def canvas_of(dataset: Dataset) -> Canvas:
    """What the pictures are, and what surrounds them: what a raw value of zero becomes."""
    example = dataset.train.images.shape[1:]
    return canvas(example, dataset.real(np.zeros((1, *example), dataset.train.images.dtype))[0])


def ask_copies(
    teacher: Callable[[Any], Any],
    dataset: Dataset,
    plan: TrainingPlan,
    *,
    form: Form,
    seed: int,
    count: int,
    tell: Tell,
    kept: Path | None = None,
) -> Copies:
    """Show every picture of every copy to a teacher.

    Args:
        teacher: Takes float32 [batch, *form], gives float32 [batch, …]; runs in a TensorFlow function.
        dataset: Its training part is shown.
        plan: Batch and augmentation.
        form: What the student takes.
        seed: That of the student's training.
        count: Copies.
        tell: Receives ``done`` and ``total`` steps, and a ``text``.
        kept: Files whose names begin so hold a copy's answers each. Those that are there are taken, the others written;
            the name must tell the teacher, the data, the plan and the seed.
    """
    import tensorflow as tf

    examples = dataset.train.images
    batch = min(plan.batch, len(examples))
    steps = len(examples) // batch
    on = canvas_of(dataset) if plan.augmentation.moves else None

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def answer(images: Any, drawn: Any) -> Any:
        if plan.augmentation.any:
            images, _ = change(images, tf.zeros([batch, 1]), plan.augmentation, on, tf.stack([seed, drawn]))
        return teacher(images)

    answers = []
    for turn, order in enumerate(itertools.islice(orders(len(examples), seed, count), count)):
        path = None if kept is None else kept.with_name(f"{kept.name}-{turn}.npy")
        found = _read(path, steps * batch)
        if found is None:
            parts = []
            for step in range(steps):
                real = fed(dataset.real(examples[order[step * batch : (step + 1) * batch]], form))
                asked = answer(tf.nest.map_structure(tf.constant, real), tf.constant(turn * steps + step))
                parts.append(asked.numpy().astype(np.float16))
                if (step + 1) % CHUNK_STEPS == 0 or step + 1 == steps:
                    said = f"asking teachers about copy {turn + 1}/{count}"
                    tell({"done": turn * steps + step + 1, "total": count * steps, "text": said, "accuracy": None})
            found = np.concatenate(parts)
            if path is not None:
                store.write_atomically(path, partial(np.save, arr=found, allow_pickle=False))
        answers.append(found)
    return Copies(np.stack(answers))


def _read(path: Path | None, rows: int) -> np.ndarray | None:
    """A copy's answers; ``None`` where there are none that can be used."""
    if path is None:
        return None
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if len(found) == rows and found.dtype == np.float16 else None
