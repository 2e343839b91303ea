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


_BARE = ("-nostartfiles", "--specs=nano.specs")
TARGETS = {
    "c99": Target(("cc", "gcc", "clang"), (), (), "gcc"),
    "cortex-m0": Target(
        ("arm-none-eabi-gcc",), ("-mcpu=cortex-m0plus", "-mthumb"), _BARE, "gcc-arm-none-eabi libnewlib-arm-none-eabi"
    ),
    "cortex-m4": Target(
        ("arm-none-eabi-gcc",), ("-mcpu=cortex-m4", "-mthumb"), _BARE, "gcc-arm-none-eabi libnewlib-arm-none-eabi"
    ),
    "rv32imc": Target(
        ("riscv64-unknown-elf-gcc",),
        ("-march=rv32imc", "-mabi=ilp32"),
        ("-nostartfiles", "--specs=picolibc.specs"),
        "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    ),
}
# Loops that copy are not to become calls of memcpy: a bare machine may have none.
_OPTIMIZE: dict[str, tuple[str, ...]] = {
    "flash": ("-Os", "-fno-tree-loop-distribute-patterns"),
    "ram": ("-Os", "-fno-tree-loop-distribute-patterns"),
    "speed": ("-O3",),
}


def flags(target: str, prefer: Prefer) -> tuple[str, ...]:
    """The compiler's flags, without warnings."""
    return ("-std=c99", *TARGETS[target].flags, *_OPTIMIZE[prefer], "-ffunction-sections", "-fdata-sections")
