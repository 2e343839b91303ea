"""A file against a copy of itself: is it ``no measurable difference``, on an idle machine and beside other load?"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._files import folder_of, test_images
from benchmarks._result import Figure, write
from optkit.measure.latency import measure_latency
from optkit.measure.latency_figures import noise_floor, summarize, until_narrow

RUNS = 40
FILES = ("int8.tflite", "fp32.onnx")
BUSY = "while True: pass"


def run(results: Path, names: list[str]) -> list[str]:
    """Write ``same_file.json``; ``names`` may be ``idle`` or ``busy``."""
    artifacts, images = folder_of("lenet5", "fp32", "int8"), test_images()
    figures, raw = [], {}
    for state in names or ("idle", "busy"):
        other = subprocess.Popen([sys.executable, "-c", BUSY]) if state == "busy" else None
        try:
            found = [one(artifacts / FILES[number % len(FILES)], images, number) for number in range(RUNS)]
        finally:
            if other is not None:
                other.kill()
                other.wait()
        raw[state] = found
        right = sum(verdict == "no measurable difference" for verdict, *_ in found)
        figures.append(Figure(f"{state}: no measurable difference", right / RUNS, ">=", 0.95, "of 40 runs"))
        widths = sorted(high / low for _, _, low, high, *_ in found)
        figures.append(Figure(f"{state}: median width of the interval", widths[RUNS // 2] - 1, "<=", None, "relative"))
    return write(results, "same_file", figures, {"runs": raw, "columns": ["verdict", "ratio", "low", "high", "file"]})


def one(file: Path, images: Path, seed: int) -> tuple[str, float, float, float, str]:
    """One run as ``optkit benchmark`` makes it: verdict, ratio and interval of the copy, and the file."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / file.name
        shutil.copy(file, copy)
        result = measure_latency(
            [file, copy], file, images, log=Path(scratch) / "log.txt", seed=seed, go_on=until_narrow(0.02, 15)
        )
        found = summarize(result, copy).speedup
        assert found is not None  # noqa: S101  # the baseline was measured
        floor = noise_floor(result)
        print(f"{file.name:12} {found.ratio:.4f} {found.ci95} {found.verdict}; floor {floor}", flush=True)
        return found.verdict, found.ratio, *found.ci95, file.name
