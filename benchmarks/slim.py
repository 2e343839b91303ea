"""What slimming saves of a small network, in every precision and both formats, with all 10,000 test images compared."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._result import Figure, write
from optkit import data, registry
from optkit.verify import identity

if TYPE_CHECKING:
    import numpy as np

OPTKIT = (sys.executable, "-m", "optkit")
# 3,894 parameters, as in a pilot that shrank the converter's 9,816 bytes to 6,784, and with one scale for each kernel
# to 6,064.
LAYERS = "conv:6x5:same:stride2,conv:10x3:same,pool:2,conv:12x3:same,conv:14x3,pool:2,flatten"
PILOT_BYTES, PILOT_MERGED_BYTES = 6784, 6064
FED = "--data mnist --scale 1/255"
RECIPES = ("fp16", "dynamic", "int8", "int16x8")
FILES = [
    *(f"{name}.tflite" for name in ("fp32", *RECIPES)),
    *(f"{name}.onnx" for name in ("fp32", "fp16", "dynamic", "int8")),
]


def run(results: Path, _: list[str]) -> list[str]:
    """Write ``slim.json``."""
    with tempfile.TemporaryDirectory(prefix="optkit-bench-") as scratch:
        folder = Path(scratch)
        _optkit(f"train --layers {LAYERS} --epochs 3 --out {folder}/trained")
        model = next((folder / "trained" / "models").glob("*.keras"))
        recipes = " ".join(f"--recipe {name}" for name in RECIPES)
        _optkit(f"compress {model} {FED} {recipes} --out {folder}/run")
        images = _test_images()
        told = {name: _slimmed(folder / "run" / "artifacts" / name, folder, images) for name in FILES}
        int8 = folder / "run" / "artifacts" / "int8.tflite"
        merged = _slim(int8, folder / "merged.tflite", "--merge-scales")
    figures = []
    for name, (record, differing) in told.items():
        most = float(PILOT_BYTES) if name == "int8.tflite" else None
        figures += [
            Figure(f"{name}: bytes before", record["file_bytes_before"], "<=", None, "bytes"),
            Figure(f"{name}: bytes after", record["file_bytes_after"], "<=", most, "bytes"),
            Figure(f"{name}: test images with another output", differing, "<=", 0, "of 10,000"),
        ]
    versus = merged["merge"]["versus"]
    figures += [
        Figure("int8.tflite, scales merged: bytes", merged["file_bytes_after"], "<=", PILOT_MERGED_BYTES, "bytes"),
        Figure("int8.tflite, scales merged: lost on validation", versus["lost"], "<=", None, "of 5,000"),
        Figure("int8.tflite, scales merged: gained on validation", versus["gained"], "<=", None, "of 5,000"),
    ]
    records = {name: record for name, (record, _) in told.items()} | {"merged": merged}
    return write(results, "slim", figures, {"layers": LAYERS, "records": records})


def _optkit(arguments: str) -> None:
    subprocess.run([*OPTKIT, *shlex.split(arguments)], check=True, stdout=subprocess.DEVNULL)


def _slim(path: Path, out: Path, *more: str) -> dict[str, Any]:
    told = out.with_suffix(".json")
    _optkit(shlex.join(["slim", str(path), "--out", str(out), *FED.split(), "--json", str(told), *more]))
    record: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    # Where the scratch folder was says nothing.
    return record | {"path": path.name, "out": out.name}


def _test_images() -> np.ndarray:
    dataset = data.load("mnist")
    return dataset.real(dataset.test.images[:])


def _slimmed(path: Path, folder: Path, images: np.ndarray) -> tuple[dict[str, Any], int]:
    """What was told of it, and how many test images it gives another output, some hundred at a time."""
    out = folder / f"slim-{path.stem}.{registry.format_of(path)}"
    record, differing, step = _slim(path, out), 0, identity.MOST_REAL
    for start in range(0, len(images), step):
        if identity.compare(path, out, images=images[start : start + step]).difference is not None:
            differing += step
    return record, differing
