"""ONNX Runtime, which runs .onnx files, on the CPU."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.data._inputs import parts
from optkit.errors import InputError
from optkit.readback import Port, _onnx_ports
from optkit.runtimes import _onnx_nodes, _ports
from optkit.schema import RuntimeFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.readback import ModelFacts
    from optkit.schema import OperatorFigures

SUMMARY = "ONNX Runtime's CPU provider with all graph optimizations; models with one output."
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
# Types that real images are not turned into, but that can be fed as they are.
_RAW_DTYPES = _DTYPES | {
    "tensor(bool)": "bool",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
}
KERNELS = ("all graph optimizations", "no graph optimization")
_PROVIDER = "CPUExecutionProvider"
# Release: highest operator set of ONNX, of ONNX-ML, and highest IR version that it takes, for the releases that raised
# one of them (https://onnxruntime.ai/docs/reference/compatibility.html, as published with 1.20).
_RELEASES = {
    "0.1": (8, 1, 3),
    "0.3": (9, 1, 3),
    "0.4": (10, 1, 5),
    "1.0": (11, 2, 6),
    "1.3": (12, 2, 7),
    "1.6": (13, 2, 7),
    "1.8": (14, 2, 7),
    "1.9": (15, 2, 8),
    "1.11": (16, 2, 8),
    "1.12": (17, 3, 8),
    "1.14": (18, 3, 8),
    "1.15": (19, 3, 8),
    "1.16": (19, 3, 9),
    "1.17": (20, 4, 9),
    "1.18": (21, 4, 10),
}
# Kernels allocate and pack in the first runs (design, section 7).
_WARM_UP_RUNS = 5
_LEAST_RUNS = 10
# A profile takes some 600 bytes an event: this many keep it at 30 MB.
_MOST_EVENTS = 50_000


def version() -> str:
    """Version of the installed package, which has other names where it has further providers."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("onnxruntime")
    except PackageNotFoundError:
        return installed("onnxruntime-gpu")


def open_model(path: Path, *, threads: int = 1) -> OnnxRuntimeSession:
    """Open a file.

    Args:
        path: The ``.onnx`` file.
        threads: Threads inside an operator; operators run one after another.

    Raises:
        InputError: The file cannot be opened, with ONNX Runtime's reason.
    """
    return wrapped(native_session(path, session_options(threads)), path)


def open_raw(path: Path, kernels: str) -> OnnxRuntimeRawSession:
    """Open a file to be fed and read as it is. See :mod:`optkit.runtimes`.

    Raises:
        InputError: The file cannot be opened, with ONNX Runtime's reason, or takes or gives what are no numbers.
    """
    import onnxruntime

    options = session_options(1)
    if kernels != KERNELS[0]:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return OnnxRuntimeRawSession(native_session(path, options), path)


def profile(
    path: Path, file: ModelFacts, images: np.ndarray | None, *, threads: int, batch: int, seconds: float
) -> tuple[list[OperatorFigures], RuntimeFacts]:
    """Times of the nodes that run, from ONNX Runtime's profile. See :mod:`optkit.runtimes`."""
    with tempfile.TemporaryDirectory() as folder:
        became = _optimized(path, threads, Path(folder))
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        opened = native_session(path, options)
        session = wrapped(opened, path)
        pictures = _ports.generated(session.inputs, batch) if images is None else images[:batch]
        session.feed(session.to_native(pictures))
        for _ in range(_WARM_UP_RUNS):
            session.invoke()
        most = max(_LEAST_RUNS, _MOST_EVENTS // len(file.operators))
        runs, end = 0, time.perf_counter() + seconds
        while runs < _LEAST_RUNS or (runs < most and time.perf_counter() < end):
            session.invoke()
            runs += 1
        trace = json.loads(Path(opened.end_profiling()).read_text(encoding="utf-8"))
    nodes = _onnx_nodes.with_tensors(_onnx_nodes.times(trace, _WARM_UP_RUNS), became)
    facts = RuntimeFacts(
        least_version=least_version(path, file),
        optimization=f"ORT_ENABLE_ALL, {_PROVIDER}",
        nodes=len(file.operators),
        nodes_after_optimization=len(nodes),
    )
    return _onnx_nodes.figures(nodes, file, _onnx_nodes.file_graph(path)), facts


def least_version(path: Path, file: ModelFacts) -> str | None:
    """Least release that takes the file's operator sets and IR version, by ONNX Runtime's compatibility table.

    Returns:
        Such as ``ONNX Runtime 1.12``; ``None`` for operators of other domains than ONNX's own, which the table does
        not list, and for operator sets and IR versions later than it.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    sets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    domains = {kind.rpartition(":")[0] or "ai.onnx" for kind in (operator.kind for operator in file.operators)}
    if not domains <= {"ai.onnx", "ai.onnx.ml"}:
        return None
    needed = (
        sets.get("ai.onnx", 0) if "ai.onnx" in domains else 0,
        sets.get("ai.onnx.ml", 0) if "ai.onnx.ml" in domains else 0,
        model.ir_version,
    )
    for release, highest in _RELEASES.items():
        if all(have >= need for have, need in zip(highest, needed, strict=True)):
            return f"ONNX Runtime {release}"
    return None


def session_options(threads: int) -> Any:
    """The session options of everything that is opened here."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    return options


def native_session(path: Path, wanted: Any, providers: Sequence[Any] = (_PROVIDER,)) -> Any:
    """ONNX Runtime's own session.

    Args:
        path: The file.
        wanted: Of ``session_options``.
        providers: That may run nodes, the first one that can runs each.

    Raises:
        InputError: It cannot be opened, with ONNX Runtime's reason.
    """
    import onnxruntime

    try:
        # Without the fallback it would open the file on the CPU where a provider does not start, and say so to nobody.
        return onnxruntime.InferenceSession(str(path), wanted, providers=list(providers), enable_fallback=0)
    except Exception as error:
        # ONNX Runtime's errors share no base but this one.
        reason = " ".join(str(error).split())
        raise InputError(f"ONNX Runtime cannot open {path}: {reason}; export the model again") from error


def _optimized(path: Path, threads: int, folder: Path) -> Any:
    """The graph that ONNX Runtime makes of a file, as an ONNX message without its larger tensors.

    It is written by a session of its own, so that writing changes nothing in the one that is timed.
    """
    import onnx

    options = session_options(threads)
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    # Beside the graph, since one message holds no more than 2 GiB.
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "tensors")
    native_session(path, options)
    return onnx.load(folder / "optimized.onnx", load_external_data=False).graph


def optimized_nodes(path: Path) -> list[tuple[str, str]]:
    """Kind and name of every node that ONNX Runtime makes of a file: it fuses, moves and rounds when it opens one.

    Raises:
        InputError: The file cannot be opened, with ONNX Runtime's reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        return [(node.op_type, node.name) for node in _optimized(path, 1, Path(folder)).node]


def wrapped(session: Any, path: Path) -> OnnxRuntimeSession:
    """A session of ONNX Runtime's as one of ours.

    Raises:
        InputError: It has several outputs, or takes or gives what are no numbers.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not inputs or len(outputs) != 1:
        raise InputError(f"expected a model with one output; {path} has {len(outputs)}, and {len(inputs)} inputs")
    for port in (*inputs, outputs[0]):
        if port.type not in _DTYPES:
            raise InputError(f"expected numbers at {port.name!r} of {path}; it takes or gives {port.type}")
    *given, found = _with_steps([_port(one) for one in (*inputs, outputs[0])], path)
    return OnnxRuntimeSession(session, tuple(given), found)


def _with_steps(ports: list[Port], path: Path) -> list[Port]:
    """Integer ports with the scale that their operators hold: ONNX has no place for it at the port itself."""
    if not any("int" in port.dtype for port in ports):
        return ports
    import onnx

    steps = _onnx_ports.steps(onnx.load(path, load_external_data=False).graph)
    return [
        dataclasses.replace(port, scale=steps[port.name].scale, zero_point=steps[port.name].zero_point)
        if "int" in port.dtype
        else port
        for port in ports
    ]


class OnnxRuntimeSession:
    """An open .onnx file. See :class:`optkit.runtimes.Session`."""

    def __init__(self, session: Any, model_inputs: tuple[Port, ...], model_output: Port) -> None:
        self.inputs = model_inputs
        self.output = model_output
        self._run = session.run
        self._names = [self.output.name]
        self._feed: dict[str, np.ndarray] = {}
        self._results: list[np.ndarray] = []

    def to_native(self, images: np.ndarray) -> np.ndarray:
        """Real images float32 [batch, …] to the input's own type and shape."""
        return _ports.to_native(images, self.inputs)

    def from_native(self, outputs: np.ndarray) -> np.ndarray:
        """Native outputs [batch, classes] to float32."""
        return _ports.from_native(outputs, self.output)

    def feed(self, native: np.ndarray) -> None:
        """Take the inputs for the next calls.

        Raises:
            InputError: The model has a fixed batch, and it is another one.
        """
        for port in self.inputs:
            if port.shape and port.shape[0] not in {-1, len(native)}:
                raise InputError(
                    f"the model takes batches of {port.shape[0]}, not {len(native)}; export it with a dynamic batch"
                )
        given = parts(native).values()
        self._feed = {port.name: np.ascontiguousarray(one) for port, one in zip(self.inputs, given, strict=True)}

    def invoke(self) -> None:
        """``InferenceSession.run``, as its users call it: arrays become tensors and back inside (some 5 µs)."""
        self._results = self._run(self._names, self._feed)

    def fetch(self) -> np.ndarray:
        """A copy of the native output [batch, classes]."""
        return _ports.rows(self._results[0].copy())


class OnnxRuntimeRawSession:
    """An open .onnx file, fed and read as it is. See :class:`optkit.runtimes.RawSession`."""

    def __init__(self, session: Any, path: Path) -> None:
        ports = [*session.get_inputs(), *session.get_outputs()]
        for port in ports:
            if port.type not in _RAW_DTYPES:
                raise InputError(f"expected numbers at {port.name!r} of {path}; it takes or gives {port.type}")
        self._session = session
        self.inputs = tuple(_port(one) for one in session.get_inputs())
        self.outputs = tuple(_port(one) for one in session.get_outputs())

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs for one array for each input.

        Raises:
            InputError: The file cannot be run so, with ONNX Runtime's reason.
        """
        named = {port.name: values for port, values in zip(self.inputs, feeds, strict=True)}
        try:
            found: list[np.ndarray] = self._session.run(None, named)
        except Exception as error:
            # ONNX Runtime's errors share no base but this one.
            shapes = [list(values.shape) for values in feeds]
            reason = " ".join(str(error).split())
            raise InputError(f"ONNX Runtime cannot run it at input shapes {shapes}: {reason}") from error
        return found


def _port(node: Any) -> Port:
    return Port(
        name=node.name,
        dtype=_RAW_DTYPES[node.type],
        shape=tuple(d if isinstance(d, int) else -1 for d in node.shape),
        scale=None,
        zero_point=None,
    )
