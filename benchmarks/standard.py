"""The bare ``optkit compress``: wall time, memory, and every promise about its files."""

from __future__ import annotations

import datetime as dt
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._process import watch
from benchmarks._result import Figure, write

# What each int8 variant was made from: the float file whose accuracy it should keep.
PARENTS = {
    "int8": "fp32",
    "dynamic": "fp32",
    "int16x8": "fp32",
    "fp16": "fp32",
    "prune+int8": "prune+fp32",
    "prune+fp16": "prune+fp32",
    "qat+int8": "fp32",
    "cluster+int8": "fp32",
    "prune+qat+int8": "prune+fp32",
    "prune+cluster+qat+int8": "prune+fp32",
}
LEAST_GZIP_RATIO = {"prune+int8": 14.0, "prune+cluster+qat+int8": 18.0}


def run(results: Path, names: list[str]) -> list[str]:  # noqa: ARG001  # a benchmark's signature
    """Run it in a fresh folder, write ``standard.json``, ``standard-report.json`` and ``standard.md``."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "optkit.cli.main", "compress", "--out", "run"]
        cost = watch(command, cwd=Path(scratch))
        folder = Path(scratch) / "run"
        print(cost.output)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        training = training_seconds((folder / "log.txt").read_text(encoding="utf-8", errors="replace"))
        results.mkdir(exist_ok=True)
        for suffix in ("json", "md", "html"):
            (results / f"standard-report.{suffix}").write_bytes((folder / f"report.{suffix}").read_bytes())
    (results / "standard.txt").write_text(cost.output, encoding="utf-8")
    figures = [
        Figure("exit code", cost.exit_code, "<=", 0, ""),
        Figure("wall time", cost.wall_seconds, "<=", 480, "s"),
        Figure("peak memory of all processes", cost.peak_memory_bytes / 2**30, "<=", 2.5, "GiB"),
        Figure("share of the time that is training", training / cost.wall_seconds, ">=", 0.5, ""),
        *file_figures(report),
    ]
    return write(results, "standard", figures, {"command": "optkit compress"})


def training_seconds(log: str) -> float:
    """Seconds in which at least one training was running; two at once do not count twice."""
    seconds, running, since = 0.0, 0, dt.datetime.min  # noqa: DTZ901  # only differences are taken
    for line in log.splitlines():
        if " INFO train " not in line:
            continue
        time = dt.datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007
        if running:
            seconds += (time - since).total_seconds()
        running += 1 if line.endswith("started") else -1
        since = time
    return seconds


def file_figures(report: dict[str, Any]) -> list[Figure]:
    """Accuracy and size promises, for both formats."""
    files = {(v["name"], v["format"]): v for v in report["variants"]}
    figures = []
    for file_format in sorted({key[1] for key in files}):
        whole = files["fp32", file_format]
        for name, parent in PARENTS.items():
            variant = files.get((name, file_format))
            if variant is None:
                continue
            drop = (files[parent, file_format]["accuracy"]["top1"] - variant["accuracy"]["top1"]) * 100
            limit = 0.03 if name.endswith("fp16") else 0.3
            figures.append(Figure(f"{name}.{file_format}: accuracy lost against {parent}", drop, "<=", limit, "points"))
        control, pruned = files["finetune+fp32", file_format], files["prune+fp32", file_format]
        drop = (control["accuracy"]["top1"] - pruned["accuracy"]["top1"]) * 100
        figures.append(
            Figure(f"prune+fp32.{file_format}: accuracy lost against the control", drop, "<=", 0.3, "points")
        )
        for name, limit in (("fp16", 0.51), ("int8", 0.27)):
            share = files[name, file_format]["size"]["file_bytes"] / whole["size"]["file_bytes"]
            figures.append(Figure(f"{name}.{file_format}: size against fp32", share, "<=", limit, ""))
        for name, limit in LEAST_GZIP_RATIO.items():
            ratio = whole["size"]["gzip_bytes"] / files[name, file_format]["size"]["gzip_bytes"]
            figures.append(
                Figure(f"{name}.{file_format}: smaller than fp32, both gzipped", ratio, ">=", limit, "times")
            )
    return figures
