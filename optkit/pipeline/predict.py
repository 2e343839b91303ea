"""Asks a model file about pictures, natively and in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit.errors import InputError
from optkit.pipeline import confidence, model_file, predict_preprocessing
from optkit.problem import Preprocessing
from optkit.report.prediction import SCHEMA_VERSION, Answer, Picture, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optkit.pipeline.predict_preprocessing import Noted

_WORKER = "optkit.pipeline.predict_worker"
SUFFIXES = (".tflite", ".onnx", ".keras")


def predict(
    path: Path,
    pictures: Sequence[Path],
    *,
    declared: Preprocessing | None = None,
    invert: bool | None = None,
    top: int = 3,
) -> Prediction:
    """The classes that a model gives pictures.

    Args:
        path: A ``.tflite``, ``.onnx`` or ``.keras`` file with one input and one output.
        pictures: PNG or JPEG files.
        declared: How values become the model's; from the run's manifest, the file, or 0 to 1 when ``None``.
        invert: Swap dark and bright; decided by each picture's border when ``None``, for models of MNIST's shape.
        top: How many classes are told of each picture.

    Returns:
        Every picture with its classes or with the reason why it has none.

    Raises:
        InputError: The model cannot be used, or none of the pictures can.
    """
    if top < 1:
        raise InputError(f"--top expects a number of at least 1, found {top}")
    file_format = model_file.kind(path, suffixes=SUFFIXES, folder=False)
    noted = predict_preprocessing.noted(path)
    given = declared if declared is not None else noted.preprocessing
    told, answers, failures = _conversation(path, pictures, given, invert=invert)
    if not answers:
        raise InputError("; ".join(dict.fromkeys(failures.values())))
    meaning = predict_preprocessing.meaning_of(noted.task) or told["meaning"]
    order = sorted(answers)
    outputs = np.array([answers[position]["outputs"] for position in order], np.float64)
    read = confidence.read(outputs, meaning)
    rows = dict(zip(order, read.probabilities, strict=True))
    source = "as the options say" if declared is not None else "as the run's manifest says"
    return Prediction(
        schema_version=SCHEMA_VERSION,
        path=str(path),
        format=file_format,
        preprocessing=msgspec.convert(told["preprocessing"], Preprocessing),
        preprocessing_source=source if given is not None else told["source"],
        preprocessing_guessed=given is None and told["guessed"],
        outputs=read.meaning,
        outputs_words=read.words,
        pictures=[
            Picture(
                path=str(name),
                answers=_top(rows[position], noted, top, value=read.meaning == "values") if position in rows else [],
                done=answers[position]["done"] if position in answers else [],
                failure=failures.get(position),
            )
            for position, name in enumerate(pictures)
        ],
        notes=noted.notes + _name_notes(noted, rows[order[0]], value=read.meaning == "values"),
    )


def _conversation(
    path: Path, pictures: Sequence[Path], given: Preprocessing | None, *, invert: bool | None
) -> tuple[dict[str, Any], dict[int, dict[str, Any]], dict[int, str]]:
    """What the model is, and the answer or the failure of each picture.

    A picture that takes the process down is passed over, and the others get another process.
    """
    model: dict[str, Any] = {}
    answers: dict[int, dict[str, Any]] = {}
    failures: dict[int, str] = {}
    left = list(range(len(pictures)))
    while left:
        job = {
            "file": str(path),
            "pictures": [str(pictures[position]) for position in left],
            "preprocessing": None if given is None else msgspec.to_builtins(given),
            "invert": invert,
        }
        reading: int | None = None
        failure = None
        try:
            for message in model_file.tell(_WORKER, job, str(path)):
                event = message["event"]
                if event == "failed":
                    failure = message["reason"]
                elif event == "model":
                    model = message
                else:
                    at = reading = left[message["position"]]
                    if event == "answer":
                        answers[at] = message
                    elif event == "unreadable":
                        failures[at] = message["reason"]
        except InputError as error:
            if reading is None or reading in answers or reading in failures:
                raise
            failures[reading] = f"{pictures[reading]} cannot be read: {error}"
        if failure is not None:
            raise InputError(failure)
        left = [position for position in left if position not in answers and position not in failures]
    return model, answers, failures


def _top(row: np.ndarray, noted: Noted, top: int, *, value: bool) -> list[Answer]:
    if value:
        return [Answer(answer=None, name=None, probability=None, value=float(row[0]))]
    order = np.argsort(-row, kind="stable")[:top]
    names = noted.class_names if len(noted.class_names) == len(row) else ()
    return [Answer(int(at), names[at] if names else None, float(row[at]), None) for at in order]


def _name_notes(noted: Noted, row: np.ndarray, *, value: bool) -> list[str]:
    if value or not noted.class_names or len(noted.class_names) == len(row):
        return []
    return [f"the manifest names {len(noted.class_names)} classes, the model has {len(row)}: numbers are shown"]
