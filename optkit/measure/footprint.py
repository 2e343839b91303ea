"""Bytes of flash and stack that generated C takes on a machine, from its compiler and linker; nothing is run."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optkit.codegen import _targets
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optkit.codegen._writing import Prefer

_SECONDS = 120
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wpedantic")


@dataclass(frozen=True)
class Footprint:
    """What a compiler made of a C file.

    Attributes:
        compiler: Its name and version.
        flags: What it was given.
        code_bytes: Instructions, with those that the compiler's own library adds (on the host: without).
        constant_bytes: Constants, weights among them.
        data_bytes: Variables, of which there should be none.
        stack_bytes: Deepest stack of the function, with everything that it calls, and with the activations where they
            lie on the stack; ``None`` where the compiler does not tell.
    """

    compiler: str
    flags: tuple[str, ...]
    code_bytes: int
    constant_bytes: int
    data_bytes: int
    stack_bytes: int | None


def compiler_for(target: str) -> str | None:
    """Path of the compiler for a target, ``None`` where none is installed."""
    return next((found for name in _targets.TARGETS[target].compilers if (found := shutil.which(name))), None)


def measure(source: Path, target: str, prefer: Prefer, entry: str) -> Footprint | None:
    """Compile a C file and count.

    Args:
        source: The C file; what is made lies beside it.
        target: One of ``_targets.TARGETS``.
        prefer: What the code is to be small or fast in.
        entry: The function that counts, with all that it needs.

    Returns:
        What it takes, ``None`` where no compiler for the target is installed, or none that counts sections.

    Raises:
        InputError: The compiler refuses the file or warns, which is a defect of the generator.
    """
    compiler = compiler_for(target)
    counter = None if compiler is None else _counter(compiler)
    if compiler is None or counter is None:
        return None
    flags = _targets.flags(target, prefer)
    made = source.with_name(f"{source.stem}-{target}.o")
    graph = ["-fcallgraph-info=su"] if _is_gcc(compiler) else []
    # By its bare name: the call graph quotes it, and has no way to quote a quote.
    said = _run([compiler, *flags, *WARNINGS, *graph, "-c", source.name, "-o", made.name], source.parent)
    if said.strip():
        raise InputError(f"{compiler} warns of generated code: {' '.join(said.split())[:500]}")
    counted = made
    link = _targets.TARGETS[target].link
    if link:
        counted = made.with_suffix(".elf")
        ends = f"-Wl,--gc-sections,-e,{entry},-u,{entry}"
        _run([compiler, *flags, ends, str(made), *link, "-o", str(counted)])
    code, constants, data = _sections(counter, counted)
    calls = made.with_suffix(".ci")
    stack = _deepest(calls.read_text(encoding="utf-8"), entry) if calls.is_file() else None
    version = _run([compiler, "--version"]).splitlines()[0]
    return Footprint(version, flags, code, constants, data, stack)


def _is_gcc(compiler: str) -> bool:
    return "Free Software Foundation" in _run([compiler, "--version"])


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    """What a program says.

    Raises:
        InputError: It fails, or there is no such program.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        raise InputError(f"{command[0]} fails: {' '.join(done.stderr.split())[:500]}")
    return done.stdout + done.stderr


def tells_stack(target: str) -> bool:
    """Whether the compiler for a target says how much stack functions take, and who calls whom: only gcc does."""
    compiler = compiler_for(target)
    return compiler is not None and _is_gcc(compiler)


def _counter(compiler: str) -> str | None:
    """Path of the program that counts the bytes of sections."""
    prefix = compiler.rpartition("/")[2].removesuffix("gcc").removesuffix("clang").removesuffix("cc")
    return next((found for name in (f"{prefix}size", "llvm-size", "size") if (found := shutil.which(name))), None)


def _sections(counter: str, made: Path) -> tuple[int, int, int]:
    """Bytes of code, of constants and of variables in an object file or program."""
    said = _run([counter, "-A", "-d", str(made)])
    code = constants = data = 0
    for name, size in re.findall(r"^(\.[\w.$-]+)\s+(\d+)", said, re.MULTILINE):
        if name.startswith(".text") or name in {".init", ".fini"}:
            code += int(size)
        elif name.startswith((".rodata", ".srodata", ".ARM.exidx", ".ARM.extab", ".data.rel.ro")):
            constants += int(size)
        elif name.startswith((".data", ".sdata", ".bss", ".sbss")):
            data += int(size)
    return code, constants, data


def _deepest(calls: str, entry: str) -> int:
    """Deepest stack from a function on, from what gcc's ``-fcallgraph-info=su`` writes.

    What the compiler's library uses is not in it: on small cores it is a few registers.

    Raises:
        InputError: The function is not in it.
    """
    own = {
        name: int(size) for name, size in re.findall(r'node: \{ title: "([^"]+)" label: "[^"]*?\\n(\d+) bytes', calls)
    }
    edges: dict[str, set[str]] = {}
    for source, target in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', calls):
        edges.setdefault(source, set()).add(target)

    def depth(name: str, above: frozenset[str]) -> int:
        below = [depth(one, above | {name}) for one in edges.get(name, ()) if one not in above]
        return own.get(name, 0) + max(below, default=0)

    start = next((name for name in own if name.rpartition(":")[2] == entry), None)
    if start is None:
        raise InputError(f"the compiler's call graph has no {entry}; please report the file")
    return depth(start, frozenset({start}))
