"""Generated C held against LiteRT's reference kernels on all 10,000 test images, and against LiteRT in time.

The files are those given, else those of the front and the int8 files of the standard set. For each: images with
another output (none may differ), seconds to compile it, and the median time of a call over that of LiteRT with
XNNPACK, both on one thread and interleaved by ``optkit benchmark``. ``--only exact`` leaves the times out, which need
a quiet machine; ``--only time`` takes what was found of the outputs before. What was found is kept in ``.bench`` by
the file's content and the generator's, so that a run that was stopped goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._compiled_files import exact, generator, named
from benchmarks._records import digest, kept
from benchmarks._result import Figure, write

if TYPE_CHECKING:
    import argparse

    from benchmarks._compiled_files import File

OPTKIT = (sys.executable, "-m", "optkit")
MOST_SECONDS, MOST_TIMES = 2.0, 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which half of it."""
    parser.add_argument("--only", choices=("exact", "time"))


def run(results: Path, parts: list[str], only: str | None = None) -> list[str]:
    """Write ``compiled.json``."""
    files = named(parts, standard=True)
    figures: list[Figure] = []
    records: dict[str, Any] = {}
    for file in files:
        records[file.title] = record = {"sha256": file.sha256, "names": file.names, **exact(file)}
        figures += [
            Figure(f"{file.title}: test images with another output", _differing(record), "<=", 0, "of 10,000"),
            Figure(f"{file.title}: right answers", record["correct"], ">=", None, "of 10,000"),
        ]
        print(f"{file.title}: {_differing(record)} of {record['images']:,} images have another output", flush=True)
    if only != "exact":
        # One machine at one time: what was measured before is used only to go on with the same run.
        key = digest([], generator(), time.strftime("%Y-%m-%d"), *_OPTIONS)
        for file in files:
            found = kept("compiled-time", digest([], file.sha256, key), lambda file=file: _timed(file))  # type: ignore[misc]
            records[file.title] |= found
            figures += [
                Figure(f"{file.title}: seconds to compile", found["compile_seconds"], "<=", MOST_SECONDS, "s"),
                Figure(f"{file.title}: time, over LiteRT's", found["times_litert"], "<=", MOST_TIMES, "times"),
            ]
            print(f"{file.title}: {found['times_litert']:.2f} times LiteRT's time", flush=True)
    return write(results, "compiled", figures, {"records": records})


def _differing(record: dict[str, Any]) -> int:
    return max(int(record["differing_ram"]), int(record["differing_speed"]))


_OPTIONS = ("--max-time", "8", "--min-time", "0.3")


def _timed(file: File) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="optkit-bench-") as scratch:
        folder = Path(scratch)
        seconds = []
        for way in (("--target", "c99"), ("--prefer", "speed")):
            out = folder / way[-1]
            start = time.perf_counter()
            command = [*OPTKIT, "compile", str(file.path), "--out", str(out), *way]
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        told = folder / "report.json"
        command = [*OPTKIT, "benchmark", str(file.path), str(folder / "speed" / "model.c"), "--json", str(told)]
        subprocess.run([*command, *_OPTIONS], check=True, capture_output=True)
        times = {one["format"]: one["latency"]["p50_us"] for one in json.loads(told.read_text())["variants"]}
    return {"compile_seconds": max(seconds), "p50_us": times, "times_litert": times["c"] / times["tflite"]}
