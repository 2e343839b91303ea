"""A runtime that runs the file k times a call: is k inside the interval?"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from benchmarks._files import folder_of, test_images
from benchmarks._result import Figure, write
from optkit.measure.latency import measure_latency
from optkit.measure.latency_figures import summarize, until_narrow

RUNS = 20
# Of 70 to 130 µs: what the counting around a call costs (0.2 µs) is under 0.3 % of them, inside every interval.
FILES = ("fp32.tflite", "fp32.onnx")
PERCENTS = (105, 120, 200)


def run(results: Path, names: list[str]) -> list[str]:  # noqa: ARG001  # a benchmark's signature
    """Write ``k_times.json``."""
    artifacts, images = folder_of("lenet5", "fp32", "int8"), test_images()
    # The measuring processes must find the runtime.
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    found: dict[int, list[tuple[float, float, float]]] = {percent: [] for percent in PERCENTS}
    for number in range(RUNS):
        for percent, interval in one(artifacts / FILES[number % len(FILES)], images, number).items():
            found[percent].append(interval)
    figures = []
    for percent, intervals in found.items():
        k = percent / 100
        inside = sum(low <= k <= high for _, low, high in intervals) / RUNS
        widths = sorted(high / low - 1 for _, low, high in intervals)
        figures.append(Figure(f"k = {k}: inside the interval", inside, ">=", 0.9, "of runs"))
        figures.append(Figure(f"k = {k}: median width of the interval", widths[RUNS // 2], "<=", None, "relative"))
    raw = {str(percent): intervals for percent, intervals in found.items()}
    return write(results, "k_times", figures, {"runs": raw, "columns": ["k", "low", "high"]})


def one(file: Path, images: Path, seed: int) -> dict[int, tuple[float, float, float]]:
    """How many times slower each k seems, with its interval."""
    with tempfile.TemporaryDirectory() as scratch:
        copies = {percent: Path(scratch) / f"{file.stem}-k{percent}{file.suffix}" for percent in (100, *PERCENTS)}
        for copy in copies.values():
            shutil.copy(file, copy)
        result = measure_latency(
            list(copies.values()),
            copies[100],
            images,
            log=Path(scratch) / "log.txt",
            seed=seed,
            go_on=until_narrow(0.02, 20),
            opener="benchmarks._k_runtime:open_model",
        )
        found = {}
        for percent in PERCENTS:
            speedup = summarize(result, copies[percent]).speedup
            assert speedup is not None  # noqa: S101  # the baseline was measured
            found[percent] = (1 / speedup.ratio, 1 / speedup.ci95[1], 1 / speedup.ci95[0])
        print(file.name, {percent: f"{k:.3f} [{low:.3f}, {high:.3f}]" for percent, (k, low, high) in found.items()})
        return found
