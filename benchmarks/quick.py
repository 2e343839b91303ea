"""``optkit compress --quick``: wall time and memory of the first look."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks._process import watch
from benchmarks._result import Figure, write


def run(results: Path, names: list[str]) -> list[str]:  # noqa: ARG001  # a benchmark's signature
    """Run it in a fresh folder and write ``quick.json``."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "optkit.cli.main", "compress", "--quick", "--out", "run"]
        cost = watch(command, cwd=Path(scratch))
    print(cost.output)
    figures = [
        Figure("exit code", cost.exit_code, "<=", 0, ""),
        Figure("wall time", cost.wall_seconds, "<=", 90, "s"),
        Figure("peak memory of all processes", cost.peak_memory_bytes / 2**30, "<=", 2.5, "GiB"),
    ]
    return write(results, "quick", figures, {"command": "optkit compress --quick"})
