"""ONNX Runtime, which runs .onnx files, on the CPU."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError
from optkit.readback import Port
from optkit.runtimes import _ports

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

SUMMARY = "ONNX Runtime's CPU provider with all graph optimizations; models with one input and one output."
SOURCE = "https://onnxruntime.ai"
FORMAT = "onnx"

# ONNX Runtime's severities: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal.
_ERRORS_ONLY = 3
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


def version() -> str:
    """Version of the installed package."""
    from importlib.metadata import version as installed

    return installed("onnxruntime")


def open_model(path: Path, *, threads: int = 1) -> OnnxRuntimeSession:
    """Open a file.

    Args:
        path: The ``.onnx`` file.
        threads: Threads inside an operator; operators run one after another.

    Raises:
        InputError: The file cannot be opened, with ONNX Runtime's reason.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's errors share no base but this one.
        reason = " ".join(str(error).split())
        raise InputError(f"ONNX Runtime cannot open {path}: {reason}; export the model again") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"expected a model with one input and one output; {path} has {len(inputs)} and {len(outputs)}")
    for port in (inputs[0], outputs[0]):
        if port.type not in _DTYPES:
            raise InputError(f"expected numbers at {port.name!r} of {path}; it takes or gives {port.type}")
    return OnnxRuntimeSession(session, inputs[0], outputs[0])


class OnnxRuntimeSession:
    """An open .onnx file. See :class:`optkit.runtimes.Session`."""

    def __init__(self, session: Any, model_input: Any, model_output: Any) -> None:
        self.input = _port(model_input)
        self.output = _port(model_output)
        # Bound inputs and outputs: `run` would turn arrays to tensors and back inside the timed call.
        self._binding = session.io_binding()
        self._native: np.ndarray | None = None
        self.invoke = partial(session.run_with_iobinding, self._binding)

    def to_native(self, images: np.ndarray) -> np.ndarray:
        """Real images float32 [batch, …] to the input's own type and shape."""
        return _ports.to_native(images, self.input)

    def from_native(self, outputs: np.ndarray) -> np.ndarray:
        """Native outputs [batch, classes] to float32."""
        return _ports.from_native(outputs, self.output)

    def feed(self, native: np.ndarray) -> None:
        """Bind the input.

        Raises:
            InputError: The model has a fixed batch, and it is another one.
        """
        if self.input.shape and self.input.shape[0] not in {-1, len(native)}:
            raise InputError(
                f"the model takes batches of {self.input.shape[0]}, not {len(native)}; export it with a dynamic batch"
            )
        if self._native is None or self._native.shape != native.shape:
            # A bound output keeps the buffer of the first run, which fits that batch alone.
            self._binding.bind_output(self.output.name)
        # The runtime reads the array in place, so it must live until the next one is bound.
        self._native = native
        self._binding.bind_cpu_input(self.input.name, native)

    def fetch(self) -> np.ndarray:
        """A copy of the native output [batch, classes]."""
        return _ports.rows(self._binding.copy_outputs_to_cpu()[0])


def _port(node: Any) -> Port:
    return Port(
        name=node.name,
        dtype=_DTYPES[node.type],
        shape=tuple(d if isinstance(d, int) else -1 for d in node.shape),
        scale=None,
        zero_point=None,
    )
