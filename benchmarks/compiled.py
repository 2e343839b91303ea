"""Generated C held against LiteRT's reference kernels on all 10,000 test images, and against LiteRT in time.

The files are those given as arguments, else those of the front. For each: images with another output (none may
differ), seconds to compile it, and the median time of a call over that of LiteRT with XNNPACK, both on one thread and
interleaved by ``optkit benchmark``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._result import Figure, write
from optkit import data, runtimes
from optkit.runtimes import litert

FRONT = Path(__file__).parent / "pareto" / "files"
OPTKIT = (sys.executable, "-m", "optkit")
MOST_SECONDS, MOST_TIMES = 2.0, 3.0


def run(results: Path, parts: list[str]) -> list[str]:
    """Write ``compiled.json``."""
    files = [Path(one) for one in parts] or sorted(FRONT.glob("*.tflite"))
    if not files:
        raise FileNotFoundError(f"no .tflite files in {FRONT}; name files to compile")
    dataset = data.load("mnist")
    images, labels = dataset.real(dataset.test.images[:]), np.asarray(dataset.test.labels[:])
    figures, records = [], {}
    for file in files:
        with tempfile.TemporaryDirectory(prefix="optkit-bench-") as scratch:
            records[file.name] = record = _file(file, Path(scratch), images, labels)
        figures += [
            Figure(f"{file.name}: test images with another output", record["differing"], "<=", 0, "of 10,000"),
            Figure(f"{file.name}: right answers", record["correct"], ">=", None, "of 10,000"),
            Figure(f"{file.name}: seconds to compile", record["compile_seconds"], "<=", MOST_SECONDS, "s"),
            Figure(f"{file.name}: time, over LiteRT's", record["times_litert"], "<=", MOST_TIMES, "times"),
        ]
    return write(results, "compiled", figures, {"records": records})


def _file(file: Path, folder: Path, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    out = folder / "out"
    start = time.perf_counter()
    subprocess.run(
        [*OPTKIT, "compile", str(file), "--out", str(out), "--prefer", "speed"], check=True, capture_output=True
    )
    seconds = time.perf_counter() - start
    made = out / "model.c"
    session = runtimes.open_model(made)
    native = session.to_native(images)
    session.feed(native)
    session.invoke()
    found = session.fetch()
    reference = litert.open_raw(file, litert.REFERENCE_KERNELS)
    wanted = np.concatenate([reference.run([native[row : row + 1]])[0].reshape(1, -1) for row in range(len(native))])
    told = folder / "report.json"
    command = [*OPTKIT, "benchmark", str(file), str(made), "--json", str(told), "--max-time", "20"]
    subprocess.run(command, check=True, capture_output=True)
    times = {one["format"]: one["latency"]["p50_us"] for one in json.loads(told.read_text())["variants"]}
    return {
        "file_bytes": file.stat().st_size,
        "differing": int((found.reshape(len(found), -1) != wanted).any(axis=1).sum()),
        "distinct_outputs": len(np.unique(wanted, axis=0)),
        "correct": int((wanted.argmax(axis=1) == labels).sum()),
        "compile_seconds": seconds,
        "p50_us": times,
        "times_litert": times["c"] / times["tflite"],
    }
