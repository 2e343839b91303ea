"""Turns a quantized .tflite file into a folder of C, shows that it answers as the reference kernels, and counts."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optkit import codegen, store
from optkit.bundle import _c_folder
from optkit.bundle._c_folder import MARK, Options, Source, Tests
from optkit.codegen import _targets
from optkit.errors import BudgetMissedError, InputError, nearest
from optkit.measure import footprint
from optkit.pipeline import model_file
from optkit.runtimes.litert import REFERENCE_KERNELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.codegen._graph import Graph
    from optkit.report.compiling import Compiling

SUFFIXES = (".tflite",)
_WORKER = "optkit.pipeline.compile_worker"
# What folders to work in are called, before the number of the process.
_WORK = f"{store.TEMPORARY_PREFIX}compile-"


def compile_file(path: Path, out: Path, options: Options) -> Compiling:
    """Write a folder with the C of a file.

    Args:
        path: A ``.tflite`` file, which is not touched.
        out: The folder; it is complete or not there.
        options: See ``Options``.

    Raises:
        InputError: The file is none that code can be generated for, or the folder cannot be written.
        BudgetMissedError: A limit is not met; the folder holds the nearest.
    """
    _check(options)
    model_file.kind(path, suffixes=SUFFIXES, folder=False)
    content = path.read_bytes()
    graph = codegen.read(content, path)
    _check_out(path, out)
    with _beside(out) as scratch:
        folder = Path(scratch) / "made"
        folder.mkdir()
        work = Path(scratch) / "work"
        work.mkdir()
        made = _c_folder.generated(graph, options, work)
        tests = _vectors(path, graph, options.vectors, work)
        record = _c_folder.filled(
            folder, work, Source(path, content, graph), made, options=options, tests=tests, out=out
        )
        _deliver(folder, out)
    missed = _c_folder.missed(record.bytes, options)
    if missed:
        raise BudgetMissedError(f"{path}: {'; '.join(missed)}; {out} holds the nearest, with --prefer {made.prefer}")
    return record


def _check(options: Options) -> None:
    if options.target not in _targets.TARGETS:
        raise InputError(
            f"--target expects a machine, found {options.target!r}: {nearest(options.target, [*_targets.TARGETS])}"
        )
    if options.prefer is not None and options.prefer not in codegen.PREFERENCES:
        raise InputError(f"--prefer: {nearest(options.prefer, [*codegen.PREFERENCES])}")
    if not 1 <= options.vectors <= 1000:
        raise InputError(f"--vectors expects a number from 1 to 1000, found {options.vectors}")
    limited = options.flash is not None or options.ram is not None
    if limited and footprint.compiler_for(options.target) is None:
        target = _targets.TARGETS[options.target]
        raise InputError(
            f"--flash and --ram need a compiler for {options.target} to count with, found none of "
            f"{', '.join(target.compilers)}; install {target.package}"
        )
    if options.ram is not None and not footprint.tells_stack(options.target):
        raise InputError(
            f"--ram needs gcc for {options.target}, which alone tells the stack, found "
            f"{footprint.compiler_for(options.target)}; install {_targets.TARGETS[options.target].package}"
        )


def _beside(out: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder to work in, on the disk that the result goes to; those of killed processes are taken away.

    Raises:
        InputError: None can be made there.
    """
    parent = out.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.glob(f"{_WORK}*"):
            process = left.name.removeprefix(_WORK).partition("-")[0]
            if process.isdigit() and not _alive(int(process)):
                shutil.rmtree(left, ignore_errors=True)
        return tempfile.TemporaryDirectory(prefix=f"{_WORK}{os.getpid()}-", dir=parent)
    except OSError as error:
        raise InputError(
            f"--out expects a folder that can be made, found {out}: {error.strerror}; choose another"
        ) from error


def _alive(process: int) -> bool:
    """Whether a process runs on this machine; what a killed one left behind is cleared away."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _check_out(path: Path, out: Path) -> None:
    """Stop where the folder holds something that is not this command's, or the file itself.

    Raises:
        InputError: It does.
    """
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"--out expects a folder, found a file: {out}; choose another")
        if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
            raise InputError(f"--out expects a new folder or one of optkit compile, found {out}; choose another")
        if out.is_dir() and path.resolve().is_relative_to(out.resolve()):
            raise InputError(f"--out expects a folder apart from the input, found {out}; choose another")
    except OSError as error:
        raise InputError(f"--out expects a folder that can be written, found {out}: {error.strerror}") from error


def _vectors(path: Path, graph: Graph, count: int, work: Path) -> Tests:
    """Random inputs, and what the reference kernels make of them."""
    job = {"file": str(path), "kernels": REFERENCE_KERNELS, "count": count, "seed": 0, "to": str(work)}
    model_file.ask(_WORKER, job, str(path))

    def load(word: str, places: Sequence[int]) -> list[list[np.ndarray]]:
        return [
            [np.load(work / f"{word}-{number}-{place}.npy", allow_pickle=False) for place in range(len(places))]
            for number in range(count)
        ]

    return Tests(load("in", graph.inputs), load("out", graph.outputs))


def _deliver(folder: Path, out: Path) -> None:
    """Put the folder in its place, in one step where none is there yet."""
    if out.is_dir():
        shutil.rmtree(out)
    folder.replace(out)
