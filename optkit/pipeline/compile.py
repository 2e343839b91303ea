"""Turns a quantized .tflite file into a folder of C, shows that it answers as the reference kernels, and counts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optkit import codegen, store
from optkit.codegen import _project, _targets
from optkit.errors import BudgetMissedError, InputError, nearest
from optkit.measure import footprint
from optkit.pipeline import model_file
from optkit.report import compiling
from optkit.report.compiling import Bytes, Compiling, Place
from optkit.runtimes.litert import REFERENCE_KERNELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.codegen import Unit, _plan
    from optkit.codegen._graph import Graph
    from optkit.codegen._writing import Prefer

SUFFIXES = (".tflite",)
_WORKER = "optkit.pipeline.compile_worker"
_PREFIX = "model"
_MARK = "compile.json"
# Of a large network on a busy machine.
_SECONDS = 600
# A thread has 8 MiB of stack on most systems with one.
_MOST_STACK_BYTES = 4 * 2**20
# What a limit that is not met is tried with, where the user did not say what to prefer.
_TRIED: tuple[Prefer, ...] = ("ram", "flash")


@dataclass(frozen=True)
class Options:
    """What ``optkit compile`` takes.

    ``flash`` and ``ram`` are limits in bytes; ``prefer`` is ``None`` where the user left it open.
    """

    target: str = "c99"
    prefer: Prefer | None = None
    vectors: int = 8
    caller_arena: bool = False
    flash: int | None = None
    ram: int | None = None


class _Made(NamedTuple):
    unit: Unit
    counted: footprint.Footprint | None
    prefer: Prefer


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
    with tempfile.TemporaryDirectory(prefix=f"{store.TEMPORARY_PREFIX}{os.getpid()}-", dir=_parent(out)) as scratch:
        folder = Path(scratch) / "made"
        folder.mkdir()
        work = Path(scratch) / "work"
        work.mkdir()
        made = _generated(graph, options, work)
        feeds, answers = _vectors(path, graph, options.vectors, work)
        _write(folder, graph, made, options, (feeds, answers))
        (folder / "model.tflite").write_bytes(content)
        different = len({b"".join(one.tobytes() for one in answer) for answer in answers})
        tested = _tested(folder, work / f"{_PREFIX}-{made.prefer}-c99.o", options.vectors, different)
        record = _record(path, out, graph, made, options=options, tested=tested)
        (folder / "report.md").write_text(compiling.page(record), encoding="utf-8")
        (folder / _MARK).write_bytes(compiling.to_json(record))
        _deliver(folder, out)
    missed = _missed(record.bytes, options)
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


def _parent(out: Path) -> Path:
    parent = out.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out expects a folder that can be made, found {out}: {error.strerror}; choose another"
        ) from error
    return parent


def _check_out(path: Path, out: Path) -> None:
    """Stop where the folder holds something that is not this command's, or the file itself.

    Raises:
        InputError: It does.
    """
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"--out expects a folder, found a file: {out}; choose another")
        if out.is_dir() and any(out.iterdir()) and not (out / _MARK).is_file():
            raise InputError(f"--out expects a new folder or one of optkit compile, found {out}; choose another")
        if out.is_dir() and path.resolve().is_relative_to(out.resolve()):
            raise InputError(f"--out expects a folder apart from the input, found {out}; choose another")
    except OSError as error:
        raise InputError(f"--out expects a folder that can be written, found {out}: {error.strerror}") from error


def _generated(graph: Graph, options: Options, work: Path) -> _Made:
    """The C file and what it takes; of several ways the first within the limits, else the nearest."""
    found: list[tuple[int, int, _Made]] = []
    limited = options.flash is not None or options.ram is not None
    tried = (options.prefer,) if options.prefer else _TRIED if limited else _TRIED[:1]
    for number, prefer in enumerate(tried):
        unit = codegen.generate(
            [(_PREFIX, graph)],
            prefer=prefer,
            caller_arena=options.caller_arena,
            lanes=_targets.lanes(options.target, prefer),
        )
        arena = unit.plans[0].arena
        if arena > _MOST_STACK_BYTES and not options.caller_arena:
            raise InputError(f"the activations take {arena:,} bytes, too many for a stack; give --arena caller")
        source = work / f"{_PREFIX}-{prefer}.c"
        source.write_text(unit.text, encoding="utf-8")
        counted = footprint.measure(source, options.target, prefer, f"{_PREFIX}_invoke")
        made = _Made(unit, counted, prefer)
        found.append((_excess(_bytes(graph, made, options), options), number, made))
    return min(found, key=lambda one: one[:2])[2]


def _vectors(path: Path, graph: Graph, count: int, work: Path) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """Random inputs, and what the reference kernels make of them."""
    job = {"file": str(path), "kernels": REFERENCE_KERNELS, "count": count, "seed": 0, "to": str(work)}
    model_file.ask(_WORKER, job, str(path))

    def load(word: str, places: Sequence[int]) -> list[list[np.ndarray]]:
        return [
            [np.load(work / f"{word}-{number}-{place}.npy", allow_pickle=False) for place in range(len(places))]
            for number in range(count)
        ]

    return load("in", graph.inputs), load("out", graph.outputs)


def _write(
    folder: Path,
    graph: Graph,
    made: _Made,
    options: Options,
    tests: tuple[list[list[np.ndarray]], list[list[np.ndarray]]],
) -> None:
    target = _targets.TARGETS[options.target]
    flags = _targets.flags(options.target, made.prefer)
    texts = {
        f"{_PREFIX}.c": made.unit.text,
        f"{_PREFIX}.h": codegen.header(graph, made.unit, _PREFIX, caller_arena=options.caller_arena),
        "test_vectors.h": _project.vectors(graph, _PREFIX, *tests),
        "main.c": _project.self_test(graph, _PREFIX, caller_arena=options.caller_arena),
        "Makefile": _project.makefile(_PREFIX, flags, target.compilers[0]),
        "CMakeLists.txt": _project.cmake(_PREFIX),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _tested(folder: Path, built: Path, vectors: int, different: int) -> str:
    """Build and run the self-test on this machine, where it has a compiler.

    Raises:
        InputError: An answer differs, which is a defect of the generator.
    """
    compiler = footprint.compiler_for("c99")
    if compiler is None:
        return f"The self-test was not run: this machine has no C compiler (install {_targets.TARGETS['c99'].package})."
    program = built.with_name("self_test")
    # What was compiled to be counted is run, where it is for this machine.
    network = built if built.is_file() else folder / f"{_PREFIX}.c"
    command = [compiler, "-std=c99", "-O1", *footprint.WARNINGS, f"-I{folder}", str(folder / "main.c"), str(network)]
    try:
        linked = subprocess.run(
            [*command, "-o", str(program)], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        if linked.returncode or linked.stderr:
            raise InputError(f"{compiler} does not take the generated code: {' '.join(linked.stderr.split())[:500]}")
        done = subprocess.run([str(program)], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"the self-test cannot be run: {error}") from error
    if done.returncode:
        raise InputError(
            f"the generated code answers otherwise than LiteRT's reference kernels: {done.stdout.strip()}; nothing was "
            "written, please report the file"
        )
    return (
        f"On this machine {vectors} of {vectors} random inputs have the answers of LiteRT's reference kernels, bit for "
        f"bit ({different} different answers)."
    )


def _bytes(graph: Graph, made: _Made, options: Options) -> Bytes:
    given, answered = (sum(graph.tensors[index].size for index in ends) for ends in (graph.inputs, graph.outputs))
    arena, counted = made.unit.plans[0].arena, made.counted
    if counted is None:
        none = None
        return Bytes(
            none, made.unit.weight_bytes, made.unit.other_bytes, none, arena, none, given, answered, none, none
        )
    stack = counted.stack_bytes
    return Bytes(
        code_bytes=counted.code_bytes,
        weight_bytes=made.unit.weight_bytes,
        constant_bytes=max(0, counted.constant_bytes - made.unit.weight_bytes),
        data_bytes=counted.data_bytes,
        arena_bytes=arena,
        stack_bytes=stack,
        input_bytes=given,
        output_bytes=answered,
        flash_bytes=counted.code_bytes + counted.constant_bytes + counted.data_bytes,
        ram_bytes=None
        if stack is None
        else stack + counted.data_bytes + given + answered + (arena if options.caller_arena else 0),
    )


def _excess(found: Bytes, options: Options) -> int:
    """Bytes over the limits, in all."""
    pairs = ((found.flash_bytes, options.flash), (found.ram_bytes, options.ram))
    return sum(max(0, used - limit) for used, limit in pairs if used is not None and limit is not None)


def _missed(found: Bytes, options: Options) -> list[str]:
    words = []
    for name, used, limit in (("--flash", found.flash_bytes, options.flash), ("--ram", found.ram_bytes, options.ram)):
        if limit is not None and used is not None and used > limit:
            words.append(f"{name} {limit:,} is missed by {used - limit:,} bytes ({used:,} are needed)")
    return words


def _record(path: Path, out: Path, graph: Graph, made: _Made, *, options: Options, tested: str) -> Compiling:
    plan, steps = made.unit.plans[0], made.unit.steps[0]
    places = [
        Place(graph.tensors[one.owner].name or f"tensor {one.owner}", *_where(one)) for one in plan.buffers.values()
    ]
    kinds = {node.position: node.kind for node in graph.nodes}
    places += [Place(f"scratch of {kinds[one.stage]}", *_where(one)) for one in plan.scratch.values()]
    notes = []
    if made.counted is None:
        target = _targets.TARGETS[options.target]
        notes.append(f"code and stack were not counted: no compiler for {options.target}; install {target.package}")
    return Compiling(
        schema_version=compiling.SCHEMA_VERSION,
        path=str(path),
        out=str(out),
        sha256=store.sha256_file(path),
        target=options.target,
        prefer=made.prefer,
        arena="caller" if options.caller_arena else "stack",
        compiler=None if made.counted is None else made.counted.compiler,
        flags=[] if made.counted is None else [*made.counted.flags],
        operators=[node.kind for node in graph.nodes],
        macs=sum(step.macs for step in steps),
        stages=[", ".join(step.node.kind for step in stage) for stage in plan.stages],
        places=places,
        kernels=[*made.unit.kernels],
        bytes=_bytes(graph, made, options),
        vectors=options.vectors,
        tested=tested,
        notes=notes,
    )


def _where(one: _plan.Buffer) -> tuple[int, int, int, int, int]:
    return one.offset, one.size, one.first, one.last, one.rows


def _deliver(folder: Path, out: Path) -> None:
    """Put the folder in its place, in one step where none is there yet."""
    if out.is_dir():
        shutil.rmtree(out)
    folder.replace(out)
