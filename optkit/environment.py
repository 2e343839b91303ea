"""The machine and the packages that figures come from, read without importing any of the packages."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec

from optkit.schema import Environment

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
_CPUINFO = Path("/proc/cpuinfo")
# Field names in /proc/cpuinfo, x86 first, then Arm.
_MODEL_FIELDS = ("model name", "Model", "Hardware", "CPU part")
_FLAG_FIELDS = ("flags", "Features")


def describe(cpuinfo: Path = _CPUINFO) -> Environment:
    """The machine as it is now, with the load average before anything is measured.

    Args:
        cpuinfo: The kernel's description of the processors.
    """
    model, flags = _processor(cpuinfo)
    return Environment(
        cpu_model=model,
        cpu_flags=flags,
        cores=_cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        os=_system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=package_versions(),
        load_average_before=_load_average(),
    )


def with_load_after(environment: Environment) -> Environment:
    """The same with the load average as it is now, after measuring."""
    return msgspec.structs.replace(environment, load_average_after=_load_average())


def package_versions() -> dict[str, str]:
    """Versions of the installed ones among ``PACKAGES``, from their metadata."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def sums_may_saturate(environment: Environment) -> bool:
    """Whether ONNX Runtime's sums of int8 products may saturate there: x86 without VNNI instructions.

    Source: ONNX Runtime, Quantize ONNX models, "When and why do I need to try U8U8?" (VPMADDUBSW saturates at 16 bits;
    reduce_range, weights of 7 bits, avoids it).
    """
    flags = set(environment.cpu_flags)
    return bool(flags & X86_FLAGS) and not flags & DOT_PRODUCT_FLAGS


def _processor(cpuinfo: Path) -> tuple[str, list[str]]:
    """Model and flags of the first processor; the architecture and no flags where the kernel is silent."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    models = [fields[name] for name in _MODEL_FIELDS if fields.get(name)]
    flags = [fields[name] for name in _FLAG_FIELDS if fields.get(name)]
    return (models[0] if models else platform.machine()), (flags[0].split() if flags else [])


def _cores() -> int:
    """Cores that this process may use, fewer than there are in a container or under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _system() -> str:
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError, AttributeError):
        return kernel
    return f"{name}, {kernel}"


def _load_average() -> tuple[float, float, float] | None:
    try:
        return os.getloadavg()
    except OSError:
        return None
