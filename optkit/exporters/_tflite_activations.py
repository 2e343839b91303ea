"""Every activation of a float TFLite file, from LiteRT's plain kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit import tflite_schema
from optkit.data._inputs import parts

if TYPE_CHECKING:
    from collections.abc import Iterator


def activations(content: bytes, images: np.ndarray, threads: int) -> Iterator[dict[str, np.ndarray]]:
    """Every computed float tensor of a float file, batch by batch."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from optkit.exporters import _ranges

    interpreter = Interpreter(
        model_content=content,
        num_threads=threads,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    signature = tflite_schema.parse(content).signatureDefs[0]
    ports = {port.name.decode(): int(port.tensorIndex) for port in signature.inputs}
    wanted = [d for d in interpreter.get_tensor_details() if d["dtype"] is np.float32 and d["name"]]
    for batch in _ranges.batches(images):
        inputs = parts(batch)
        given = {port: inputs[name if len(ports) > 1 else ""] for name, port in ports.items()}
        for port, values in given.items():
            interpreter.resize_tensor_input(port, values.shape)
        interpreter.allocate_tensors()
        for port, values in given.items():
            interpreter.set_tensor(port, np.ascontiguousarray(values))
        interpreter.invoke()
        yield {d["name"]: interpreter.get_tensor(d["index"]) for d in wanted}
