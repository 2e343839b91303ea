"""The machine is described from what the kernel and the package metadata say."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from optkit import environment
from optkit.device import machine

if TYPE_CHECKING:
    from pathlib import Path

ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd0c\n\nModel\t\t: Raspberry Pi 5\n"
X86 = "model name\t: AMD EPYC\nflags\t\t: sse2 avx2 avx512_vnni\n\nprocessor\t: 1\nmodel name\t: Other\n"


def test_this_machine_is_described() -> None:
    found = environment.describe()
    assert found.cpu_model
    assert found.cores >= 1
    assert found.memory_bytes > 2**28
    assert str(sys.version_info.minor) in found.python
    assert found.packages["numpy"] == np.__version__
    assert found.load_average_before is not None
    assert found.load_average_after is None
    assert environment.with_load_after(found).load_average_after is not None


@pytest.mark.parametrize(
    ("text", "model", "flags"),
    [
        (X86, "AMD EPYC", ["sse2", "avx2", "avx512_vnni"]),
        (ARM, "Raspberry Pi 5", ["fp", "asimd", "asimddp"]),
    ],
)
def test_the_first_processor_is_read(tmp_path: Path, text: str, model: str, flags: list[str]) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    found = environment.describe(cpuinfo)
    assert (found.cpu_model, found.cpu_flags) == (model, flags)


def test_a_silent_kernel_leaves_the_architecture(tmp_path: Path) -> None:
    found = environment.describe(tmp_path / "missing")
    assert found.cpu_model
    assert found.cpu_flags == []


def test_a_package_that_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-package-anywhere"))
    assert list(environment.package_versions()) == ["numpy"]


def test_cores_are_those_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {3})
    assert environment.describe().cores == 1


def test_describing_imports_none_of_the_packages() -> None:
    heavy = ("numpy", "scipy", "tensorflow", "onnxruntime", "ai_edge_litert")
    code = f"import sys, optkit.environment as e; e.describe(); print([n for n in {heavy} if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_int8_sums_may_saturate_on_x86_without_vnni() -> None:
    machine = environment.describe()
    for flags, expected in (
        (["sse2", "avx2"], True),
        (["sse2", "avx2", "avx_vnni"], False),
        (["asimd", "asimddp"], False),
        ([], False),
    ):
        assert environment.sums_may_saturate(msgspec.structs.replace(machine, cpu_flags=flags)) is expected
