"""Runs one file for ``diff`` in this process: its outputs for all inputs, or what each layer makes of a few."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from optkit import readback, registry, runtimes
from optkit.errors import InputError
from optkit.measure.one_answer import alive, answer
from optkit.pipeline.confidence import meaning_in_file

# Keras computes every image alone, so that a batch only saves time; a file quantized dynamically does not.
_KERAS_BATCH = 64
_LAYER_MODULES = {
    "tflite": "optkit.runtimes._litert_tensors",
    "onnx": "optkit.runtimes._onnxruntime_tensors",
    "keras": "optkit.pipeline.diff_keras",
}


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job: ``outputs`` or ``layers``.

    Raises:
        InputError: The file cannot be opened, fed or run.
    """
    path = Path(job["file"])
    images = np.load(job["images"], mmap_mode="r", allow_pickle=False)
    session = runtimes.open_model(path)
    if job["do"] == "outputs":
        outputs = _outputs(session, images, _KERAS_BATCH if registry.format_of(path) == "keras" else 1)
        np.save(job["outputs"], outputs, allow_pickle=False)
        return {"meaning": _meaning(path), "finite": bool(np.isfinite(outputs).all())}
    if len(session.inputs) > 1:
        names = ", ".join(port.name for port in session.inputs)
        raise InputError(f"layers are compared where there is one input, this file has {names}")
    module = importlib.import_module(_LAYER_MODULES[registry.format_of(path)])
    records = module.layer_outputs(path, session, np.array(images[: job["count"]]), Path(job["folder"]))
    return {"layers": msgspec.to_builtins(records)}


def _outputs(session: runtimes.Session, images: np.ndarray, batch: int) -> np.ndarray:
    """Real outputs float32 [n, numbers]."""
    rows = []
    for start in range(0, len(images), batch):
        session.feed(session.to_native(np.array(images[start : start + batch])))
        session.invoke()
        rows.append(session.from_native(session.fetch()))
        alive()
    return np.concatenate(rows)


def _meaning(path: Path) -> str | None:
    try:
        return meaning_in_file(readback.read(path))
    except InputError:
        return None


if __name__ == "__main__":
    answer(run)
