"""NVIDIA: an int8 ONNX file with explicit symmetric QDQ and a float16 one, for TensorRT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit import runtimes
from optkit.bundle import Written, _device_files, _documents, _half, _symmetric, check_flash
from optkit.data import to_real
from optkit.device.ports import from_native
from optkit.errors import InputError
from optkit.statistics import compare_answers

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.bundle import Subject
    from optkit.schema import Comparison

SUMMARY = "NVIDIA GPUs with TensorRT: explicit-QDQ int8 ONNX with zero points 0, float16 ONNX, trtexec commands"
SOURCE = "https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html"
FORMATS = ("onnx",)
_INT8, _FP16 = "int8.onnx", "fp16.onnx"


def refuse(subject: Subject) -> str | None:
    """It must be int8 with explicit QDQ; its weights symmetric.

    Raises:
        BudgetMissedError: The file is larger than the flash.
    """
    check_flash(subject)
    try:
        _symmetric.symmetric(subject.path.read_bytes())
    except InputError as error:
        return f"{subject.path.name}: {error}; make one with optkit compress --recipe int8 --formats onnx"
    return None


def write(subject: Subject, folder: Path) -> Written:
    """Write both files, and say what the rewriting changed.

    Raises:
        InputError: What was written is not what TensorRT demands.
    """
    rewritten = _symmetric.symmetric(subject.path.read_bytes())
    faults = _symmetric.faults(rewritten.content)
    if faults:
        raise InputError(f"the file that was written is not what TensorRT demands: {'; '.join(faults[:3])}")
    (folder / _INT8).write_bytes(rewritten.content)
    versus, changed = _changed(subject, folder / _INT8)
    half, half_changed = _half_file(subject, folder / _FP16)
    _device_files.write_examples(subject, folder)
    page = _documents.filled(
        "nvidia_readme.md.j2",
        name=subject.name,
        input=subject.given.name,
        shape="x".join(str(axis) for axis in subject.given.shape[1:]),
        half=None if half is None else half.source.name,
        half_converted=half is not None and half.is_converted,
        half_changed=half_changed,
        versus=versus,
        changed=changed,
        total=len(subject.raw),
        rewritten=rewritten,
    )
    (folder / "README.md").write_text(page, encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(_documents.model_card(subject), encoding="utf-8")
    lines = [
        f"{rewritten.activations} activations now have zero point 0, {rewritten.biases} biases are float",
        f"that changed {changed:,} of {len(subject.raw):,} answers in ONNX Runtime on this processor",
    ]
    if versus is not None:
        lines.append(f"{versus.lost} lost, {versus.gained} gained: {versus.verdict}")
    if half is None:
        lines.append("no float16 file: no run is known that has fp16.onnx or fp32.onnx beside it")
    else:
        made = "is made from" if half.is_converted else "is"
        against = f"{half_changed:,} of {len(subject.raw):,} answers are others than the float32 file's"
        lines.append(f"{_FP16} {made} the run's {half.source.name}; {against}")
    lines.append("on an NVIDIA GPU: not measured")
    more = {"changed_answers": changed, "fp16_changed_answers": half_changed, "measured_on_gpu": None}
    return Written(_INT8, more, tuple(lines))


def prove(folder: Path) -> list[str]:
    """ONNX's checker and ONNX Runtime have taken it when it was compared; TensorRT is not to be had here."""
    faults = _symmetric.faults((folder / _INT8).read_bytes())
    if faults:
        raise InputError(f"{_INT8} is not what TensorRT demands: {'; '.join(faults[:3])}")
    half = folder / _FP16
    if half.is_file() and (faults := _half.faults(half.read_bytes())):
        raise InputError(f"{_FP16} is not float16 throughout: {'; '.join(faults[:3])}")
    return ["checked: zero points 0, activations with one scale each, weights with one or one for each output channel"]


def _half_file(subject: Subject, path: Path) -> tuple[_half.Half | None, int | None]:
    """Write the float16 file of the run; with the number of answers that are others than its float32 file's.

    Both ran in ONNX Runtime on this processor.
    """
    half = _half.of_run(subject)
    if half is None:
        return None, None
    path.write_bytes(half.content)
    whole = half.source.with_name(half.source.name.replace("fp16", "fp32"))
    if not whole.is_file():
        return half, None
    real = to_real(subject.raw, subject.preprocessing)
    found = [runtimes.predict(runtimes.open_model(one), real, batch=1).argmax(axis=1) for one in (path, whole)]
    return half, int((found[0] != found[1]).sum())


def _changed(subject: Subject, path: Path) -> tuple[Comparison | None, int]:
    """What rewriting did to the answers to all test examples, in ONNX Runtime."""
    session = runtimes.open_model(path)
    real = to_real(subject.raw, subject.preprocessing)
    outputs = session.from_native(runtimes.predict(session, real, batch=1))
    now, before = outputs.argmax(axis=1), from_native(subject.outputs, subject.found).argmax(axis=1)
    versus = None
    if subject.labels is not None and subject.task.kind == "multiclass":
        versus = compare_answers(np.asarray(subject.labels), before, now)
    return versus, int((now != before).sum())
