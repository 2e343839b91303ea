"""How soon the commands answer: ``optkit --help``, and ``optkit benchmark`` up to its first measured block."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks._files import folder_of
from benchmarks._result import Figure, write

RUNS = 11
OPTKIT = Path(sysconfig.get_path("scripts")) / "optkit"


def run(results: Path, names: list[str]) -> list[str]:  # noqa: ARG001  # a benchmark's signature
    """Write ``startup.json``."""
    artifacts = folder_of("lenet5", "fp32", "int8")
    figures = [Figure("optkit --help", median(help_seconds() for _ in range(RUNS)), "<=", 0.2, "s")]
    for name in ("int8.tflite", "fp32.onnx"):
        seconds = [first_block_seconds(artifacts / name) for _ in range(RUNS)]
        print(name, [round(one, 2) for one in seconds])
        figures.append(Figure(f"first measured block of {name}", median(seconds), "<=", 1.5, "s"))
    return write(results, "startup", figures, {"command": "optkit benchmark FILE"})


def help_seconds() -> float:
    """One ``optkit --help``."""
    start = time.perf_counter()
    subprocess.run([str(OPTKIT), "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def first_block_seconds(path: Path) -> float:
    """One benchmark of a file, to the moment at which its worker says that everything is warm."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log.txt"
        command = [str(OPTKIT), "benchmark", str(path), "--out", scratch]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sys.stderr) as process:
            while not log.is_file() or b"measuring begins" not in log.read_bytes():
                if process.poll() is not None:
                    raise RuntimeError(f"{command} ended with exit code {process.returncode}")
                time.sleep(0.002)
            seconds = time.perf_counter() - start
            process.terminate()
        return seconds
