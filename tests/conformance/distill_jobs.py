"""Jobs that run in workers: what a student is shown, what it loses by, and what it learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from technique_jobs import small_model, work_for

from optkit import data, keras_models, networks, techniques
from optkit.problem import Task
from optkit.schema import Step
from optkit.techniques import Teacher, distill
from optkit.techniques._soft_answers import Answers, ask
from optkit.training import TrainingPlan, configure_tensorflow, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.workers import Tell


def soft_answers(_: Tell) -> dict[str, Any]:
    """Losses of made-up outputs, and the same by the formulas in NumPy."""
    configure_tensorflow(0, threads=1)
    generator = np.random.default_rng(4)
    logits, others = generator.normal(0, 3, (2, 7, 5))
    results = {}
    for temperature in (1.0, 4.0):
        soft, own = softmax(logits / temperature), softmax(others / temperature)
        wanted = (soft * np.log(soft / own)).sum(axis=1) * temperature**2
        for kind, outputs in (("logits", others), ("probabilities", softmax(others))):
            answers = Answers(Task("multiclass", kind, 5), temperature)  # type: ignore[arg-type]
            found = answers.loss(answers.soft(f32(logits), Task("multiclass", "logits", 5)), f32(outputs))
            results[f"{kind}, {temperature}"] = [found.numpy().tolist(), wanted.tolist()]
        soft, own = sigmoid(logits / temperature), sigmoid(others / temperature)
        each = soft * np.log(soft / own) + (1 - soft) * np.log((1 - soft) / (1 - own))
        answers = Answers(Task("multiclass", "sigmoids", 5), temperature)
        found = answers.loss(answers.soft(f32(sigmoid(logits))), f32(sigmoid(others)))
        results[f"sigmoids, {temperature}"] = [found.numpy().tolist(), (each.mean(axis=1) * temperature**2).tolist()]
        answers = Answers(Task("regression", "values", 5), temperature)
        wanted = ((others - logits) ** 2).mean(axis=1)
        results[f"values, {temperature}"] = [answers.loss(f32(logits), f32(others)).numpy().tolist(), wanted.tolist()]
        answers = Answers(Task("multiclass", "logits", 5), temperature)
        soft = softmax(logits / temperature)
        wanted = (soft * np.log(soft / soft.mean(axis=0))).sum(axis=1) * temperature**2
        results[f"mean, {temperature}"] = [answers.loss_of_the_mean(f32(soft)).numpy().tolist(), wanted.tolist()]
    return results


def f32(values: np.ndarray) -> np.ndarray:
    """As float32."""
    return values.astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    made: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return made


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of each value."""
    made: np.ndarray = 1 / (1 + np.exp(-logits))
    return made


def same_picture(tell: Tell) -> dict[str, Any]:
    """In training with augmentation, what the student and the teacher are given, step by step."""
    import tensorflow as tf

    configure_tensorflow(0, threads=1)
    work = work_for("distill", {"epochs": 1, "shift": 0.2, "rotation": 20.0, "mixup": 0.4}, tell)
    shown: dict[str, list[np.ndarray]] = {"student": [], "teacher": []}
    student = small_model()
    answers = Answers(Task(), 2.0)

    def note(who: str) -> Callable[[np.ndarray], np.ndarray]:
        def keep(images: np.ndarray) -> np.ndarray:
            shown[who].append(images)
            return images

        return keep

    teacher = small_model()

    def asked(images: Any) -> Any:
        seen = tf.numpy_function(note("teacher"), [images], tf.float32)
        seen.set_shape(images.shape)
        return answers.soft(teacher(seen, training=False))

    taught = distill.taught(student, asked, answers, 0.7)
    call = type(taught).call

    class Watched(type(taught)):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            seen = tf.numpy_function(note("student"), [inputs], tf.float32)
            seen.set_shape(inputs.shape)
            return call(self, seen, training=training, mask=mask)

    taught.__class__ = Watched
    dataset = dataclasses.replace(work.data, train=work.data.train.first(128), validation=work.data.validation.first(0))
    train(taught, dataset, distill.plan_of(work.params), task=Task(), seed=0, tell=tell)
    plain = dataset.real(dataset.train.images[:], (28, 28, 1))
    return {
        "steps": [len(shown["student"]), len(shown["teacher"])],
        "same": all(np.array_equal(*pair) for pair in zip(shown["student"], shown["teacher"], strict=True)),
        # The order is the seed's: images are compared by their sums.
        "augmented": not np.allclose(
            np.sort(shown["student"][0].sum(axis=(1, 2, 3))), np.sort(plain.sum(axis=(1, 2, 3))), rtol=1e-3
        ),
    }


def learned(tell: Tell) -> dict[str, Any]:
    """Students of a network that was trained on more data than they have labels for."""
    configure_tensorflow(0, threads=1)
    large = networks.build(networks.Network(("dense:128",), (28, 28, 1)))
    plan = TrainingPlan(4, 64, "adam", 3e-3, "cosine")
    train(large, data.load("mnist", train_samples=12_800), plan, task=Task(), seed=0, tell=tell)
    results: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "large.h5"
        keras_models.save(large, path)
        teachers = (Teacher(path, Task()),)
        given = {"student": "pool:2/dense:12", "epochs": 15, "learning_rate": 5e-3}
        layers = [layer.name for layer in large.layers]
        for weight in (0.9, 1e-6):
            work = work_for("distill", given | {"weight": weight}, tell, teachers)
            outcome = techniques.run("distill", large, work, layers)
            checks = {check.name: check for check in outcome.checks}
            soft = checks["distance to the teachers' answers"]
            results[str(weight)] = {
                "distance": soft.observed,
                "limit": soft.limit,
                "failed": [check.name for check in outcome.checks if not check.passed],
                "layers": outcome.layers,
                "notes": {note.layer: note.reason for note in outcome.notes},
                "ports": [list(outcome.model.input_names), list(outcome.model.output_names)],
                "parameters": outcome.model.count_params(),
            }
        work = work_for("distill", given, tell, teachers)
        results["two teachers"] = _mean_of_two(teachers, small_model(), path.with_name("other.h5"))
        results["refusals"] = _refusals(large, work, tell, teachers)
    return results


def _mean_of_two(teachers: tuple[Teacher, ...], other: Any, path: Path) -> float:
    """Largest difference of what two teachers give from the mean of what each gives alone."""
    keras_models.save(other, path)
    both = (*teachers, Teacher(path, Task()))
    answers = Answers(Task(), 3.0)
    images = np.random.default_rng(0).random((20, 28, 28, 1), np.float32)
    alone = [ask((one,), answers)(images).numpy() for one in both]
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    return float(np.abs(ask(both, answers)(images).numpy() - (alone[0] + alone[1]) / 2).max())


def _refusals(model: Any, work: Any, tell: Tell, teachers: tuple[Teacher, ...]) -> list[str | None]:
    own = work_for("distill", {}, tell, teachers)
    other = dataclasses.replace(own, teachers=(*teachers, *teachers))
    after = dataclasses.replace(work, history=(Step("factorize"),))
    skipped = dataclasses.replace(work, skip_layers=("dense_2",))
    changed = small_model()
    two = dataclasses.replace(other, params=distill.Params(teachers="baseline:other.keras"))
    return [
        distill.requires(model, own),
        distill.requires(changed, own),
        distill.requires(model, two),
        distill.requires(model, after),
        distill.requires(model, skipped),
    ]


def regression(tell: Tell) -> dict[str, Any]:
    """Values to predict: the student comes near to the teacher's values."""
    configure_tensorflow(0, threads=1)
    task = Task("regression", "values", 1)
    dataset = data.load("mnist", train_samples=1280)
    parts = {
        name: dataclasses.replace(part, labels=(part.labels / 9).astype(np.float32))
        for name, part in (("train", dataset.train), ("validation", dataset.validation.first(500)))
    }
    dataset = dataclasses.replace(dataset, classes=0, **parts)
    teacher = networks.build(networks.Network(("dense:64",), (28, 28, 1)), task)
    train(teacher, dataset, TrainingPlan(8, 32, "adam", 3e-3, "cosine"), task=task, seed=0, tell=tell)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "teacher.h5"
        keras_models.save(teacher, path)
        work = dataclasses.replace(
            work_for("distill", {"student": "pool:2/dense:8", "epochs": 15, "learning_rate": 5e-3}, tell),
            data=dataset,
            task=task,
            teachers=(Teacher(path, task),),
        )
        outcome = techniques.run("distill", teacher, work, [layer.name for layer in teacher.layers])
    return {check.name: [check.passed, check.observed, check.limit, check.unit] for check in outcome.checks}
