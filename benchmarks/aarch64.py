"""Do a bundle's files answer on 64-bit ARM as they did here? Its self-test, emulated; times there mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._emulated import set_up
from benchmarks._files import CACHE, folder_of
from benchmarks._result import Figure, write

if TYPE_CHECKING:
    from benchmarks._emulated import Machine

FILES = ("fp32.tflite", "int8.tflite", "fp32.onnx", "int8.onnx")
# Promised: integers bit for bit (reference kernels), floats within this, every answer the same.
FLOAT_LIMIT = 1e-5
_SECONDS = 3600.0


def run(results: Path, parts: list[str]) -> list[str]:
    """Write ``aarch64.json``; ``parts`` may name an artifacts folder to take the files from."""
    artifacts = Path(parts[0]) if parts else folder_of("lenet5", "int8")
    figures: list[Figure] = []
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="optkit-bench-") as scratch:
        bundles = {name: _bundled(artifacts / name, Path(scratch) / name) for name in FILES}
        pins = {line for one in bundles.values() for line in (one / "requirements.txt").read_text().splitlines()}
        machine = set_up(CACHE / "aarch64", sorted(pins))
        for name, bundle in bundles.items():
            made, told[name] = _tested(machine, name, bundle)
            figures += made
    more = {"emulator": machine.packages, "reports": told, "times": "none: an emulator's say nothing about a device"}
    return write(results, "aarch64", figures, more)


def _bundled(source: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "optkit", "bundle", str(source), "--target", "linux", "--data", "mnist"]
    subprocess.run([*command, "--scale", "1/255", "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    return out


def _tested(machine: Machine, name: str, bundle: Path) -> tuple[list[Figure], dict[str, Any]]:
    """The self-test of one bundle there, without timing: it starts no other process."""
    report_file = bundle / "report.json"
    options = ("--no-timing", "--emulated", "--out", str(report_file))
    done = machine.run(str(bundle / "selftest.py"), *options, seconds=_SECONDS)
    if not report_file.is_file():
        raise SystemExit(f"{name}: the self-test wrote no report: {done.stderr[-500:]}")
    report = json.loads(report_file.read_text(encoding="utf-8"))
    (variant,) = report["variants"]
    checks = {one["name"]: one for one in variant["checks"]}
    whole = "exact outputs" in checks
    figures = [Figure(f"{name}: exit code of the self-test", done.returncode, "<=", 0, "")]
    if whole:
        steps = checks["exact outputs"]["observed"]
        figures.append(Figure(f"{name}: largest difference, reference kernels", steps, "<=", 0, "steps"))
    figures += [
        Figure(
            f"{name}: largest difference, fast kernels",
            checks["outputs"]["observed"],
            "<=",
            # Rounding by processor is known of them: told, and held to the self-test's own limit by its exit code.
            None if whole else FLOAT_LIMIT,
            "steps" if whole else "",
        ),
        Figure(f"{name}: predictions that differ", checks["predictions"]["observed"], "<=", 0, "of 100"),
    ]
    environment = report["environment"]
    return figures, {
        "cpu_model": environment["cpu_model"],
        "os": environment["os"],
        "python": environment["python"],
        "packages": environment["packages"],
        "sha256": variant["sha256"],
        "warnings": report["warnings"],
    }
