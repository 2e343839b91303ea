"""The C that ``optkit compile`` makes, compiled for this machine by its own compiler."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import codegen
from optkit.codegen import _targets
from optkit.data._inputs import parts
from optkit.errors import InputError
from optkit.readback import Port
from optkit.readback import c as readback_c
from optkit.runtimes import _ports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.codegen._graph import Graph, Tensor

SUMMARY = "C made by optkit compile, built with this machine's C compiler when it is opened; one thread."
SOURCE = "optkit compile"
FORMAT = "c"
KERNELS = ("generated C",)

_PREFIX = "model"
_SECONDS = 120


@cache
def compiler() -> str | None:
    """Path of the system's C compiler, ``None`` where there is none."""
    return next((found for name in _targets.TARGETS["c99"].compilers if (found := shutil.which(name))), None)


@cache
def version() -> str:
    """Version of the compiler, ``0`` where there is none."""
    found = compiler()
    if found is None:
        return "0 (no C compiler)"
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False).stdout
    numbers = re.findall(r"\d+\.\d+(?:\.\d+)?", said.partition("\n")[0])
    return numbers[-1] if numbers else "0"


def open_model(path: Path, *, threads: int = 1) -> CSession:
    """Build a C file and open it.

    Only C that is exactly what the generator makes of the .tflite file beside it is built: code from elsewhere is
    never run.

    Args:
        path: The ``.c`` file in a folder that ``optkit compile`` wrote.
        threads: The code has one thread; the number is not used.

    Raises:
        InputError: There is no compiler, or the file is not what the generator makes.
    """
    del threads
    graph, function, kept = _opened(path)
    if len(graph.outputs) != 1:
        raise InputError(f"expected a model with one output; {path} has {len(graph.outputs)}")
    return CSession(graph, function, kept)


def open_raw(path: Path, kernels: str) -> CRawSession:
    """Open a file to be fed and read as it is. See :mod:`optkit.runtimes`.

    Raises:
        InputError: As ``open_model``.
    """
    del kernels
    return CRawSession(*_opened(path))


def _opened(path: Path) -> tuple[Graph, Callable[..., int], object]:
    """The network, its function with pointers as arguments, and what must be kept as long as that is used."""
    found = compiler()
    if found is None:
        raise InputError(
            f"{path} cannot be built: this machine has no C compiler; install {_targets.TARGETS['c99'].package} or "
            "another"
        )
    graph, text, options = _checked(path)
    with tempfile.TemporaryDirectory(prefix="optkit-c-") as scratch:
        source, library = Path(scratch) / "model.c", Path(scratch) / "model.so"
        source.write_text(text, encoding="utf-8")
        flags = [*_targets.flags("c99", options["prefer"]), "-march=native", "-shared", "-fPIC"]
        command = [found, *flags, str(source), "-o", str(library)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            if done.returncode and "-march=native" in done.stderr:
                command.remove("-march=native")
                done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"{found} cannot build {path}: {error}") from error
        if done.returncode:
            raise InputError(f"{found} cannot build {path}: {' '.join(done.stderr.split())[:300]}")
        opened = ctypes.CDLL(str(library))
    function = getattr(opened, f"{_PREFIX}_invoke")
    arena = np.zeros(1, np.int8)
    if options["arena"] == "caller":
        arena = np.zeros(options["arena_bytes"] + 1, np.int8)
        inner, place = function, ctypes.c_void_p(arena.ctypes.data)

        def with_arena(*pointers: ctypes.c_void_p) -> int:
            return int(inner(*pointers, place))

        return graph, with_arena, (opened, arena)
    return graph, function, (opened, arena)


def _checked(path: Path) -> tuple[Graph, str, dict[str, Any]]:
    """The network, its C and how that was made, where the C is what the generator makes.

    Raises:
        InputError: It is not.
    """
    content = readback_c.source(path).read_bytes()
    try:
        text = path.read_text(encoding="utf-8")
        told = json.loads(path.with_name("compile.json").read_text(encoding="utf-8"))
        options = {name: told[name] for name in ("target", "prefer", "arena")}
        options["arena_bytes"] = told["bytes"]["arena_bytes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"expected a folder of optkit compile around {path}: {error}; compile it again") from error
    if options["prefer"] not in codegen.PREFERENCES:
        raise InputError(f"expected a folder of optkit compile around {path}; compile it again")
    graph = codegen.read(content, path)
    unit = codegen.generate(
        [(_PREFIX, graph)],
        prefer=options["prefer"],
        caller_arena=options["arena"] == "caller",
        lanes=_targets.lanes(options["target"], options["prefer"]),
    )
    if unit.text != text:
        raise InputError(
            f"{path} is not what optkit compile makes of {path.with_suffix('.tflite').name}: it was changed, or made "
            "by another version; only generated code is run, compile it again"
        )
    return graph, text, options


def _port(tensor: Tensor) -> Port:
    quantized = len(tensor.scales) == 1
    return Port(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=(-1, *tensor.shape[1:]),
        scale=tensor.scales[0] if quantized else None,
        zero_point=tensor.zero_points[0] if quantized else None,
    )


class CSession:
    """Generated C, built and loaded. See :class:`optkit.runtimes.Session`; a batch is run one by one."""

    def __init__(self, graph: Graph, function: Callable[..., int], kept: object) -> None:
        self.inputs = tuple(_port(graph.tensors[index]) for index in graph.inputs)
        self.output = _port(graph.tensors[graph.outputs[0]])
        self._shape = graph.tensors[graph.outputs[0]].shape
        self._function, self._kept = function, kept
        self._given: list[np.ndarray] = []
        self._made = np.zeros(0, np.int8)
        self._calls: list[list[ctypes.c_void_p]] = []

    def to_native(self, images: np.ndarray) -> np.ndarray:
        """Real images float32 [batch, …] to the input's own type and shape."""
        return _ports.to_native(images, self.inputs)

    def from_native(self, outputs: np.ndarray) -> np.ndarray:
        """Native outputs [batch, classes] to float32."""
        return _ports.from_native(outputs, self.output)

    def feed(self, native: np.ndarray) -> None:
        """Keep the inputs, and note where each call finds its own.

        Raises:
            InputError: Their shape or type is not the model's.
        """
        self._given = [np.array(one, order="C") for one in parts(native).values()]
        for one, port in zip(self._given, self.inputs, strict=True):
            if one.dtype != port.dtype or one.shape[1:] != port.shape[1:]:
                raise InputError(f"expected {port.dtype} {list(port.shape)}, found {one.dtype} {list(one.shape)}")
        count = len(self._given[0])
        self._made = np.zeros((count, *self._shape[1:]), self.output.dtype)
        arrays = [*self._given, self._made]
        self._calls = [[_pointer(one, row) for one in arrays] for row in range(count)]

    def invoke(self) -> None:
        """Run the model once."""
        for call in self._calls:
            self._function(*call)

    def fetch(self) -> np.ndarray:
        """A copy of the native output [batch, classes]."""
        return _ports.rows(self._made.copy())


class CRawSession:
    """Generated C, fed and read as it is. See :class:`optkit.runtimes.RawSession`."""

    def __init__(self, graph: Graph, function: Callable[..., int], kept: object) -> None:
        self.inputs = tuple(_port(graph.tensors[index]) for index in graph.inputs)
        self.outputs = tuple(_port(graph.tensors[index]) for index in graph.outputs)
        self._shapes = [graph.tensors[index].shape for index in graph.outputs]
        self._function, self._kept = function, kept

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs for one array for each input, one after the other.

        Raises:
            InputError: Their shape or type is not the model's.
        """
        given = [np.ascontiguousarray(one) for one in feeds]
        for one, port in zip(given, self.inputs, strict=True):
            if one.dtype != port.dtype or one.shape[1:] != port.shape[1:]:
                raise InputError(f"expected {port.dtype} {list(port.shape)}, found {one.dtype} {list(one.shape)}")
        count = len(given[0])
        made = [
            np.zeros((count, *shape[1:]), port.dtype) for shape, port in zip(self._shapes, self.outputs, strict=True)
        ]
        for row in range(count):
            self._function(*[_pointer(one, row) for one in (*given, *made)])
        return made


def _pointer(array: np.ndarray, row: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data + row * (array.nbytes // len(array)))
