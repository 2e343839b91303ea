"""Linux on a Raspberry Pi, a Jetson, any x86-64 or 64-bit ARM board: Python with LiteRT or ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.bundle import Written, _device_files, _metadata, _python_files, check_flash

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.bundle import Subject

SUMMARY = "Python on Linux, x86-64 or 64-bit ARM: model, predict.py, self-test, examples of a container and a unit"
SOURCE = "https://ai.google.dev/edge/litert, https://onnxruntime.ai"
FORMATS = ("tflite", "onnx")


def refuse(subject: Subject) -> str | None:
    """Any model with one input and one output runs; only the size of the file is looked at."""
    check_flash(subject)
    return None


def write(subject: Subject, folder: Path) -> Written:
    """Write everything; the manifest is written by the caller, then the self-test is run by ``prove``."""
    model = f"model.{subject.format}"
    (folder / model).write_bytes(_metadata.with_metadata(subject))
    return Written(model, _python_files.write(subject, folder, model), _metadata.notes(subject))


def prove(folder: Path) -> list[str]:
    """The bundle's own self-test passes here."""
    return _device_files.prove(folder)
