"""Takes a model file apart, in a process of its own: a damaged file must not take the asking one down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from optkit.pipeline import model_file
from optkit.report.inspection import Inspection

if TYPE_CHECKING:
    from pathlib import Path

_WORKER = "optkit.pipeline.inspect_worker"


def inspect(path: Path) -> Inspection:
    """What is in a model file.

    TFLite and ONNX files are read from their bytes and not run; Keras files and SavedModels are read with
    TensorFlow, safe mode on.

    Args:
        path: A ``.tflite``, ``.onnx``, ``.keras`` or ``.h5`` file, or a SavedModel folder.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    file_format = model_file.kind(path)
    answer = model_file.ask(_WORKER, {"file": str(path), "format": file_format}, str(path))
    return msgspec.convert(answer["inspection"], Inspection)
