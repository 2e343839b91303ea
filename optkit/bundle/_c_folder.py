"""The folder of C that ``optkit compile`` and the bundles for microcontrollers write: made, counted, tried, told of."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from optkit import codegen
from optkit.codegen import _project, _targets
from optkit.errors import InputError
from optkit.measure import footprint
from optkit.report import compiling, compiling_svg
from optkit.report.compiling import Bytes, Compiling, Place

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from optkit.codegen import Unit, _plan
    from optkit.codegen._graph import Graph
    from optkit.codegen._writing import Prefer

PREFIX = "model"
# What the folder is known by.
MARK = "compile.json"
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


class Source(NamedTuple):
    """The file that C is made of."""

    path: Path
    content: bytes
    graph: Graph


class Tests(NamedTuple):
    """Test vectors: for each an array for each input, and for each output of the reference kernels."""

    feeds: list[list[np.ndarray]]
    answers: list[list[np.ndarray]]
    what: str = "random inputs"


class Made(NamedTuple):
    """C, and what it takes where a compiler for the target is installed."""

    unit: Unit
    counted: footprint.Footprint | None
    prefer: Prefer


def generated(graph: Graph, options: Options, work: Path) -> Made:
    """The C file and what it takes; of several ways the first within the limits, else the nearest."""
    found: list[tuple[int, int, Made]] = []
    limited = options.flash is not None or options.ram is not None
    tried = (options.prefer,) if options.prefer else _TRIED if limited else _TRIED[:1]
    for number, prefer in enumerate(tried):
        unit = codegen.generate(
            [(PREFIX, graph)],
            prefer=prefer,
            caller_arena=options.caller_arena,
            lanes=_targets.lanes(options.target, prefer),
        )
        arena = unit.plans[0].arena
        if arena > _MOST_STACK_BYTES and not options.caller_arena:
            raise InputError(f"the activations take {arena:,} bytes, too many for a stack; give --arena caller")
        source = work / f"{PREFIX}-{prefer}.c"
        source.write_text(unit.text, encoding="utf-8")
        counted = footprint.measure(source, options.target, prefer, f"{PREFIX}_invoke")
        made = Made(unit, counted, prefer)
        found.append((_excess(bytes_of(graph, made, options), options), number, made))
    return min(found, key=lambda one: one[:2])[2]


def filled(
    folder: Path, work: Path, source: Source, made: Made, *, options: Options, tests: Tests, out: Path
) -> Compiling:
    """Write everything into an empty folder, and try it on this machine.

    Args:
        folder: The folder.
        work: Where ``generated`` left what it compiled.
        source: The file.
        made: Its C.
        options: What was asked for.
        tests: Inputs, and what the reference kernels make of them.
        out: What the folder will be called.

    Raises:
        InputError: An answer differs, which is a defect of the generator.
    """
    _write(folder, source.graph, made, options, tests)
    (folder / f"{PREFIX}.tflite").write_bytes(source.content)
    told = _tested(folder, work / f"{PREFIX}-{made.prefer}-c99.o", tests)
    record = _record(source, out, made, options=options, tested=told, vectors=len(tests.feeds))
    (folder / "report.md").write_text(compiling.page(record), encoding="utf-8")
    (folder / "memory.svg").write_text(compiling_svg.drawing(record), encoding="utf-8")
    (folder / MARK).write_bytes(compiling.to_json(record))
    return record


def _write(folder: Path, graph: Graph, made: Made, options: Options, tests: Tests) -> None:
    target = _targets.TARGETS[options.target]
    flags = _targets.flags(options.target, made.prefer)
    texts = {
        f"{PREFIX}.c": made.unit.text,
        f"{PREFIX}.h": codegen.header(graph, made.unit, PREFIX, caller_arena=options.caller_arena),
        "test_vectors.h": _project.vectors(graph, PREFIX, tests.feeds, tests.answers),
        "main.c": _project.self_test(graph, PREFIX, caller_arena=options.caller_arena),
        "Makefile": _project.makefile(PREFIX, flags, target.compilers[0]),
        "CMakeLists.txt": _project.cmake(PREFIX),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _tested(folder: Path, built: Path, tests: Tests) -> str:
    """Build and run the self-test on this machine, where it has a compiler.

    Raises:
        InputError: An answer differs, which is a defect of the generator.
    """
    compiler = footprint.compiler_for("c99")
    if compiler is None:
        return f"The self-test was not run: this machine has no C compiler (install {_targets.TARGETS['c99'].package})."
    program = built.with_name("self_test")
    # What was compiled to be counted is run, where it is for this machine.
    network = built if built.is_file() else folder / f"{PREFIX}.c"
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
    vectors, different = len(tests.feeds), len({b"".join(one.tobytes() for one in all_) for all_ in tests.answers})
    return (
        f"On this machine {vectors} of {vectors} {tests.what} have the answers of LiteRT's reference kernels, bit for "
        f"bit ({different} different answers)."
    )


def bytes_of(graph: Graph, made: Made, options: Options) -> Bytes:
    """Where the bytes are."""
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


def missed(found: Bytes, options: Options) -> list[str]:
    """The limits that are not met, in words."""
    words = []
    for name, used, limit in (("--flash", found.flash_bytes, options.flash), ("--ram", found.ram_bytes, options.ram)):
        if limit is not None and used is not None and used > limit:
            words.append(f"{name} {limit:,} is missed by {used - limit:,} bytes ({used:,} are needed)")
    return words


def _record(source: Source, out: Path, made: Made, *, options: Options, tested: str, vectors: int) -> Compiling:
    graph = source.graph
    plan, steps = made.unit.plans[0], made.unit.steps[0]
    kinds = {node.position: node.kind for node in graph.nodes}
    makers = {node.output: f"{node.kind} {node.position}" for node in graph.nodes}
    places = [Place(f"output of {makers[one.owner]}", *_where(one)) for one in plan.buffers.values()]
    places += [Place(f"scratch of {kinds[one.stage]} {one.stage}", *_where(one)) for one in plan.scratch.values()]
    notes = []
    if made.counted is None:
        target = _targets.TARGETS[options.target]
        notes.append(
            f"code and stack were not counted: no compiler for {options.target} with its size; install {target.package}"
        )
    elif made.counted.stack_bytes is None:
        notes.append(f"stack and RAM were not counted: only gcc tells them, found {made.counted.compiler}")
    return Compiling(
        schema_version=compiling.SCHEMA_VERSION,
        path=str(source.path),
        out=str(out),
        sha256=hashlib.sha256(source.content).hexdigest(),
        target=options.target,
        prefer=made.prefer,
        arena="caller" if options.caller_arena else "stack",
        compiler=None if made.counted is None else made.counted.compiler,
        flags=[] if made.counted is None else [*made.counted.flags],
        operators=[node.kind for node in graph.nodes],
        macs=sum(step.macs for step in steps),
        stages=[", ".join(f"{step.node.kind} {step.node.position}" for step in stage) for stage in plan.stages],
        places=places,
        kernels=[*made.unit.kernels],
        bytes=bytes_of(graph, made, options),
        vectors=vectors,
        tested=tested,
        notes=notes,
    )


def _where(one: _plan.Buffer) -> tuple[int, int, int, int, int]:
    return one.offset, one.size, one.first, one.last, one.rows
