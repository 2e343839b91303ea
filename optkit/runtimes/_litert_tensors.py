"""Every tensor of a .tflite file, from LiteRT's plain kernels: XNNPACK keeps those inside its groups to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import readback
from optkit.errors import InputError
from optkit.runtimes import _layer_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optkit.runtimes import Session
    from optkit.runtimes._layer_outputs import LayerOutput


def layer_outputs(path: Path, session: Session, images: np.ndarray, folder: Path) -> list[LayerOutput]:
    """What each operator of the main graph makes of images, one image at a time.

    Args:
        path: The file.
        session: The file, open: it knows how images become the input.
        images: Real images float32 [n, …].
        folder: Where values are written.

    Raises:
        InputError: The file cannot be run so.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    facts = readback.read(path)
    try:
        interpreter = Interpreter(
            model_content=path.read_bytes(),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"LiteRT cannot run {path} with all its tensors kept: {reason}") from error
    details = {int(one["index"]): one for one in interpreter.get_tensor_details()}
    nodes = interpreter._get_ops_details()  # noqa: SLF001  # nothing public lists the nodes
    operators = facts.operators[: len(nodes)]
    tensors = [int(node["outputs"][0]) if len(node["outputs"]) else -1 for node in nodes]
    kept = [tensor if _of_interest(details.get(tensor)) else -1 for tensor in tensors]
    shapes = [tuple(int(axis) for axis in details[tensor]["shape"]) for tensor in kept if tensor >= 0]
    images = images[: _layer_outputs.affordable(shapes, len(images))]
    native = session.to_native(images)
    index = int(interpreter.get_input_details()[0]["index"])

    def values() -> Iterator[list[np.ndarray | None]]:
        for position in range(len(native)):
            interpreter.set_tensor(index, native[position : position + 1])
            interpreter.invoke()
            yield [None if one < 0 else _real(interpreter.get_tensor(one), details[one]) for one in kept]

    return _layer_outputs.record(facts, operators, values, images, folder)


def _of_interest(detail: dict[str, Any] | None) -> bool:
    """Whether a tensor holds real values: floats, or integers with a scale."""
    if detail is None:
        return False
    dtype = np.dtype(detail["dtype"])
    return dtype.kind == "f" or (dtype.kind in "iu" and len(detail["quantization_parameters"]["scales"]) == 1)


def _real(native: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    quantization = detail["quantization_parameters"]
    if np.dtype(detail["dtype"]).kind == "f":
        return native.astype(np.float32)
    values: np.ndarray = (native.astype(np.float32) - float(quantization["zero_points"][0])) * np.float32(
        quantization["scales"][0]
    )
    return values
