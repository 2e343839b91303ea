"""Ranges of an ONNX model's activations, from ONNX Runtime without its optimizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from optkit.data._inputs import parts
from optkit.exporters import ExportJob, _ranges, calibration_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import ModelProto
    from onnxruntime.quantization.calibrate import TensorsData


def calibrated(job: ExportJob, source: ModelProto) -> TensorsData:
    """Activation ranges from the calibration images."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    shaped = onnx.shape_inference.infer_shapes(source)
    shapes = {
        port.name: tuple(axis.dim_value for axis in port.type.tensor_type.shape.dim[1:]) for port in source.graph.input
    }
    images = calibration_images(job, shapes if len(shapes) > 1 else next(iter(shapes.values())))
    ranges = _ranges.activation_ranges(
        lambda: _activations(shaped, images, job.threads),
        job.calibration_method,
        exact=frozenset(shapes),
    )
    data = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    # Min-max is what the quantizer calls ranges that it takes as they are.
    return TensorsData(CalibrationMethod.MinMax, data)


def _activations(shaped: ModelProto, images: np.ndarray, threads: int) -> Iterator[dict[str, np.ndarray]]:
    """Every computed float tensor of a model with inferred shapes, and its inputs, batch by batch."""
    import onnxruntime

    seen = onnx.ModelProto()
    seen.CopyFrom(shaped)
    named = {item.name: item for item in shaped.graph.value_info}
    computed = [name for node in shaped.graph.node for name in node.output]
    outputs = {port.name for port in shaped.graph.output}
    seen.graph.output.extend(named[name] for name in computed if name in named and name not in outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Fusions would remove the very tensors that are looked at.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(seen.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ports = [port.name for port in session.get_inputs()]
    floats = [item.name for item in session.get_outputs() if item.type == "tensor(float)"]
    for batch in _ranges.batches(images):
        inputs = parts(batch)
        given = {port: np.ascontiguousarray(inputs[port if len(ports) > 1 else ""]) for port in ports}
        yield given | dict(zip(floats, session.run(floats, given), strict=True))
