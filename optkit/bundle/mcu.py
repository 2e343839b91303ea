"""Microcontrollers: the model as a C array for TensorFlow Lite for Microcontrollers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optkit.bundle import (
    Written,
    _c_files,
    _cortex,
    _device_files,
    _documents,
    _mcu_c,
    _mcu_engines,
    _tflm_operators,
    _tflm_run,
)
from optkit.errors import BudgetMissedError, InputError
from optkit.readback import read

if TYPE_CHECKING:
    from optkit.bundle import Subject
    from optkit.bundle._tflm_run import Ran
    from optkit.readback import ModelFacts

SUMMARY = "microcontrollers with TensorFlow Lite for Microcontrollers: C array, resolver, arena, self-test, projects"
SOURCE = "David et al., TensorFlow Lite Micro, MLSys 2021; https://github.com/tensorflow/tflite-micro"
FORMATS = ("tflite",)
# What runs the model there: TensorFlow's interpreter, or C that optkit compile makes.
ENGINES = ("tflm", "c")

_INTEGERS = {"int4", "int8", "int16", "int32", "int64", "bool"}
_VALUES = {"int8", "int16"}
# Test examples in flash: 28×28 pixels take 784 bytes each.
_VECTORS = 10
_SOURCES = ("model_data.c", "test_vectors.c")
_SECONDS = 120
_HOST = ("g++", "clang++")


def refuse(subject: Subject) -> str | None:
    """Name what the interpreter has not, float arithmetic, and what does not fit.

    Raises:
        BudgetMissedError: The file is larger than the flash, or the arena than the memory.
    """
    if subject.engine == _mcu_c.ENGINE:
        return _mcu_c.refuse(subject)
    kinds = [operator.kind for operator in subject.facts.operators]
    missing = _tflm_operators.lacking(kinds)
    if missing:
        return (
            f"{subject.path.name} uses {', '.join(missing)}, which TensorFlow Lite for Microcontrollers has not; build "
            "the network from layers that it has"
        )
    found = _not_integers(subject.facts)
    if found:
        what = f"{', '.join(found)} in {subject.path.name}"
        return f"expected a file that is int8 throughout, found {what}; {_nearest_integer(subject)}"
    flash, size = subject.limits.flash_bytes, subject.facts.file_bytes
    if flash is not None and size > flash:
        raise BudgetMissedError(
            f"{subject.path.name} has {size:,} bytes, {size - flash:,} more than --flash {flash:,}, and the runtime's "
            f"code comes on top; nearest that would work: {_smaller(subject, flash)}"
        )
    ran = _tflm_run.run(subject)
    need, ram = ran.arena_bytes + ran.margin_bytes, subject.limits.ram_bytes
    if ram is not None and need > ram:
        raise BudgetMissedError(
            f"{subject.path.name} needs an arena of {ran.arena_bytes:,} bytes, {need:,} with its margin: "
            f"{need - ram:,} more than --ram {ram:,}; nearest that would work: --ram {need}, or a network with smaller "
            "feature maps (a stride in the first layer, shrink:macs=…)"
        )
    return None


def write(subject: Subject, folder: Path) -> Written:
    """Write the C files, compile them where that can be done, and say what they take."""
    if subject.engine == _mcu_c.ENGINE:
        return _mcu_c.write(subject, folder)
    ran, content = _tflm_run.run(subject), subject.path.read_bytes()
    kinds = list(dict.fromkeys(operator.kind for operator in subject.facts.operators))
    source = folder / "src"
    source.mkdir()
    chosen = subject.chosen()[:: max(1, len(subject.chosen()) // _VECTORS)][:_VECTORS]
    inputs, outputs = ran.inputs[chosen].reshape(len(chosen), -1), ran.outputs[chosen].reshape(len(chosen), -1)
    sizes = (len(chosen), inputs.shape[1], outputs.shape[1])
    texts = {
        "src/model_data.h": _c_files.model_header(len(content)),
        "src/model_data.c": _c_files.model_source(content),
        "src/test_vectors.h": _c_files.vectors_header(*sizes, inputs.dtype.name, outputs.dtype.name),
        "src/test_vectors.c": _c_files.vectors_source(inputs, outputs),
        "src/model_operators.h": _c_files.resolver(kinds),
        "src/model_settings.h": _settings(subject, ran),
        "src/main.cc": _documents.filled("mcu_main.cc.j2", name=subject.name, count=len(chosen)),
        "platformio.ini": _documents.filled("platformio.ini.j2"),
        "CMakeLists.txt": _documents.filled("mcu_cmake.txt.j2", project=_project(subject.name)),
        "MODEL_CARD.md": _documents.model_card(subject),
        "stubs/tensorflow/lite/micro/micro_mutable_op_resolver.h": _c_files.stub_resolver(kinds),
        **{f"stubs/{name}": text for name, text in _c_files.STUBS.items()},
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "model.tflite").write_bytes(content)
    compiled = _cortex.compiled(source, _SOURCES)
    compared = _compared(subject, ran)
    vector_bytes = inputs.nbytes + outputs.nbytes
    engines = _mcu_engines.compared(subject)
    page = _documents.filled(
        "mcu_readme.md.j2",
        engines=_mcu_engines.table(engines),
        name=subject.name,
        model_bytes=len(content),
        vector_bytes=vector_bytes,
        compiled=compiled,
        operators=kinds,
        arena=ran.arena_bytes,
        margin=ran.margin_bytes,
        count=len(chosen),
        alignment=_c_files.ALIGNMENT,
        **compared,
    )
    (folder / "README.md").write_text(page, encoding="utf-8")
    memory = {
        "arena_bytes": ran.arena_bytes,
        "arena_margin_bytes": ran.margin_bytes,
        "arena_found_on": "64-bit host, an upper estimate",
        "model_bytes": len(content),
        "test_vector_bytes": vector_bytes,
        "compiled": [one._asdict() for one in compiled],
        "runtime_code_bytes": None,
    }
    lines = (
        f"arena: {ran.arena_bytes:,} bytes on a 64-bit host (an upper estimate), {ran.margin_bytes:,} of margin on top",
        f"of {compared['total']:,} examples {compared['different_answers']:,} are answered otherwise than in LiteRT",
        f"{compared['different_outputs']:,} of them have an output that differs, by {compared['steps']} at most",
        *(f"{one.flash:,} bytes of flash for {one.processor} ({one.compiler})" for one in compiled),
        *([] if compiled else [f"not compiled for a Cortex-M: there is no {_cortex.COMPILER}"]),
        *_mcu_engines.lines(engines),
    )
    more = {
        "engine": "tflm",
        "memory": memory,
        "versus_litert": compared,
        "operators": kinds,
        "engines": [one._asdict() for one in engines],
    }
    return Written("model.tflite", more, lines)


def prove(folder: Path) -> list[str]:
    """main.cc compiles against the stand-ins, without a warning, where there is a compiler for C++.

    Raises:
        InputError: It does not.
    """
    if _mcu_c.made(folder):
        return _mcu_c.prove(folder)
    compiler = next((one for one in _HOST if shutil.which(one)), None)
    if compiler is None:
        return ["main.cc was not compiled: there is no g++ here"]
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    command += [f"-I{folder / 'stubs'}", f"-I{folder / 'src'}", str(folder / "src" / "main.cc")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise InputError(f"main.cc does not compile without a warning: {' '.join(done.stderr.split())[:300]}")
    return [f"main.cc compiles with {compiler} against stand-ins for TensorFlow's headers; not linked here"]


def _compared(subject: Subject, ran: Ran) -> dict[str, int | None]:
    """How the interpreter's outputs differ from LiteRT's over all test examples."""
    ours, theirs = ran.outputs.astype(np.int64), subject.outputs.astype(np.int64)
    right = None
    answers, before = ours.argmax(axis=1), theirs.argmax(axis=1)
    if subject.labels is not None and subject.task.kind == "multiclass":
        right = int((answers == subject.labels).sum())
    return {
        "total": len(ours),
        "different_answers": int((answers != before).sum()),
        "different_outputs": int((ours != theirs).any(axis=1).sum()),
        "steps": int(np.abs(ours - theirs).max()),
        "correct": right,
    }


def _settings(subject: Subject, ran: Ran) -> str:
    fed = subject.preprocessing
    return _documents.filled(
        "mcu_settings.h.j2",
        name=subject.name,
        arena=ran.arena_bytes,
        margin=ran.margin_bytes,
        given=subject.given,
        found=subject.found,
        scale=fed.scale,
        mean=fed.mean,
        std=fed.std,
        labels=[name.replace("\\", "\\\\").replace('"', '\\"') for name in subject.class_names],
    )


def _project(name: str) -> str:
    """A name that CMake takes."""
    return _device_files.plain_name(name).replace(".", "-")


def _nearest_integer(subject: Subject) -> str:
    """What would work in its place."""
    fitting = _integer_files(subject)
    if fitting:
        return f"nearest that would work: {fitting[0].name} of the same run"
    return "nearest that would work: optkit compress MODEL --recipe int8 --formats tflite"


def _smaller(subject: Subject, flash: int) -> str:
    """As ``_nearest_integer``, within the flash."""
    fitting = [path for path in _integer_files(subject) if path.stat().st_size <= flash]
    return f"{fitting[-1].name} of the same run" if fitting else f"optkit compress MODEL --max-size {flash}"


def _integer_files(subject: Subject) -> list[Path]:
    """Files of the same run that the target could run, the smallest first."""
    if subject.report is None:
        return []
    there = [subject.path.with_name(Path(one.path).name) for one in subject.report.variants if one.status == "ok"]
    files = [path for path in there if path.suffix == ".tflite" and path.is_file() and path != subject.path]
    return sorted((path for path in files if not _not_integers(read(path))), key=lambda path: path.stat().st_size)


def _not_integers(facts: ModelFacts) -> list[str]:
    """The types in a file that no integer arithmetic has, and those of ports that are no int8 or int16."""
    types = {kind for operator in facts.operators for kind in (*operator.input_dtypes, *operator.output_dtypes)}
    ports = {port.dtype for port in (*facts.inputs, *facts.outputs)}
    return sorted((types - _INTEGERS) | (ports - _VALUES))
