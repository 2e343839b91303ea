"""The machine and the packages that figures come from, read without importing any of the packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from optkit.device import machine
from optkit.schema import Environment

if TYPE_CHECKING:
    from pathlib import Path

# Packages whose version can change a file or a figure.
PACKAGES = (
    "ai-edge-litert",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "optkit",
    "scipy",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf-keras",
    "tf2onnx",
)
# Instructions that multiply and add four bytes at once, as Linux names them: x86 and Arm.
DOT_PRODUCT_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
X86_FLAGS = frozenset({"sse2", "avx", "avx2"})


def describe(cpuinfo: Path = machine.CPUINFO) -> Environment:
    """The machine as it is now, with the load average before anything is measured.

    Args:
        cpuinfo: The kernel's description of the processors.
    """
    return Environment(
        **machine.describe(cpuinfo), packages=package_versions(), load_average_before=machine.load_average()
    )


def with_load_after(environment: Environment) -> Environment:
    """The same with the load average as it is now, after measuring."""
    return msgspec.structs.replace(environment, load_average_after=machine.load_average())


def package_versions() -> dict[str, str]:
    """Versions of the installed ones among ``PACKAGES``, from their metadata."""
    return machine.versions(PACKAGES)


def sums_may_saturate(environment: Environment) -> bool:
    """Whether ONNX Runtime's sums of int8 products may saturate there: x86 without VNNI instructions.

    Source: ONNX Runtime, Quantize ONNX models, "When and why do I need to try U8U8?" (VPMADDUBSW saturates at 16 bits;
    reduce_range, weights of 7 bits, avoids it).
    """
    flags = set(environment.cpu_flags)
    return bool(flags & X86_FLAGS) and not flags & DOT_PRODUCT_FLAGS
