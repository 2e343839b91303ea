"""Linux on a Raspberry Pi, a Jetson, any x86-64 or 64-bit ARM board: Python with LiteRT or ONNX Runtime."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from optkit.bundle import Written, _device_files, _documents, _metadata
from optkit.errors import BudgetMissedError

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.bundle import Subject

SUMMARY = "Python on Linux, x86-64 or 64-bit ARM: model, predict.py, self-test, examples of a container and a unit"
SOURCE = "https://ai.google.dev/edge/litert, https://onnxruntime.ai"
FORMATS = ("tflite", "onnx")


def refuse(subject: Subject) -> str | None:
    """Any model with one input and one output runs; only the size of the file is looked at."""
    flash, size = subject.limits.flash_bytes, subject.facts.file_bytes
    if flash is not None and size > flash:
        raise BudgetMissedError(f"{subject.path.name} has {size:,} bytes, {size - flash:,} more than --flash {flash:,}")
    return None


def write(subject: Subject, folder: Path) -> Written:
    """Write everything; the manifest is written by the caller, then the self-test is run by ``prove``."""
    model = f"model.{subject.format}"
    (folder / model).write_bytes(_metadata.with_metadata(subject))
    _device_files.write(subject, folder, model)
    unit = "optkit-selftest.service"
    tolerance = _device_files.tolerance(subject)
    pages = {
        "README.md": _documents.filled(
            "linux_readme.md.j2",
            name=subject.name,
            model=model,
            example=_device_files.EXAMPLE if (folder / _device_files.EXAMPLE).is_file() else "test/images.npy",
            count=len(subject.chosen()),
            unit=unit,
            promise=_promise(tolerance["absolute"]),
        ),
        "MODEL_CARD.md": _documents.model_card(subject),
        "Dockerfile": _documents.filled(
            "Dockerfile.j2",
            image=_device_files.plain_name(subject.name),
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
        ),
        unit: _documents.filled("selftest.service.j2", name=subject.name, unit=unit),
    }
    for name, content in pages.items():
        (folder / name).write_text(content, encoding="utf-8")
    runtime = ["numpy", _device_files.RUNTIMES[subject.format]]
    return Written(model, {"tolerance": tolerance, "runtime_packages": runtime[1:]})


def prove(folder: Path) -> list[str]:
    """The bundle's own self-test passes here."""
    return _device_files.prove(folder)


def _promise(limit: float) -> str:
    if not limit:
        return "equal bit for bit to those where the bundle was made"
    return f"within {limit:g} of those where the bundle was made, and all answers the same"
