"""What code is compiled for: compilers and their flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optkit.codegen._writing import Prefer


@dataclass(frozen=True)
class Target:
    """A machine that code is compiled for.

    Attributes:
        compilers: Names of compilers, the first that is there is used.
        flags: That say which machine it is.
        link: That are needed to count what the compiler's own library adds; empty on the host, where it is shared.
        package: Debian package that has the compiler.
    """

    compilers: tuple[str, ...]
    flags: tuple[str, ...]
    link: tuple[str, ...]
    package: str


# Nothing but the compiler's own headers and library.
_BARE = ("-nostartfiles", "-nostdlib", "-lgcc")
TARGETS = {
    "c99": Target(("cc", "gcc", "clang"), (), (), "gcc"),
    "cortex-m0": Target(
        ("arm-none-eabi-gcc",), ("-mcpu=cortex-m0plus", "-mthumb", "-ffreestanding"), _BARE, "gcc-arm-none-eabi"
    ),
    "cortex-m4": Target(
        ("arm-none-eabi-gcc",), ("-mcpu=cortex-m4", "-mthumb", "-ffreestanding"), _BARE, "gcc-arm-none-eabi"
    ),
    "rv32imc": Target(
        ("riscv64-unknown-elf-gcc",),
        ("-march=rv32imc", "-mabi=ilp32", "-ffreestanding"),
        _BARE,
        "gcc-riscv64-unknown-elf",
    ),
}
_OPTIMIZE: dict[str, tuple[str, ...]] = {"flash": ("-Os",), "ram": ("-Os",), "speed": ("-O3",)}
# Loops that copy are not to become calls of memcpy: a bare machine may have none.
_ALONE = "-fno-tree-loop-distribute-patterns"


def flags(target: str, prefer: Prefer) -> tuple[str, ...]:
    """The compiler's flags, without warnings."""
    found = TARGETS[target]
    alone = (_ALONE,) if found.link else ()
    return ("-std=c99", *found.flags, *_OPTIMIZE[prefer], *alone, "-ffunction-sections", "-fdata-sections")


def lanes(target: str, prefer: Prefer) -> int:
    """Values that loops are written for at once: on this machine, for speed, as many int8 as a register of 256 bits."""
    return 32 if target == "c99" and prefer == "speed" else 1
