"""NVIDIA: an int8 ONNX file with explicit symmetric QDQ and a float16 one, for TensorRT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit import runtimes
from optkit.bundle import Written, _device_files, _documents, _symmetric, check_flash
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
    half = _half(subject)
    if half is not None:
        (folder / _FP16).write_bytes(half.read_bytes())
    versus, changed = _changed(subject, folder / _INT8)
    _device_files.write_examples(subject, folder)
    page = _documents.filled(
        "nvidia_readme.md.j2",
        name=subject.name,
        input=subject.given.name,
        shape="x".join(str(axis) for axis in subject.given.shape[1:]),
        half=half is not None,
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
        "on an NVIDIA GPU: not measured",
        *([] if half is not None else ["no float16 file: the run has no fp16.onnx"]),
    ]
    if versus is not None:
        lines.insert(2, f"{versus.lost} lost, {versus.gained} gained: {versus.verdict}")
    return Written(_INT8, {"changed_answers": changed, "measured_on_gpu": None}, tuple(lines))


def prove(folder: Path) -> list[str]:
    """ONNX's checker and ONNX Runtime have taken it when it was compared; TensorRT is not to be had here."""
    faults = _symmetric.faults((folder / _INT8).read_bytes())
    if faults:
        raise InputError(f"{_INT8} is not what TensorRT demands: {'; '.join(faults[:3])}")
    return ["checked: weights and activations have zero point 0, activations one scale each"]


def _half(subject: Subject) -> Path | None:
    """The float16 file of the same run."""
    path = subject.path.with_name(_FP16)
    return path if subject.report is not None and path.is_file() else None


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
