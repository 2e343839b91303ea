"""Takes one model file apart in this process: started fresh by ``inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from optkit import readback, store
from optkit.measure.one_answer import answer
from optkit.report import inspection


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Read the file.

    Returns:
        ``inspection``, as plain values.

    Raises:
        InputError: It cannot be read.
    """
    path = Path(job["file"])
    if job["format"] in {"tflite", "onnx"}:
        found = inspection.inspect(readback.read(path), path=str(path), sha256=store.sha256_file(path))
    else:
        from optkit.pipeline.inspect_keras import inspect as inspect_keras

        found = inspect_keras(path, job["format"])
    return {"inspection": msgspec.to_builtins(found)}


if __name__ == "__main__":
    answer(run)
