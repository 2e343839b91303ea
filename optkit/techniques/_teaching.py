"""Training on teachers' soft answers besides the labels: its parameters, and the student that learns so."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from optkit import store
from optkit.errors import InputError
from optkit.techniques._soft_answers import Answers, ask
from optkit.training import Augmentation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optkit.data._inputs import Form
    from optkit.schema import Epoch
    from optkit.techniques import Work
    from optkit.training import Copies, TrainingPlan
    from optkit.workers import Tell


class Teaching(Augmentation, frozen=True, forbid_unknown_fields=True):
    """Parameters.

    Attributes:
        teachers: Whose answers are averaged: ``baseline`` is the model that the run starts from, all else are Keras
            files; separated by ``:``, as ``baseline:large.keras``.
        temperature: Divides the logits of teacher and student. Not used for values to predict.
        weight: Share of the loss that is about the teacher's answers; the rest is about the labels. For values to
            predict the loss is the squared error to the teacher's value.
        copies: The augmented pictures of an epoch come round again after so many, so that the teachers are asked once
            about each; 0 has fresh ones in every epoch.

    The changes of the pictures, which teacher and student see alike, are those of ``Augmentation``.
    """

    teachers: str = ""
    temperature: Annotated[float, Meta(ge=1, le=100)] = 3.0
    weight: Annotated[float, Meta(gt=0, le=1)] = 0.8
    copies: Annotated[int, Meta(ge=0, le=1000)] = 0

    def __post_init__(self) -> None:
        """Names that are none are found before anything is trained.

        Raises:
            InputError: They are not separated by colons.
        """
        if self.teachers and not all(names(self)):
            raise InputError(f"teachers expects names separated by ':', found {self.teachers!r}")

    @property
    def augmentation(self) -> Augmentation:
        """How the pictures are changed."""
        fields = {name: getattr(self, name) for name in Augmentation.__struct_fields__}
        return msgspec.convert(fields, Augmentation)


def names(params: Teaching) -> tuple[str, ...]:
    """The teachers: ``baseline``, and paths of Keras files; none where none is named."""
    return tuple(params.teachers.split(":")) if params.teachers else ()


def teach(student: Any, work: Work, params: Teaching, plan: TrainingPlan) -> list[Epoch]:
    """Train a student in place on the averaged soft answers of the teachers and on the labels.

    Args:
        student: A tf_keras model with one input.
        work: Data, teachers, seed.
        params: How much, and at which temperature.
        plan: How to train; with the augmentation of ``params``.
    """
    from optkit.data._inputs import form_of
    from optkit.training import train

    answers = Answers(work.task, params.temperature)
    copies, tell = None, work.tell
    if params.copies:
        asked = min(params.copies, plan.epochs)
        asking = dataclasses.replace(work, tell=_share(work.tell, 0, asked, asked + plan.epochs))
        copies = ask_all(asking, params, plan, form_of(student))
        tell = _share(work.tell, asked, plan.epochs, asked + plan.epochs)
    learner = taught(student, ask(work.teachers, answers), answers, params.weight)
    return train(learner, work.data, plan, task=work.task, seed=work.seed, tell=tell, copies=copies)


def _share(tell: Tell, before: int, rounds: int, in_all: int) -> Tell:
    """Progress of some rounds through the pictures as progress of all, those in which teachers are asked among them."""

    def told(message: dict[str, Any]) -> None:
        steps = message["total"] // rounds
        tell(message | {"done": message["done"] + before * steps, "total": in_all * steps})

    return told


def ask_all(work: Work, params: Teaching, plan: TrainingPlan, form: Form) -> Copies:
    """What the teachers answer to all copies that a training shows; see ``teach``."""
    from optkit.training import ask_copies

    answers = Answers(work.task, params.temperature)
    return ask_copies(
        ask(work.teachers, answers),
        work.data,
        plan,
        form=form,
        seed=work.seed,
        count=min(params.copies, plan.epochs),
        tell=work.tell,
        kept=_kept(work, answers, plan, form),
    )


def _kept(work: Work, answers: Answers, plan: TrainingPlan, form: Form) -> Path | None:
    """Where the answers are kept for other steps of the run: named by all that decides them."""
    if work.kept is None:
        return None
    teachers = [(teacher.task, store.sha256_path(teacher.path)) for teacher in work.teachers]
    shown = [work.data.sha256, len(work.data.train.labels), work.data.preprocessing, plan.batch, plan.augmentation]
    code = store.source_digest(["training", "techniques/_soft_answers.py"])
    return work.kept / f"answers-{store.digest([teachers, answers, shown, form, work.seed, code])[:32]}"


def taught(student: Any, teacher: Callable[[Any], Any], answers: Answers, weight: float) -> Any:
    """The student with the loss of distillation; both have the same layers.

    The pictures that the loss gives to the teacher are those that the student was given: augmented ones. Where the
    answers to them are known, they come in the place of sample weights.
    """
    import tensorflow as tf
    import tf_keras

    class Taught(tf_keras.Model):  # type: ignore[misc]  # Keras ships no types
        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
            known = teacher(x) if sample_weight is None else sample_weight
            soft = tf.reduce_mean(answers.loss(known, y_pred))
            share = tf.fill([tf.shape(y_pred)[0]], 1.0 - weight)
            return self.compiled_loss(y, y_pred, share, regularization_losses=[*self.losses, weight * soft])

        def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
            del sample_weight
            return super().compute_metrics(x, y, y_pred, None)

    return Taught(student.inputs, student.outputs)
