"""LeNet-5 made smaller by structured pruning alone: no teacher, no augmentation, no other network."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._result import Figure, write

MOST_BYTES, LEAST_CORRECT = 12_288, 9_900
RECIPE = f"shrink:bytes={MOST_BYTES},epochs=20,learning_rate=0.004+int8"


def run(results: Path, _: list[str]) -> list[str]:
    """Train and shrink in a fresh folder; write ``shrunk.json``."""
    with tempfile.TemporaryDirectory(prefix="optkit-bench-") as scratch:
        command = [sys.executable, "-m", "optkit", "compress", "--recipe", RECIPE, "--recipe", "fp32"]
        subprocess.run([*command, "--formats", "tflite", "--out", "run"], cwd=scratch, check=True)
        report = json.loads((Path(scratch) / "run" / "report.json").read_text(encoding="utf-8"))
    files = {one["name"]: one for one in report["variants"]}
    # Besides both there is the control, which trained as long.
    whole, small = files["fp32"], next(one for name, one in files.items() if name.endswith("+int8"))
    ratio = whole["size"]["file_bytes"] / small["size"]["file_bytes"]
    figures = [
        Figure("bytes of the file", small["size"]["file_bytes"], "<=", MOST_BYTES, "bytes"),
        Figure("test images right", small["accuracy"]["correct"], ">=", LEAST_CORRECT, "of 10,000"),
        Figure("LeNet-5 fp32, test images right", whole["accuracy"]["correct"], ">=", None, "of 10,000"),
        Figure("times smaller than LeNet-5 fp32", ratio, ">=", None, ""),
        Figure("times faster than LeNet-5 fp32", small["latency"]["speedup"]["ratio"], ">=", None, ""),
    ]
    return write(results, "shrunk", figures, {"recipe": RECIPE, "training": report["training"]})
