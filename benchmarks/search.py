"""``optkit compress`` with limits, from nothing: what is delivered, in what time, and what the test set says of it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks._process import watch
from benchmarks._result import Figure, write

ARGUMENTS = (
    *("--formats", "tflite", "--max-drop", "0.5pt", "--max-size", "20KB", "--max-latency", "100us"),
    *("--time", "5m"),
)
SECONDS = 300


def run(results: Path, names: list[str]) -> list[str]:  # noqa: ARG001  # a benchmark's signature
    """Run it in a fresh folder, write ``search.json`` and ``search.txt``."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "optkit.cli.main", "compress", *ARGUMENTS, "--out", "run"]
        cost = watch(command, cwd=Path(scratch))
        print(cost.output)
        report = json.loads((Path(scratch) / "run" / "report.json").read_text(encoding="utf-8"))
    results.mkdir(exist_ok=True)
    (results / "search.txt").write_text(cost.output, encoding="utf-8")
    search = report["search"]
    delivered = next(one for one in report["variants"] if one["name"] == search["delivered"])
    whole = next(one for one in report["variants"] if one["name"] == "fp32")
    drop = -100 * delivered["accuracy"]["versus_baseline"]["difference_ci95"][0]
    figures = [
        Figure("exit code", cost.exit_code, "<=", 0, ""),
        # At its end the files that are delivered are measured and asked about the test set.
        Figure("wall time beyond --time", cost.wall_seconds - SECONDS, "<=", 120, "s"),
        Figure("peak memory of all processes", cost.peak_memory_bytes / 2**30, "<=", 4, "GiB"),
        Figure("files tried", len(search["trials"]), ">=", None, ""),
        Figure("bytes of the delivered file", delivered["size"]["file_bytes"], "<=", 20_000, "B"),
        Figure("p50 of the delivered file", delivered["latency"]["p50_us"], "<=", 100, "us"),
        Figure(
            "times smaller than fp32", whole["size"]["file_bytes"] / delivered["size"]["file_bytes"], ">=", None, ""
        ),
        # Of 10,000 images that no choice was made on.
        Figure("drop on the test set, upper end of its 95 % interval", drop, "<=", 0.5, "points"),
    ]
    return write(results, "search", figures, {"command": f"optkit compress {' '.join(ARGUMENTS)}"})
