"""What the two engines for microcontrollers take for the same model, side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from optkit import codegen
from optkit.bundle import _c_folder, _tflm_operators, _tflm_run
from optkit.codegen import _targets
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.bundle import Subject

# The machine that code is counted on.
TARGET = "cortex-m4"
TFLM_FRAMEWORK_BYTES = 9_732
TFLM_FRAMEWORK_SOURCE = (
    "published, not measured here: TensorFlow's TFLM Code Size FAQ (tensorflow/lite/micro/examples/memory_footprint/"
    "README.md of github.com/tensorflow/tflite-micro) gives 9,732 bytes for the framework on a Cortex-M3 (bluepill), "
    "without any kernel"
)
TFLM_WITH_KERNELS_BYTES = 22 * 1024
TFLM_WITH_KERNELS_SOURCE = (
    "published, not measured here: TensorFlow's documentation (tensorflow.org/lite/microcontrollers/overview) gives "
    "16 KB for the core runtime on a Cortex-M3 and 22 KB with the operators of a keyword-detection model"
)


class Engine(NamedTuple):
    """What an engine takes, in bytes; ``None`` where it is not known, and ``lacking`` says why.

    ``flash_parts`` and ``ram_parts`` say what was added up.
    """

    engine: str
    flash_bytes: int | None
    ram_bytes: int | None
    flash_parts: dict[str, int]
    ram_parts: dict[str, int]
    lacking: str | None = None


def compared(subject: Subject) -> list[Engine]:
    """Both engines, the file's own or not."""
    return [_plain_c(subject), _tflm(subject)]


def _plain_c(subject: Subject) -> Engine:
    try:
        graph = codegen.read(subject.path.read_bytes(), subject.path)
        with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
            options = _c_folder.Options(target=TARGET, ram=subject.limits.ram_bytes, flash=subject.limits.flash_bytes)
            made = _c_folder.generated(graph, options, Path(scratch))
    except InputError as error:
        return Engine("c", None, None, {}, {}, str(error))
    found = _c_folder.bytes_of(graph, made, options)
    if found.code_bytes is None or found.stack_bytes is None:
        lacking = f"code and stack were not counted: install {_targets.TARGETS[TARGET].package}"
        return Engine("c", None, None, {"weights": found.weight_bytes}, {"arena": found.arena_bytes}, lacking)
    flash = {"code": found.code_bytes, "weights": found.weight_bytes, "constants": found.constant_bytes}
    ram = {
        "arena": found.arena_bytes,
        "stack": found.stack_bytes - found.arena_bytes,
        "input and output": found.input_bytes + found.output_bytes,
    }
    return Engine("c", found.flash_bytes, found.ram_bytes, flash, ram)


def _tflm(subject: Subject) -> Engine:
    flash = {"model file": subject.facts.file_bytes, "framework, published": TFLM_FRAMEWORK_BYTES}
    missing = _tflm_operators.lacking([operator.kind for operator in subject.facts.operators])
    if missing:
        return Engine("tflm", None, None, {}, {}, f"it has no {', '.join(missing)}")
    try:
        arena = _tflm_run.run(subject).arena_bytes
    except InputError as error:
        return Engine("tflm", sum(flash.values()), None, flash, {}, str(error))
    return Engine("tflm", sum(flash.values()), arena, flash, {"arena, with input and output": arena})


def table(engines: list[Engine]) -> str:
    """The comparison in Markdown, with what each figure is."""
    lines = [
        f"**Two engines for this model**, on a {TARGET} (bytes):",
        "",
        "| `--engine` | flash | made of | RAM | made of |",
        "|---|--:|---|--:|---|",
    ]
    lines += [
        f"| `{one.engine}` | {_number(one.flash_bytes)}{_more(one, 'flash')} | {_parts(one.flash_parts)} "
        f"| {_number(one.ram_bytes)}{_more(one, 'ram')} | {_parts(one.ram_parts)} |"
        for one in engines
    ]
    lines += [f"\nNot known for `{one.engine}`: {one.lacking}." for one in engines if one.lacking]
    told = (
        "`c` was compiled and counted here. Of `tflm` the arena is the least with which its interpreter runs the file "
        "on a 64-bit host, an upper estimate; its kernels, and the stack of its calls, come on top. The framework is "
        f"{TFLM_FRAMEWORK_SOURCE}; {TFLM_WITH_KERNELS_SOURCE.removeprefix('published, not measured here: ')}."
    )
    lines += ["", told]
    return "\n".join(lines)


def lines(engines: list[Engine]) -> tuple[str, ...]:
    """The comparison for the screen."""
    return tuple(
        f"--engine {one.engine}: flash {_number(one.flash_bytes)}{_more(one, 'flash')}, "
        f"RAM {_number(one.ram_bytes)}{_more(one, 'ram')} bytes"
        + (f" ({one.lacking})" if one.lacking else " (its framework as published)" if one.engine == "tflm" else "")
        for one in engines
    )


def _number(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"


def _more(one: Engine, kind: str) -> str:
    """What comes on top."""
    if one.engine != "tflm" or (one.flash_bytes if kind == "flash" else one.ram_bytes) is None:
        return ""
    return " + kernels" if kind == "flash" else " + stack"


def _parts(parts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in parts.items()) or "–"
