"""Jobs that run in workers: what a student is shown, what it loses by, and what it learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from technique_jobs import small_model, work_for

from optkit import data, keras_models, networks, techniques, tflite_schema
from optkit.exporters import ExportJob, tflite
from optkit.problem import Task
from optkit.schema import Recipe, Step
from optkit.techniques import Teacher, _teaching, distill
from optkit.techniques._soft_answers import Answers, ask
from optkit.training import TrainingPlan, ask_copies, configure_tensorflow, train

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

    taught = _teaching.taught(student, asked, answers, 0.7)
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


def copies(tell: Tell) -> dict[str, Any]:
    """Pictures that come round again: which a student is shown, and what is known of them."""
    import tensorflow as tf

    configure_tensorflow(0, threads=1)
    given = {"epochs": 5, "copies": 2, "shift": 0.2, "rotation": 20.0}
    work = work_for("distill", given, tell)
    dataset = dataclasses.replace(work.data, train=work.data.train.first(256), validation=work.data.validation.first(0))
    plan = msgspec.structs.replace(distill.plan_of(work.params), batch=64)
    asked: list[np.ndarray] = []

    def teacher(images: Any) -> Any:
        """What a picture sums up to stands for the answer."""

        def answer(values: np.ndarray) -> np.ndarray:
            asked.append(values)
            return _sums(values)

        found = tf.numpy_function(answer, [images], tf.float32)
        found.set_shape([images.shape[0], 1])
        return found

    shown: list[tuple[np.ndarray, np.ndarray]] = []

    class Watched(tf_keras_model()):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            def note(images: np.ndarray, known: np.ndarray) -> np.ndarray:
                shown.append((images, known))
                return images

            images = tf.numpy_function(note, [data[0], data[2]], tf.float32)
            images.set_shape(data[0].shape)
            return super().train_step((images, data[1]))

    model = small_model()
    watched = Watched(model.inputs, model.outputs)
    with TemporaryDirectory() as folder:
        kept = Path(folder) / "answers"
        arguments: dict[str, Any] = {"form": (28, 28, 1), "seed": 3, "tell": tell, "kept": kept}
        known = ask_copies(teacher, dataset, plan, count=2, **arguments)
        first = len(asked)
        again = ask_copies(teacher, dataset, plan, count=2, **arguments)
        kept_ones = len(asked) - first
        kept.with_name("answers-1.npy").write_bytes(b"no array")
        mended = ask_copies(teacher, dataset, plan, count=2, **arguments)
    train(watched, dataset, plan, task=Task(), seed=3, tell=tell, copies=known)
    steps = 256 // 64
    rounds = [np.concatenate([images for images, _ in shown[e * steps : (e + 1) * steps]]) for e in range(5)]
    return {
        "asked": [first, kept_ones, len(asked) - first - kept_ones],
        "same": bool(np.array_equal(known.answers, again.answers) and np.array_equal(known.answers, mended.answers)),
        "shape": list(known.answers.shape),
        "largest difference": max(float(np.abs(_sums(images) - answers).max()) for images, answers in shown),
        "spread": float(np.std(_sums(rounds[0]))),
        "alike": [[bool(np.array_equal(one, other)) for other in rounds] for one in rounds],
    }


def narrow(tell: Tell) -> dict[str, Any]:
    """A network with batch normalization, trained by a teacher for kernels of 4 bits with one step each."""
    configure_tensorflow(0, threads=1)
    model = networks.build(networks.Network(("conv:6x5:stride2", "conv:8x3", "pool:2"), (28, 28, 1), batchnorm=True))
    dataset = data.load("mnist", train_samples=2_560)
    train(model, dataset, TrainingPlan(2, 64, "adam", 3e-3, "cosine"), task=Task(), seed=0, tell=tell)
    given = {"weight_bits": 4, "granularity": "tensor", "teachers": "baseline", "copies": 1, "rotation": 5.0}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "baseline.h5"
        keras_models.save(model, path)
        work = work_for("qat", given, tell, (Teacher(path, Task()),))
        outcome = techniques.run("qat", model, work, [layer.name for layer in model.layers])
        job = ExportJob(
            Recipe("int4", (Step("int4", {"granularity": "tensor"}),)),
            dataset.real(dataset.train.images[:8], (28, 28, 1)),
            quantization_aware=True,
        )
        tflite.export(job, outcome.model, path.with_suffix(".tflite"))
        graph = tflite_schema.parse(path.with_suffix(".tflite").read_bytes()).subgraphs[0]
    names = tflite_schema.names_of("TensorType")
    scales = [len(one.quantization.scale) for one in graph.tensors if names[one.type] == "INT4"]
    return {
        "failed": [check.name for check in outcome.checks if not check.passed],
        "notes": {note.layer: note.reason for note in outcome.notes},
        "layers": outcome.layers,
        "scales": scales,
    }


def _sums(images: np.ndarray) -> np.ndarray:
    found: np.ndarray = images.reshape(len(images), -1).sum(axis=1, keepdims=True).astype(np.float32)
    return found


def tf_keras_model() -> Any:
    """The class, which is imported in a worker alone."""
    import tf_keras

    return tf_keras.Model


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
