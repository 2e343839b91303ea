"""Every tensor of an .onnx file, from ONNX Runtime with its graph optimizations off: they fuse tensors away."""

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

_ERRORS_ONLY = 3
# Their outputs are stored tensors seen otherwise, or are told by the operator before them.
_PLUMBING = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}


def layer_outputs(path: Path, session: Session, images: np.ndarray, folder: Path) -> list[LayerOutput]:
    """What each node of the main graph makes of images, one image at a time.

    Args:
        path: The file.
        session: The file, open: it knows how images become the input.
        images: Real images float32 [n, …].
        folder: Where values are written.

    Raises:
        InputError: The file cannot be run so.
    """
    import onnx
    import onnxruntime

    # Reading it first refuses tensors kept outside the model's folder.
    facts = readback.read(path)
    model = onnx.load(path)
    main = {name for node in model.graph.node for name in node.output if name}
    ends = {value.name for value in model.graph.output}
    rounded = _rounded(model.graph)
    wanted = [
        rounded.get(operator.outputs[0].name, operator.outputs[0].name)
        if operator.outputs and operator.outputs[0].name in main and operator.kind not in _PLUMBING
        else None
        for operator in facts.operators
    ]
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(wanted) if name and name not in ends
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        runner = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's errors share no base but this one; protobuf refuses messages over 2 GiB.
        reason = " ".join(str(error).split())
        raise InputError(f"ONNX Runtime cannot run {path} with all its tensors kept: {reason}") from error
    shapes = [operator.outputs[0].shape for operator in facts.operators if operator.outputs]
    images = images[: _layer_outputs.affordable(shapes, len(images))]
    native = session.to_native(images)
    names = list(dict.fromkeys(name for name in wanted if name))

    def values() -> Iterator[list[np.ndarray | None]]:
        for position in range(len(native)):
            found = runner.run(names, {session.inputs[0].name: native[position : position + 1]})
            by_name = dict(zip(names, found, strict=True))
            yield [_floats(by_name[name]) if name else None for name in wanted]

    return _layer_outputs.record(facts, facts.operators, values, images, folder)


def _rounded(graph: Any) -> dict[str, str]:
    """Tensors that only a QuantizeLinear takes, and the tensor that comes back from it.

    What the runtime's integer kernels compute is the rounded and clipped one: a ReLU is often left out because the
    clipping does its work.
    """
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found = {}
    for name in list(users):
        takers = users[name]
        while len(takers) == 1 and takers[0].op_type == "Transpose":
            takers = users.get(takers[0].output[0], [])
        if takers and {taker.op_type for taker in takers} == {"QuantizeLinear"}:
            back = [one for one in users.get(takers[0].output[0], []) if one.op_type == "DequantizeLinear"]
            if back:
                found[name] = back[0].output[0]
    return found


def _floats(values: np.ndarray) -> np.ndarray | None:
    """Real values only: integers inside are accumulators or shapes."""
    return values.astype(np.float32) if values.dtype.kind == "f" else None
