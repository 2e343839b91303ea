"""Accuracy of an exported file in its own runtime, with its uncertainty, and which answers changed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import limits, runtimes
from optkit.errors import InputError
from optkit.measure.fresh_process import WorkerDiedError, converse
from optkit.measure.one_answer import alive
from optkit.problem import Task
from optkit.quality import Accuracy, AccuracyValidation, Flip
from optkit.statistics import compare_answers, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from optkit.runtimes import Session

    See = Callable[[np.ndarray], object]

# Images are quantized so many at a time: in one piece the whole test set would be in memory twice.
_CHUNK = 1000
MOST_FLIPS = 200
# What files are taken for where nothing else is said: an output for each class.
CLASSES = Task()


def answers(
    path: Path,
    images: np.ndarray | Iterable[np.ndarray],
    *,
    task: Task = CLASSES,
    threads: int = 1,
    see: See | None = None,
) -> np.ndarray:
    """What a file answers to each image, one image at a time as on the device.

    Batch 1 throughout: dynamic quantization scales activations over the whole batch, so a larger one answers
    otherwise.

    Args:
        path: A ``.tflite`` or ``.onnx`` file.
        images: Real images float32 [n, …], or pieces of them one after the other; a piece is in memory at a time.
        task: What the outputs stand for.
        threads: Threads of the runtime.
        see: Gets the outputs of some images at a time, dequantized, float32 [m, outputs], in order.

    Returns:
        Several classes: int64 [n], position of the largest native output, the first of equal ones. Binary: int64 [n],
        1 where the dequantized output is over one half (as a logit over 0). Regression: float32 [n], the output.

    Raises:
        InputError: The file cannot be opened or not be fed these images, it does not have the outputs of the task,
            or a binary or regression output is NaN or infinite.
    """
    return session_answers(runtimes.open_model(path, threads=threads), images, task=task, see=see)


def session_answers(
    session: Session,
    images: np.ndarray | Iterable[np.ndarray],
    *,
    task: Task = CLASSES,
    see: See | None = None,
) -> np.ndarray:
    """As ``answers``, of a file that is open."""
    several = task.kind == "multiclass"
    found = []
    for piece in _pieces(images):
        rows = []
        native = session.to_native(piece)
        for position in range(len(native)):
            session.feed(native[position : position + 1])
            session.invoke()
            rows.append(session.fetch()[0])
            alive()
        outputs = np.stack(rows)
        if not several and outputs.shape[1:] != (1,):
            raise InputError(
                f"expected one output for a {task.kind} model, found outputs of shape {list(outputs.shape[1:])}; "
                "give data that fit the model"
            )
        if see is not None or not several:
            real = session.from_native(outputs)
            if see is not None:
                see(real)
        # Native outputs: dequantizing keeps the order, and rounding in it could make ties.
        found.append(outputs.reshape(len(outputs), -1).argmax(axis=1) if several else decided(real[:, 0], task))
    if not found:
        return np.empty(0, np.float32 if task.kind == "regression" else np.int64)
    return np.concatenate(found)


def decided(outputs: np.ndarray, task: Task) -> np.ndarray:
    """The answers that single outputs stand for.

    Args:
        outputs: Dequantized, float32 [n].
        task: Binary or regression.

    Returns:
        int64 [n] of 0 and 1, or float32 [n].

    Raises:
        InputError: An output is NaN or infinite.
    """
    if not np.isfinite(outputs).all():
        count = int((~np.isfinite(outputs)).sum())
        raise InputError(
            f"expected finite outputs, found NaN or infinity for {count:,} of {len(outputs):,} images; "
            "make the file with another precision"
        )
    if task.kind == "regression":
        return outputs.astype(np.float32)
    answer: np.ndarray = (outputs > (0.0 if task.outputs == "logits" else 0.5)).astype(np.int64)
    return answer


def _pieces(images: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    if isinstance(images, np.ndarray):
        yield from (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
    else:
        yield from (piece for piece in images if len(piece))


def fresh_answers(
    path: Path, images_npy: Path, *, log: Path, threads: int = 1, runtime: str | None = None
) -> tuple[np.ndarray, int]:
    """As ``answers``, in a fresh process, which a runtime that crashes takes down alone.

    What a single output stands for is not known of a file by itself: it is given as it is.

    Args:
        path: The file.
        images_npy: Real images float32 [n, …] as .npy.
        log: Gets what the runtime prints.
        threads: Threads of the runtime.
        runtime: As in ``runtimes.open_model``.

    Returns:
        The class numbers int64 [n], or where there is one output its values float32 [n]; and the number of outputs.

    Raises:
        InputError: The file cannot be opened, fed or run, or crashes the process.
    """
    with tempfile.TemporaryDirectory(prefix="optkit-answers-") as scratch:
        npy = Path(scratch) / "answers.npy"
        job = {
            "file": str(path),
            "images": str(images_npy),
            "answers": str(npy),
            "threads": threads,
            "runtime": runtime,
        }
        try:
            told = list(converse("optkit.measure.accuracy_worker", job, log, limits.patience_seconds(path)))
        except WorkerDiedError as error:
            raise InputError(f"{path} cannot be run: {error}; see {log}") from error
        if not told or told[-1]["event"] != "done":
            raise InputError(f"{path} cannot be run: {told[-1]['reason'] if told else 'it said nothing'}")
        return np.load(npy, allow_pickle=False), int(told[-1]["outputs"])


def accuracy(
    labels: np.ndarray,
    found: np.ndarray,
    baseline: np.ndarray | None = None,
    control: np.ndarray | None = None,
    *,
    classes: int | None = None,
) -> Accuracy:
    """Accuracy on the test set, against the baseline's and a control's answers where given.

    Args:
        labels: Right answers, integers [n].
        found: The file's answers, integers [n].
        baseline: The baseline file's answers to the same images; ``None`` for the baseline itself.
        control: Answers of a model with the same training but without the technique.
        classes: Number of classes; by default as many as labels and answers need.

    Returns:
        ``confusion[label][answer]`` counts images.

    Raises:
        ValueError: Lengths differ, there is no image, or an answer is not among the classes.
    """
    correct = int((labels == found).sum())
    return Accuracy(
        correct=correct,
        total=len(labels),
        top1=correct / len(labels),
        ci95=wilson_interval(correct, len(labels)),
        confusion=confusion(labels, found, classes=classes),
        versus_baseline=None if baseline is None else compare_answers(labels, baseline, found),
        versus_control=None if control is None else compare_answers(labels, control, found),
    )


def accuracy_validation(
    labels: np.ndarray, found: np.ndarray, baseline: np.ndarray | None = None
) -> AccuracyValidation:
    """Accuracy on validation data, which choices are made on; arguments as for ``accuracy``."""
    if len(labels) != len(found) or not len(labels):
        raise ValueError(f"expected an answer for each image, found {len(found)} for {len(labels)}")
    return AccuracyValidation(
        correct=int((labels == found).sum()),
        total=len(labels),
        versus_baseline=None if baseline is None else compare_answers(labels, baseline, found),
    )


def confusion(labels: np.ndarray, found: np.ndarray, *, classes: int | None = None) -> list[list[int]]:
    """How often each label got each answer: counts [label][answer].

    Raises:
        ValueError: Lengths differ, there is no image, or a label or an answer is not among the classes.
    """
    if len(labels) != len(found) or not len(labels):
        raise ValueError(f"expected an answer for each image, found {len(found)} for {len(labels)}")
    least, largest = int(min(labels.min(), found.min())), int(max(labels.max(), found.max()))
    size = largest + 1 if classes is None else classes
    if least < 0 or largest >= size:
        raise ValueError(f"expected classes 0 to {size - 1}, found {least} to {largest}")
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (labels, found), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def class_metrics(confusion_counts: list[list[int]]) -> dict[str, Any]:
    """Precision, recall and F1 of each class.

    Args:
        confusion_counts: Counts [label][answer].

    Returns:
        ``{"per_class": [{"class", "images", "precision", "recall", "f1"}]}``; precision is ``None`` for a
        class that was never answered, recall for one without images, and F1 where either is ``None``.
    """
    counts = np.array(confusion_counts)
    per_class: list[dict[str, Any]] = []
    for label in range(len(counts)):
        hits, images, given = int(counts[label, label]), int(counts[label].sum()), int(counts[:, label].sum())
        precision = hits / given if given else None
        recall = hits / images if images else None
        # 2 PR / (P + R), written so that it is 0 and not undefined when both are 0.
        f1 = None if precision is None or recall is None else 2 * hits / (images + given)
        per_class.append({"class": label, "images": images, "precision": precision, "recall": recall, "f1": f1})
    return {"per_class": per_class}


def flips(labels: np.ndarray, baseline: np.ndarray, found: np.ndarray) -> list[Flip]:
    """The first 200 images, in order, that the baseline file answers otherwise than this one.

    Args:
        labels: Right answers, integers [n].
        baseline: The baseline file's answers, integers [n].
        found: The file's answers, integers [n].
    """
    positions = np.flatnonzero(baseline != found)[:MOST_FLIPS]
    return [Flip(int(at), int(baseline[at]), int(found[at]), int(labels[at])) for at in positions]
