"""Opens a model file in LiteRT or ONNX Runtime, with nothing but numpy beside the runtime.

What a port is (name, type, shape, scale, zero point) is declared, not asked of the runtime: ONNX Runtime does not know
the scale of an integer port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.device.ports import from_native, rows, to_native
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np


class Declared(NamedTuple):
    """A port as the bundle declares it. See ``Port``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None


def declared(port: Mapping[str, Any]) -> Declared:
    """The port of its JSON."""
    return Declared(port["name"], port["dtype"], tuple(port["shape"]), port["scale"], port["zero_point"])


class Session:
    """An open model file with one input and one output; ``invoke`` alone is what is timed.

    Args:
        given: The input.
        found: The output.
    """

    def __init__(self, given: Declared, found: Declared) -> None:
        self._given, self._found = given, found

    def to_native(self, images: np.ndarray) -> np.ndarray:
        """Real inputs float32 [batch, …] to the input's own type and shape."""
        return to_native(images, self._given)

    def from_native(self, outputs: np.ndarray) -> np.ndarray:
        """Native outputs [batch, values] to float32."""
        return from_native(outputs, self._found)


class LiteRTSession(Session):
    """A .tflite file; at batch 1.

    ``exact`` takes LiteRT's reference kernels: slow, and the only ones that give the same integers on every processor.
    Those that are written for one processor (XNNPACK's, and LiteRT's own as well) round some sums to the other side.
    """

    def __init__(self, path: Path, given: Declared, found: Declared, *, threads: int, exact: bool) -> None:
        super().__init__(given, found)
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # From bytes: LiteRT maps a file that it opens by name, and one that is replaced meanwhile ends the process.
        self._interpreter = Interpreter(
            model_content=path.read_bytes(),
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF if exact else OpResolverType.BUILTIN,
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self.invoke = self._interpreter.invoke

    def feed(self, native: np.ndarray) -> None:
        """Set the input."""
        self._interpreter.set_tensor(self._input, native)

    def fetch(self) -> np.ndarray:
        """A copy of the native output [batch, values]."""
        return rows(self._interpreter.get_tensor(self._output))


class OnnxRuntimeSession(Session):
    """An .onnx or .ort file."""

    def __init__(self, path: Path, given: Declared, found: Declared, *, threads: int, exact: bool) -> None:
        super().__init__(given, found)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        if exact:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._run, self._names = session.run, [found.name]
        self._feed: dict[str, np.ndarray] = {}
        self._results: list[np.ndarray] = []

    def feed(self, native: np.ndarray) -> None:
        """Take the input for the next calls."""
        self._feed = {self._given.name: native}

    def invoke(self) -> None:
        """Run once."""
        self._results = self._run(self._names, self._feed)

    def fetch(self) -> np.ndarray:
        """A copy of the native output [batch, values]."""
        return rows(self._results[0].copy())


_SESSIONS: dict[str, type[LiteRTSession | OnnxRuntimeSession]] = {
    ".tflite": LiteRTSession,
    ".onnx": OnnxRuntimeSession,
    ".ort": OnnxRuntimeSession,
}


def open_session(
    path: Path, given: Declared, found: Declared, *, threads: int = 1, exact: bool = False
) -> LiteRTSession | OnnxRuntimeSession:
    """Open a file in the runtime of its kind.

    Raises:
        InputError: The runtime is missing, or cannot open the file.
    """
    try:
        return _SESSIONS[path.suffix](path, given, found, threads=threads, exact=exact)
    except ImportError as error:
        raise InputError(f"the runtime is missing ({error}); pip install -r requirements.txt") from error
    except Exception as error:
        # The runtimes' errors share no base but this one.
        raise InputError(
            f"{path.name} cannot be opened: {' '.join(str(error).split())}; send the bundle again"
        ) from error
