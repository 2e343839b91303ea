"""A float16 ONNX file for a GPU: the run's own, or its float32 file converted, and looked at either way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from optkit.bundle import Subject

_INPUT_CAST = "graph_input_cast"
_END = "fp16.onnx"
_WHOLE_END = "fp32.onnx"


class Half(NamedTuple):
    """The file's content, and the file of the run that it is or comes from."""

    content: bytes
    source: Path
    is_converted: bool


def of_run(subject: Subject) -> Half | None:
    """The float16 file of the same steps, else of the model that the run began with; ``None`` without a run.

    What was trained for int8 has no float file of the same steps.
    """
    if subject.report is None:
        return None
    there = {Path(one.path).name for one in subject.report.variants if one.status == "ok"}
    steps = subject.name.rpartition("+")[0]
    for prefix in dict.fromkeys((f"{steps}+" if steps else "", "")):
        for end in (_END, _WHOLE_END):
            path = subject.path.with_name(prefix + end)
            if path.name in there and path.is_file():
                content = path.read_bytes()
                return Half(content if end == _END else converted(content), path, end == _WHOLE_END)
    return None


def converted(content: bytes) -> bytes:
    """A float32 file with weights and arithmetic in float16; inputs and outputs stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load_from_string(content), keep_io_types=True)
    # The converter puts the casts of the inputs last, and ONNX wants nodes in the order of running.
    nodes = sorted(model.graph.node, key=lambda node: not node.name.startswith(_INPUT_CAST))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def faults(content: bytes) -> list[str]:
    """The weights of a file that are not float16, in words; nothing where all are."""
    import onnx

    graph = onnx.load_from_string(content).graph
    floats = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.DOUBLE: "float64"}
    found = [f"{one.name} is {floats[one.data_type]}" for one in graph.initializer if one.data_type in floats]
    if not any(one.data_type == onnx.TensorProto.FLOAT16 for one in graph.initializer):
        found.append("no weight is float16")
    return found
