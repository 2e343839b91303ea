"""Every family of keras.applications, from Keras 3 through the rebuilt model to TFLite and ONNX files."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks._applications import CLASSES, FAMILIES, FILES, IMAGES, FamilyFigures
from benchmarks._result import Figure, write
from optkit.errors import nearest

# As optkit itself demands of a rebuilt model.
LIMIT_DIFFERENCE = 1e-5
# Of the largest logit. Converters fold normalizations into kernels and add in another order.
LIMIT_FP32 = 1e-4
# Decibels. See WHAT_IT_MEANS.
LIMIT_INT8 = 8.0
WHAT_IT_MEANS = """\
Weights are random, so that nothing is downloaded, and alive: each weight and each statistic of batch normalization is
set so that activations keep unit scale, and images differ in their logits. *Difference* is that of the rebuilt model
from the Keras 3 model, in float32, over the largest value: of the logits, and of the layer where it is largest.
*Mutants* are kernels negated or with two channels swapped, one at a time; the comparison must reject each.

*SNR* is the power of what the logits say about an image (their distance from the mean over images) over the power of
the error, on {images} images that calibration has not seen. The limit for int8 is {limit:g} dB, an error of a sixth of
the signal's power. Rounding a tensor to 8 bits by its largest values costs it about 38 dB; some 60 such tensors in a
row leave 20 dB if errors merely add up, and random weights, unlike trained ones, make errors grow from layer to layer.
Broken quantization leaves far less: an answer that ignores the image has 0 dB, one of another network -3 dB. A small
error of the conversion, such as one wrong kernel in a side branch, can hide below that rounding: the limits for float32
are there for it, 1e-5 for the rebuilt model and {fp32:g} of the largest logit for the files.
"""


def run(results: Path, names: list[str]) -> list[str]:
    """Write ``applications.json`` and ``applications.md``; ``names`` are families, none means all.

    Families that are not named keep the rows of the run before.
    """
    for name in names:
        if name not in FAMILIES:
            sys.exit(f"no family {name!r}: {nearest(name, list(FAMILIES))}")
    rows, dates = _earlier(results / "applications.json")
    failed = []
    for family in names or FAMILIES:
        rows.pop(family, None)
        try:
            rows[family] = _measured(family)
        except subprocess.CalledProcessError as error:
            failed.append(f"{family}: {(error.stderr.strip().splitlines() or ['no message'])[-1]}")
            print(f"{family:20} FAILED", flush=True)
            continue
        dates[family] = dt.datetime.now(dt.UTC).date().isoformat()
        print(_row(rows[family]), flush=True)
    ordered = {family: rows[family] for family in FAMILIES if family in rows}
    failed += [f"{family}: not measured" for family in FAMILIES if family not in ordered and not names]
    more = {"families": [msgspec.to_builtins(row) for row in ordered.values()], "dates": dates}
    missed = write(results, "applications", _figures(list(ordered.values())), more)
    (results / "applications.md").write_text(_table(list(ordered.values())))
    return failed + missed


def _earlier(path: Path) -> tuple[dict[str, FamilyFigures], dict[str, str]]:
    if not path.is_file():
        return {}, {}
    content = msgspec.json.decode(path.read_bytes())
    found = msgspec.convert(content["families"], list[FamilyFigures])
    return {row.family: row for row in found}, content["dates"]


def _measured(family: str) -> FamilyFigures:
    """One family, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        command = [sys.executable, "-m", "benchmarks._applications", family, str(out)]
        # As optkit's own workers have it: tf2onnx names constants in the order of a set.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return msgspec.json.decode(out.read_bytes(), type=FamilyFigures)


def _figures(rows: list[FamilyFigures]) -> list[Figure]:
    figures = []
    for row in rows:
        name = row.family
        figures += [
            Figure(f"{name}: difference of the logits", row.difference, "<=", LIMIT_DIFFERENCE, "relative"),
            Figure(f"{name}: largest difference of a layer", row.layer_difference, "<=", LIMIT_DIFFERENCE, "relative"),
            Figure(f"{name}: mutants rejected", row.mutants_found / row.mutants, ">=", 1.0, "fraction"),
        ]
        for file, found in row.files.items():
            if file.startswith("fp32"):
                figures.append(Figure(f"{name}: {file}", found.relative_error, "<=", LIMIT_FP32, "relative"))
            else:
                figures.append(Figure(f"{name}: {file}", found.snr_db, ">=", LIMIT_INT8, "dB"))
    return figures


def _row(row: FamilyFigures) -> str:
    files = " ".join(f"{name} {found.file_bytes:,} B {found.snr_db:.1f} dB" for name, found in row.files.items())
    return (
        f"{row.family:20} {row.layers:4} layers {row.parameters:>10,} parameters, difference {row.difference:.1e}, "
        f"layers {row.layer_difference:.1e}, mutants {row.mutants_found}/{row.mutants}; {files}"
    )


def _table(rows: list[FamilyFigures]) -> str:
    heads = ["family", "input", "layers", "parameters", "difference: logits", "any layer", "mutants rejected"]
    heads += [f"{kind} {figure}" for kind in FILES for figure in ("bytes", "SNR, dB")]
    lines = [f"| {' | '.join(heads)} |", f"| --- | --- {'| --: ' * (len(heads) - 2)}|"]
    for row in rows:
        cells = [row.family, f"{row.side}×{row.side}×3", f"{row.layers}", f"{row.parameters:,}"]
        cells += [f"{row.difference:.1e}", f"{row.layer_difference:.1e}", f"{row.mutants_found} of {row.mutants}"]
        for kind in FILES:
            cells += [f"{row.files[kind].file_bytes:,}", f"{row.files[kind].snr_db:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    meaning = WHAT_IT_MEANS.format(images=IMAGES, limit=LIMIT_INT8, fp32=LIMIT_FP32)
    title = f"# keras.applications: Keras 3 in, TFLite and ONNX out ({CLASSES} classes)"
    return "\n".join([title, "", *lines, "", meaning])
