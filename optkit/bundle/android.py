"""Android: assets with the model and its metadata, a Kotlin sample, adb commands for the runtime's own benchmark."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from optkit.bundle import Written, _device_files, _documents, _metadata, check_flash
from optkit.device.ports import divisor, rescale, to_native
from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.bundle import Subject

SUMMARY = "Android with LiteRT: assets with metadata, Kotlin sample with a self-test, adb commands for its benchmark"
SOURCE = "https://ai.google.dev/edge/litert/android"
FORMATS = ("tflite",)
_MODEL = "assets/model.tflite"
_KOTLIN = "kotlin/Classifier.kt"


def refuse(subject: Subject) -> str | None:
    """Any model runs that takes one float or int8 input of a known shape.

    Raises:
        BudgetMissedError: The file is larger than the flash.
    """
    check_flash(subject)
    kinds = {subject.given.dtype, subject.found.dtype}
    if not kinds <= {"float32", "int8", "uint8"}:
        return f"the Kotlin sample feeds float32, int8 and uint8, {subject.path.name} has {', '.join(sorted(kinds))}"
    return None


def write(subject: Subject, folder: Path) -> Written:
    """Write assets, sample and commands."""
    for name in ("assets", "kotlin"):
        (folder / name).mkdir()
    (folder / _MODEL).write_bytes(_metadata.with_metadata(subject))
    (folder / "assets" / "labels.txt").write_text("".join(f"{one}\n" for one in subject.class_names), encoding="utf-8")
    chosen, fed = subject.chosen(), subject.preprocessing
    native = to_native(rescale(subject.raw[chosen], fed.scale, fed.mean, fed.std), subject.given)
    # Little-endian, as every Android device is: a ByteBuffer reads them where they are.
    (folder / "assets" / "test_inputs.bin").write_bytes(np.ascontiguousarray(native).tobytes())
    (folder / "assets" / "test_outputs.bin").write_bytes(np.ascontiguousarray(subject.outputs[chosen]).tobytes())
    tolerance = _device_files.tolerance(subject)
    settings = {
        "input": _device_files.port(subject.given),
        "output": _device_files.port(subject.found),
        "preprocessing": msgspec.to_builtins(fed),
        "task": msgspec.to_builtins(subject.task),
        "test_examples": len(chosen),
        "tolerance": tolerance,
    }
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (folder / "assets" / "settings.json").write_text(text, encoding="utf-8")
    values = int(np.prod(native.shape[1:]))
    pages = {
        _KOTLIN: _documents.filled(
            "Classifier.kt.j2",
            name=subject.name,
            values=values,
            outputs=subject.outputs.shape[1],
            count=len(chosen),
            given=subject.given,
            found=subject.found,
            scale=fed.scale,
            divisor=divisor(fed.scale),
            mean=fed.mean or (0.0,),
            std=fed.std or (1.0,),
            task=subject.task,
            limit=tolerance["absolute"] + tolerance["relative"] * float(np.abs(subject.outputs[chosen]).max()),
            reason=tolerance["reason"],
        ),
        "README.md": _documents.filled("android_readme.md.j2", name=subject.name, count=len(chosen)),
        "benchmark.sh": _documents.filled("android_benchmark.sh.j2", name=subject.name),
        "MODEL_CARD.md": _documents.model_card(subject),
    }
    for name, content in pages.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "benchmark.sh").chmod(0o755)
    line = "the Kotlin sample was not compiled, and nothing ran on a device: there is neither here"
    return Written(_MODEL, {"tolerance": tolerance}, (*_metadata.notes(subject), line))


def prove(folder: Path) -> list[str]:
    """The model with its metadata answers the test examples as before, fed with the bytes of the assets.

    Raises:
        InputError: It does not.
    """
    from optkit import runtimes

    settings = json.loads((folder / "assets" / "settings.json").read_bytes())
    session = runtimes.open_model(folder / _MODEL)
    count = settings["test_examples"]
    given, found = settings["input"], settings["output"]
    inputs = np.fromfile(folder / "assets" / "test_inputs.bin", given["dtype"]).reshape(count, *given["shape"][1:])
    outputs = np.fromfile(folder / "assets" / "test_outputs.bin", found["dtype"]).reshape(count, -1)
    for one, expected in zip(inputs, outputs, strict=True):
        session.feed(one[None])
        session.invoke()
        if not np.array_equal(session.fetch()[0], expected):
            raise InputError("the model with its metadata answers otherwise than without; nothing is written")
    return [f"{count} test examples answered as before with the metadata in the file"]
