"""What every bundle that runs Python has: predict.py, selftest.py, test examples with their outputs, requirements."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit.data import to_real
from optkit.device.assembled import assembled
from optkit.device.pictures import wanted_by
from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.bundle import Subject
    from optkit.readback import Port

RUNTIMES = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}
PREDICT = ("pictures", "ports", "sessions", "classify")
SELFTEST = ("intervals", "machine", "sensors", "timing", "selftest")
_SELFTEST_SECONDS = 300
_INTEGERS = {"int8", "uint8", "int16"}
# Reference kernels are a hundred times as slow as the others.
_EXACT = 20
# Of a picture that goes along for the README's example.
EXAMPLE = "test/example.png"


def write(subject: Subject, folder: Path, model: str) -> None:
    """Write the programs, the labels, what they need, and the test examples.

    Args:
        subject: The model.
        folder: The bundle.
        model: Name of the model file in it.
    """
    pictures = _pictures(subject)
    settings = {
        "model": model,
        "input": port(subject.given),
        "output": port(subject.found),
        "preprocessing": msgspec.to_builtins(subject.preprocessing),
        "task": {"kind": subject.task.kind, "outputs": subject.task.outputs},
        "labels": list(subject.class_names),
        "pictures": pictures,
    }
    (folder / "predict.py").write_text(assembled(PREDICT, {"SETTINGS": settings}), encoding="utf-8")
    (folder / "selftest.py").write_text(assembled(SELFTEST), encoding="utf-8")
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in subject.class_names), encoding="utf-8")
    needed = ["numpy", *(["pillow"] if pictures else []), RUNTIMES[subject.format]]
    pinned = "".join(f"{name}=={version(name)}\n" for name in needed)
    (folder / "requirements.txt").write_text(pinned, encoding="utf-8")
    write_examples(subject, folder)
    if pictures:
        _write_example(subject, folder / EXAMPLE)


def write_examples(subject: Subject, folder: Path) -> None:
    """Write the raw test examples that go along, their labels, and what the model answered here."""
    (folder / "test").mkdir()
    chosen = subject.chosen()
    np.save(folder / "test" / "images.npy", np.ascontiguousarray(subject.raw[chosen]), allow_pickle=False)
    np.save(folder / "test" / "expected.npy", subject.outputs[chosen], allow_pickle=False)
    if subject.format == "tflite" and subject.found.dtype in _INTEGERS:
        np.save(folder / "test" / "exact.npy", _exact(subject, chosen), allow_pickle=False)
    if subject.labels is not None:
        np.save(folder / "test" / "labels.npy", subject.labels[chosen], allow_pickle=False)


def _exact(subject: Subject, chosen: np.ndarray) -> np.ndarray:
    """What LiteRT's reference kernels answer to some of the examples, as it is [n, values]: the same everywhere."""
    from optkit.runtimes import litert, predict

    some = chosen[:: max(1, len(chosen) // _EXACT)][:_EXACT]
    session = litert.open_model(subject.path, reference_kernels=True)
    return predict(session, to_real(subject.raw[some], subject.preprocessing))


def port(one: Port) -> dict[str, Any]:
    """A port in JSON."""
    return {
        "name": one.name,
        "dtype": one.dtype,
        "shape": list(one.shape),
        "scale": one.scale,
        "zero_point": one.zero_point,
    }


def tolerance(subject: Subject) -> dict[str, Any]:
    """How far outputs on the device may be from those here, with the kernels that are fast there.

    Kernels for integers round a sum that is near the middle of two steps to either side, by processor: of LeNet-5 in
    int8 on aarch64 one output in 500 is one step off. (Reference kernels do not; ``exact.npy`` is for them.)
    Float kernels add in another order on another processor: 1e-5 is some hundred roundings of a value of 1. A file
    that computes in float16 rounds at 5e-4; one that quantizes activations while it runs (dynamic) may round one of
    them to the other side, which is one step of 1/255 of its range.
    """
    if subject.found.dtype in _INTEGERS:
        return {"absolute": 2.0, "relative": 0.0, "reason": "steps; kernels of another processor round otherwise"}
    kinds = {kind for operator in subject.facts.operators for kind in operator.input_dtypes}
    if subject.format == "onnx" and "float16" in kinds:
        return {"absolute": 2e-3, "relative": 2e-3, "reason": "computed in float16"}
    if _is_dynamic(subject):
        return {"absolute": 1e-2, "relative": 1e-2, "reason": "activations are quantized while it runs"}
    return {"absolute": 1e-5, "relative": 1e-5, "reason": "float32: another order of adding"}


def _is_dynamic(subject: Subject) -> bool:
    """Whether integer weights meet float activations."""
    if any(operator.kind.startswith("DynamicQuantize") for operator in subject.facts.operators):
        return True
    weights = {one.name for one in subject.facts.constants if one.role == "weight" and one.dtype in {"int8", "int4"}}
    return subject.format == "tflite" and any(
        operator.kind not in {"DEQUANTIZE", "QUANTIZE"}
        and any(one.name in weights for one in operator.inputs)
        and "float32" in operator.output_dtypes
        for operator in subject.facts.operators
    )


def prove(folder: Path) -> list[str]:
    """Run the bundle's own self-test in the folder, without timing.

    Returns:
        What it said.

    Raises:
        InputError: It failed.
    """
    command = [sys.executable, "-B", str(folder / "selftest.py"), "--no-timing", "--out", str(folder / "report.json")]
    # -B and the report's removal: the folder holds nothing but the bundle.
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SELFTEST_SECONDS, check=False)
    (folder / "report.json").unlink(missing_ok=True)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise InputError(f"the bundle's own self-test fails here, so nothing is written: {said}")
    return [line for line in done.stdout.splitlines() if not line.startswith("written")]


def plain_name(text: str) -> str:
    """A name in the letters that containers and units may have."""
    return re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.") or "model"


def _pictures(subject: Subject) -> dict[str, Any] | None:
    """What size and channels the model takes, where it takes pictures."""
    shape = subject.raw.shape[1:]
    if subject.raw.dtype != np.uint8 or len(shape) not in {2, 3}:
        return None
    try:
        fed = subject.preprocessing
        return wanted_by(subject.given, resize=fed.resize, channels=fed.channels)._asdict()
    except InputError:
        return None


def _write_example(subject: Subject, path: Path) -> None:
    """The first test example as a picture."""
    from PIL import Image

    first = subject.raw[0]
    first = first[..., 0] if first.ndim == 3 and first.shape[-1] == 1 else first
    Image.fromarray(first[..., ::-1] if subject.preprocessing.channels == "bgr" else first).save(path)
