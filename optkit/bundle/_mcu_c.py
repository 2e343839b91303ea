"""Microcontrollers with plain C: the folder of ``optkit compile``, with real test examples in its self-test."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optkit import codegen, runtimes
from optkit.bundle import Written, _c_folder, _documents, _mcu_engines, _tflm_run
from optkit.codegen import _targets
from optkit.errors import BudgetMissedError, InputError
from optkit.measure import footprint
from optkit.runtimes import c as c_runtime
from optkit.runtimes.litert import REFERENCE_KERNELS

if TYPE_CHECKING:
    from optkit.bundle import Subject

ENGINE = "c"
# Test examples in the self-test, and those that are held against the reference kernels bit for bit.
_VECTORS, _EXACT = 10, 1000
_SECONDS = 300


def refuse(subject: Subject) -> str | None:
    """Name what no code is generated for, and what does not fit.

    Raises:
        BudgetMissedError: The code takes more than the device has.
    """
    flash, ram = subject.limits.flash_bytes, subject.limits.ram_bytes
    target = _targets.TARGETS[_mcu_engines.TARGET]
    if (flash is not None or ram is not None) and footprint.compiler_for(_mcu_engines.TARGET) is None:
        return f"--flash and --ram need {target.compilers[0]} to count with, found none; install {target.package}"
    options = _options(subject)
    try:
        graph = codegen.read(subject.path.read_bytes(), subject.path.name)
        with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
            made = _c_folder.generated(graph, options, Path(scratch))
    except InputError as error:
        return str(error)
    missed = _c_folder.missed(_c_folder.bytes_of(graph, made, options), options)
    if missed:
        raise BudgetMissedError(
            f"{subject.path.name} as C: {'; '.join(missed)}; nearest that would work: a network with fewer parameters "
            "or smaller feature maps (shrink:bytes=…, a stride in the first layer)"
        )
    return None


def write(subject: Subject, folder: Path) -> Written:
    """Write the C, hold it against LiteRT here, and say what both engines take."""
    options, content = _options(subject), subject.path.read_bytes()
    graph = codegen.read(content, subject.path.name)
    inputs = _tflm_run.native_inputs(subject)
    exact = np.unique(np.linspace(0, len(inputs) - 1, min(_EXACT, len(inputs))).astype(np.int64))
    session = runtimes.open_raw(subject.path, REFERENCE_KERNELS)
    wanted = [np.asarray(session.run([inputs[row : row + 1]])[0]) for row in exact]
    chosen = range(0, len(exact), max(1, len(exact) // _VECTORS))[:_VECTORS]
    tests = _c_folder.Tests(
        [[inputs[exact[at]][None]] for at in chosen], [[wanted[at]] for at in chosen], "test examples"
    )
    with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
        made = _c_folder.generated(graph, options, Path(scratch))
        source = _c_folder.Source(Path(subject.path.name), content, graph)
        record = _c_folder.filled(
            folder, Path(scratch), source, made, options=options, tests=tests, out=Path(subject.name)
        )
    versus = _compared(subject, folder, inputs, exact, wanted)
    engines = _mcu_engines.compared(subject)
    page = _documents.filled(
        "mcu_c_readme.md.j2",
        name=subject.name,
        record=record,
        engines=_mcu_engines.table(engines),
        vectors=len(tests.feeds),
        versus=versus,
    )
    (folder / "README.md").write_text(page, encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(_documents.model_card(subject), encoding="utf-8")
    lines = [*_mcu_engines.lines(engines)]
    if versus:
        lines.insert(
            0,
            f"of {versus['exact_total']:,} examples {versus['exact_differing']:,} have another output than LiteRT's "
            f"reference kernels; of {versus['total']:,}, {versus['different_answers']:,} are answered otherwise than "
            "in LiteRT",
        )
    more = {"engine": ENGINE, "versus_litert": versus, "engines": [one._asdict() for one in engines]}
    return Written("model.tflite", more, tuple(lines))


def made(folder: Path) -> bool:
    """Whether a bundle's folder is one of this engine."""
    return (folder / _c_folder.MARK).is_file()


def prove(folder: Path) -> list[str]:
    """The self-test builds by its own Makefile and passes, where there is a compiler and make.

    Raises:
        InputError: It does not.
    """
    if shutil.which("make") is None or c_runtime.compiler() is None:
        return ["the self-test was not built: there is no make or C compiler here"]
    with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
        there = shutil.copytree(folder, Path(scratch) / "bundle")
        command = ["make", "-s", "-C", str(there), "test"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"the self-test cannot be run: {error}") from error
    if done.returncode:
        raise InputError(f"the self-test of the C fails: {' '.join((done.stdout + done.stderr).split())[:300]}")
    return [f"self-test, built with make on this machine: {done.stdout.strip()}"]


def _options(subject: Subject) -> _c_folder.Options:
    return _c_folder.Options(target=_mcu_engines.TARGET, flash=subject.limits.flash_bytes, ram=subject.limits.ram_bytes)


def _compared(
    subject: Subject, folder: Path, inputs: np.ndarray, exact: np.ndarray, wanted: list[np.ndarray]
) -> dict[str, int | None] | None:
    """The C built for this machine, on all test examples; ``None`` where there is no compiler.

    Raises:
        InputError: An output differs from the reference kernels', which is a defect of the generator.
    """
    if c_runtime.compiler() is None:
        return None
    opened = runtimes.open_raw(folder / "model.c", c_runtime.KERNELS[0])
    ours = np.asarray(opened.run([inputs])[0]).reshape(len(inputs), -1).astype(np.int64)
    theirs = subject.outputs.reshape(len(inputs), -1).astype(np.int64)
    reference = np.concatenate([one.reshape(1, -1) for one in wanted])
    differing = int((ours[exact] != reference).any(axis=1).sum())
    if differing:
        raise InputError(
            f"the C answers {differing} of {len(exact)} test examples otherwise than LiteRT's reference kernels; "
            "nothing was written, please report the file"
        )
    right = None
    if subject.labels is not None and subject.task.kind == "multiclass":
        right = int((ours.argmax(axis=1) == subject.labels).sum())
    return {
        "exact_total": len(exact),
        "exact_differing": differing,
        "total": len(ours),
        "different_answers": int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum()),
        "different_outputs": int((ours != theirs).any(axis=1).sum()),
        "steps": int(np.abs(ours - theirs).max()),
        "correct": right,
    }
