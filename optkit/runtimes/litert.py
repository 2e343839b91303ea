"""LiteRT, which runs .tflite files (TensorFlow Lite's runtime in a package of its own)."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.data._inputs import parts
from optkit.errors import InputError
from optkit.readback import Port
from optkit.runtimes import _operators, _ports
from optkit.schema import RuntimeFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optkit.readback import ModelFacts
    from optkit.schema import OperatorFigures

SUMMARY = "LiteRT's interpreter with its XNNPACK delegate; models with one output."
SOURCE = "https://ai.google.dev/edge/litert"
FORMAT = "tflite"
KERNELS = ("XNNPACK", "LiteRT's own kernels")
# Plain loops, one for each operator, that others are held against; slow, so that no file is run by them by default.
REFERENCE_KERNELS = "LiteRT's reference kernels"

_STDERR = 2
# Release of TensorFlow Lite that brought an operator's kernel for int16 activations (which version of it that is:
# tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc, and its release: runtime_version.cc beside it).
_INT16_SINCE = {
    "ADD": "2.4.0",
    "AVERAGE_POOL_2D": "2.3.0",
    "CONCATENATION": "2.3.0",
    "CONV_2D": "2.3.0",
    "DEPTHWISE_CONV_2D": "2.3.0",
    "FULLY_CONNECTED": "2.3.0",
    "MAX_POOL_2D": "2.3.0",
    "MEAN": "2.4.0",
    "MUL": "2.3.0",
    "PAD": "2.4.0",
    "RESHAPE": "1.5.0",
    "SOFTMAX": "2.3.0",
}
# Their kernels of that release take biases of int64 only.
_INT16_WITH_BIAS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
# What the interpreter calls a node that a delegate has put in the place of others.
_DELEGATE = "DELEGATE"


def version() -> str:
    """Version of the installed package."""
    from importlib.metadata import version as installed

    return installed("ai-edge-litert")


def open_model(path: Path, *, threads: int = 1, reference_kernels: bool = False) -> LiteRTSession:
    """Open a file, with room for batch 1.

    Args:
        path: The ``.tflite`` file.
        threads: Threads of the kernels.
        reference_kernels: Run LiteRT's plain kernels in place of XNNPACK's. The two differ by one step, so
            the default is pinned and this is for finding out which of them is at fault.

    Raises:
        InputError: The file cannot be opened, with LiteRT's reason.
    """
    from ai_edge_litert.interpreter import OpResolverType

    resolver = OpResolverType.BUILTIN_REF if reference_kernels else OpResolverType.BUILTIN
    interpreter = _opened(path, resolver, threads)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if not inputs or len(outputs) != 1:
        raise InputError(f"expected a model with one output; {path} has {len(outputs)}, and {len(inputs)} inputs")
    return LiteRTSession(interpreter, inputs, outputs[0])


def open_raw(path: Path, kernels: str) -> LiteRTRawSession:
    """Open a file to be fed and read as it is. See :mod:`optkit.runtimes`.

    Raises:
        InputError: The file cannot be opened, with LiteRT's reason.
    """
    from ai_edge_litert.interpreter import OpResolverType

    resolvers = {
        KERNELS[0]: OpResolverType.BUILTIN,
        KERNELS[1]: OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        REFERENCE_KERNELS: OpResolverType.BUILTIN_REF,
    }
    return LiteRTRawSession(_opened(path, resolvers[kernels], 1))


def _opened(path: Path, resolver: Any, threads: int) -> Any:
    """An interpreter with its tensors allocated."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        # From bytes, not by name: LiteRT maps the file, and a file replaced while mapped ends the process.
        content = Path(path).read_bytes()
        if not content:
            raise InputError(f"expected a .tflite file at {path}, found an empty one; export the model again")
        with _without_notices():
            interpreter = Interpreter(
                model_content=content, num_threads=threads, experimental_op_resolver_type=resolver
            )
            interpreter.allocate_tensors()
    except OSError as error:
        raise InputError(f"expected a .tflite file at {path}; it cannot be read: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"LiteRT cannot open {path}: {reason}; export the model again") from error
    return interpreter


def profile(
    path: Path, file: ModelFacts, images: np.ndarray | None, *, threads: int, batch: int, seconds: float
) -> tuple[list[OperatorFigures], RuntimeFacts]:
    """The operators of a file, and which of them XNNPACK took. See :mod:`optkit.runtimes`.

    There are no times: neither LiteRT's Python interpreter nor the ``litert-benchmark`` in its package has a profile
    of operators (2.3), so ``seconds`` are not used. The file is run once, to see that it can be.
    """
    del seconds
    session = open_model(path, threads=threads)
    pictures = _ports.generated(session.inputs, batch) if images is None else images[:batch]
    session.feed(session.to_native(pictures))
    session.invoke()
    delegated = session.delegated_nodes()
    facts = RuntimeFacts(
        least_version=least_version(path, file),
        optimization="XNNPACK delegate" if delegated else "LiteRT's own kernels (XNNPACK took no operator)",
        nodes=len(file.operators),
        delegated_nodes=delegated,
    )
    return _operators.listed(file), facts


def least_version(path: Path, file: ModelFacts) -> str | None:
    """Least runtime that has all operators of a file, as its converter noted in ``min_runtime_version``.

    Returns:
        Such as ``TensorFlow Lite 2.3.0``: the converter counts in TensorFlow's releases, where LiteRT comes from.
        ``None`` where nothing is noted. With int16 activations the note is too low: the converter (2.21) makes it
        before it quantizes to int16, so that the release that brought these kernels counts as well; ``None`` where one
        of them is not listed here.
    """
    noted = _noted_version(path)
    wide = [operator for operator in file.operators if "int16" in operator.input_dtypes]
    narrow_bias = any(operator.kind in _INT16_WITH_BIAS and "int32" in operator.input_dtypes for operator in wide)
    if noted is None or narrow_bias or not {operator.kind for operator in wide} <= _INT16_SINCE.keys():
        return None
    least = max([noted, *(_INT16_SINCE[operator.kind] for operator in wide)], key=_release)
    return f"TensorFlow Lite {least}"


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _noted_version(path: Path) -> str | None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    for position in range(model.MetadataLength()):
        note = model.Metadata(position)
        if note.Name() == b"min_runtime_version":
            buffer = model.Buffers(note.Buffer())
            if buffer.DataLength():
                # The converter pads the text with zeros, and leaves all zeros where it knows of no version.
                text = buffer.DataAsNumpy().tobytes().rstrip(b"\0").decode("ascii", "replace")
                return text or None
    return None


@contextmanager
def _without_notices() -> Iterator[None]:
    """Hold back what LiteRT's C++ code writes to the terminal; lines that are no notices follow afterwards.

    The logger has no switch that Python reaches, so the file descriptor is turned aside while a model opens.
    """
    with tempfile.TemporaryFile() as held:
        saved = os.dup(_STDERR)
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
            held.seek(0)
            rest = b"".join(line for line in held if not line.startswith(b"INFO:"))
            if rest:
                os.write(_STDERR, rest)


class LiteRTSession:
    """An open .tflite file. See :class:`optkit.runtimes.Session`; ports have -1 for a dynamic batch."""

    def __init__(self, interpreter: Any, model_inputs: list[dict[str, Any]], model_output: dict[str, Any]) -> None:
        self.inputs = tuple(_port(one) for one in model_inputs)
        self.output = _port(model_output)
        self._interpreter = interpreter
        self._indices = [int(one["index"]) for one in model_inputs]
        self._output_index = int(model_output["index"])
        self._shapes = [tuple(int(d) for d in one["shape"]) for one in model_inputs]
        # Bound once: what is timed is one attribute look-up and the interpreter's own method.
        self.invoke = interpreter.invoke

    def to_native(self, images: np.ndarray) -> np.ndarray:
        """Real images float32 [batch, …] to the input's own type and shape."""
        return _ports.to_native(images, self.inputs)

    def from_native(self, outputs: np.ndarray) -> np.ndarray:
        """Native outputs [batch, classes] to float32."""
        return _ports.from_native(outputs, self.output)

    def feed(self, native: np.ndarray) -> None:
        """Copy the inputs in, resizing where a shape differs.

        Raises:
            InputError: The model cannot run at this shape, with LiteRT's reason.
        """
        inputs = list(parts(native).values())
        shapes = [one.shape for one in inputs]
        if shapes != self._shapes:
            try:
                for index, shape in zip(self._indices, shapes, strict=True):
                    self._interpreter.resize_tensor_input(index, shape)
                with _without_notices():
                    self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                listed = ", ".join(str(list(shape)) for shape in shapes)
                raise InputError(f"LiteRT cannot run the model at input shape {listed}: {reason}") from error
            self._shapes = shapes
        for index, one in zip(self._indices, inputs, strict=True):
            self._interpreter.set_tensor(index, np.ascontiguousarray(one))

    def fetch(self) -> np.ndarray:
        """A copy of the native output [batch, classes]."""
        return _ports.rows(self._interpreter.get_tensor(self._output_index))

    def delegated_nodes(self) -> int:
        """How many operators of the main graph XNNPACK took.

        The interpreter keeps them in its list and appends a node for each group that was taken; who is in the group is
        found from that node's outputs, back to its inputs.
        """
        nodes = self._interpreter._get_ops_details()  # noqa: SLF001  # nothing public lists the nodes
        makers = {
            int(tensor): node["index"] for node in nodes if node["op_name"] != _DELEGATE for tensor in node["outputs"]
        }
        taken: set[int] = set()
        for group in (node for node in nodes if node["op_name"] == _DELEGATE):
            given = {int(tensor) for tensor in group["inputs"]}
            left = [int(tensor) for tensor in group["outputs"]]
            while left:
                maker = makers.get(left.pop())
                if maker is not None and maker not in taken:
                    taken.add(maker)
                    left += [int(tensor) for tensor in nodes[maker]["inputs"] if int(tensor) not in given]
        return len(taken)


class LiteRTRawSession:
    """An open .tflite file, fed and read as it is. See :class:`optkit.runtimes.RawSession`."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        details = interpreter.get_input_details()
        self.inputs = tuple(_port(one) for one in details)
        self.outputs = tuple(_port(one) for one in interpreter.get_output_details())
        self._places = [int(one["index"]) for one in details]
        self._shapes = [tuple(int(d) for d in one["shape"]) for one in details]

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs for one array for each input; inputs are resized where their shapes differ.

        Raises:
            InputError: The file cannot be run so, with LiteRT's reason.
        """
        wanted = [one.shape for one in feeds]
        try:
            if wanted != self._shapes:
                for place, shape in zip(self._places, wanted, strict=True):
                    self._interpreter.resize_tensor_input(place, shape)
                with _without_notices():
                    self._interpreter.allocate_tensors()
                self._shapes = wanted
            for place, values in zip(self._places, feeds, strict=True):
                self._interpreter.set_tensor(place, values)
            self._interpreter.invoke()
            return [
                np.array(self._interpreter.get_tensor(int(one["index"])))
                for one in self._interpreter.get_output_details()
            ]
        except (ValueError, RuntimeError) as error:
            shapes = [list(shape) for shape in wanted]
            raise InputError(
                f"LiteRT cannot run it at input shapes {shapes}: {' '.join(str(error).split())}"
            ) from error


def _port(details: dict[str, Any]) -> Port:
    quantization = details["quantization_parameters"]
    quantized = len(quantization["scales"]) == 1
    return Port(
        name=details["name"],
        dtype=np.dtype(details["dtype"]).name,
        shape=tuple(int(d) for d in details["shape_signature"]),
        scale=float(quantization["scales"][0]) if quantized else None,
        zero_point=int(quantization["zero_points"][0]) if quantized else None,
    )
