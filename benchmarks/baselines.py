"""Test accuracy of every baseline with its default settings, as the exported fp32 TFLite file has it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._result import Figure, write
from optkit import registry

PROMISED = {
    "lenet5": 99.0,
    "cnn-dropout": 99.0,
    "mlp-512": 98.0,
    "mlp-128": 97.5,
    "lenet-300-100": 98.0,
    "mlp-256-128": 95.0,
}


def run(results: Path, names: list[str]) -> list[str]:
    """Train the named ones, or all; write ``baselines.json``, in which the others keep their earlier result."""
    path = results / "baselines.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"figures": []}
    kept = {figure["name"]: figure for figure in earlier["figures"]}
    figures = []
    more: dict[str, object] = {}
    for name in registry.names("baselines"):
        if names and name not in names and name in kept:
            figures.append(Figure(name, kept[name]["value"], ">=", PROMISED.get(name), "%"))
            more[name] = earlier[name]
            continue
        with tempfile.TemporaryDirectory() as scratch:
            options = ["--baseline", name, "--recipe", "fp32", "--formats", "tflite", "--out", "run"]
            command = [sys.executable, "-m", "optkit.cli.main", "compress", *options]
            subprocess.run(command, cwd=scratch, check=True)
            report = json.loads((Path(scratch) / "run" / "report.json").read_text(encoding="utf-8"))
        accuracy = report["variants"][0]["accuracy"]
        figures.append(Figure(name, accuracy["top1"] * 100, ">=", PROMISED.get(name), "%"))
        more[name] = {"ci95": accuracy["ci95"], "training": report["training"]}
    return write(results, "baselines", figures, more)
