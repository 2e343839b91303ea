"""The machine that figures come from, as far as it tells without a special tool."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

CPUINFO = Path("/proc/cpuinfo")
# Field names in /proc/cpuinfo, x86 first, then Arm.
_MODEL_FIELDS = ("model name", "Model", "Hardware", "CPU part")
_FLAG_FIELDS = ("flags", "Features")


def describe(cpuinfo: Path = CPUINFO) -> dict[str, Any]:
    """Processor, cores, memory, system and Python, by the names that report.json has for them."""
    model, flags = _processor(cpuinfo)
    return {
        "cpu_model": model,
        "cpu_flags": flags,
        "cores": _cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": _system(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of those of the packages that are installed, from their metadata."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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


def load_average() -> tuple[float, float, float] | None:
    """The system's load over 1, 5 and 15 minutes, where it tells."""
    try:
        return os.getloadavg()
    except OSError:
        return None
