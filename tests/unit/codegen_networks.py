"""Holds generated C against LiteRT's built-in reference kernels: many networks in one shared library."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tflite_networks
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from optkit import codegen, registry

if TYPE_CHECKING:
    from pathlib import Path

KINDS = [name.replace("-", "_") for name in registry.names("codegen")]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wpedantic", "-Wshadow", "-Werror"]
# As `speed`, for machines with wide registers.
LANES = "lanes"
COMPILER = shutil.which("gcc") or shutil.which("cc")


@dataclass(frozen=True)
class Case:
    """A network, what it is fed and what the reference kernels make of that."""

    name: str
    kinds: tuple[str, ...]
    graph: Any
    feeds: tuple[tuple[np.ndarray, ...], ...]
    answers: tuple[tuple[np.ndarray, ...], ...]


def interpreter(content: bytes) -> Any:
    """LiteRT with its reference kernels and no delegate."""
    opened = Interpreter(model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    opened.allocate_tensors()
    return opened


def answers(opened: Any, feed: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """What LiteRT makes of one array for each input."""
    for details, one in zip(opened.get_input_details(), feed, strict=True):
        opened.set_tensor(details["index"], one)
    opened.invoke()
    return tuple(np.array(opened.get_tensor(one["index"])) for one in opened.get_output_details())


def feed(opened: Any, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Random values of each input's own type."""
    made = []
    for details in opened.get_input_details():
        shape, dtype = tuple(details["shape"]), np.dtype(details["dtype"])
        if dtype == np.float32:
            made.append(random.normal(0, 3, shape).astype(np.float32))
        else:
            limits = np.iinfo(dtype)
            made.append(random.integers(limits.min, limits.max + 1, shape).astype(dtype))
    return tuple(made)


def cases(seed: int, count: int, kinds: list[str], *, inputs: int = 3) -> list[Case]:
    """Random networks of these operators with their answers."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        content, used = tflite_networks.network(random, kinds)
        opened = interpreter(content)
        feeds = tuple(feed(opened, random) for _ in range(inputs))
        graph = codegen.read(content, f"network {number}")
        made = tuple(answers(opened, one) for one in feeds)
        found.append(Case(f"net{seed}_{number}", tuple(used), graph, feeds, made))
    return found


def start_compiler(source: Path, flags: list[str]) -> subprocess.Popen[str]:
    """Compile a C file to a shared library beside it."""
    command = [str(COMPILER), *STRICT, *flags, "-shared", "-fPIC", str(source), "-o", str(source.with_suffix(".so"))]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def differing(
    groups: list[tuple[list[Case], str]], folder: Path, *, flags: tuple[str, ...] = ("-O1",), change: Any = None
) -> list[str]:
    """Networks whose C answers otherwise than LiteRT, each with its operators.

    Args:
        groups: Networks that share a C file, and what the file is to prefer, or `LANES`.
        folder: For the files.
        flags: For the compiler.
        change: Takes and returns the text of a file, to break it on purpose.
    """
    waiting = []
    for number, (group, prefer) in enumerate(groups):
        lanes = 32 if prefer == LANES else 1
        preferred: Any = "speed" if prefer == LANES else prefer
        unit = codegen.generate([(case.name, case.graph) for case in group], prefer=preferred, lanes=lanes)
        source = folder / f"group{number}.c"
        # Each function is declared where it is defined, which -Wmissing-prototypes is not asked about.
        source.write_text(unit.text if change is None else change(unit.text))
        waiting.append((source, group))
    running: list[tuple[Path, Any]] = []
    for source, _ in waiting:
        if len(running) >= (os.cpu_count() or 1):
            _finish(*running.pop(0))
        running.append((source, start_compiler(source, list(flags))))
    for one in running:
        _finish(*one)
    wrong = []
    for source, group in waiting:
        library = ctypes.CDLL(str(source.with_suffix(".so")))
        wrong += [f"{case.name}: {', '.join(case.kinds)}" for case in group if not _same(library, case)]
    return wrong


def _finish(source: Path, process: subprocess.Popen[str]) -> None:
    _, said = process.communicate()
    assert process.returncode == 0, f"{source}: {said[:2000]}"


def _same(library: ctypes.CDLL, case: Case) -> bool:
    function = getattr(library, f"{case.name}_invoke")
    for given, wanted in zip(case.feeds, case.answers, strict=True):
        made = [np.full_like(one, 77) for one in wanted]
        returned = function(*[ctypes.c_void_p(one.ctypes.data) for one in (*given, *made)])
        if returned != 0 or any(not np.array_equal(one, other) for one, other in zip(made, wanted, strict=True)):
            return False
    return True
