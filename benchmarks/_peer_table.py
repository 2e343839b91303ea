"""The page of ``scripts/bench peers``: a table per format, and what was seen beside the figures."""

from __future__ import annotations

import datetime as dt
from typing import Any

HEAD = (
    "| tool | what | input | correct of 10,000 | lost, gained | bytes | gzip bytes | p50 | speed-up [95 %] "
    "| p50 with conversion | wall time | lines |\n"
    "| --- | --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |"
)
NOTES = """\
All tools got the same trained LeNet-5 (fp32.tflite, fp32.onnx or the tf_keras file). Those that calibrate got the same
500 training images; the tutorials of tensorflow-model-optimization train on MNIST's training images. Lost images are
right in fp32 of the same format and wrong here; gained the reverse. Speed-up is that of the runtime's call alone
against fp32, one thread, batch 1, all files of a format in one interleaved run; "with conversion" includes quantizing
the input and dequantizing the output where they are integers. Wall time is that of the whole process, second of two
runs or after a warm-up of the imports, packages installed; a job that trains is timed when its file is made, and kept
with it. Lines are those of `benchmarks/peer_scripts` that are neither blank nor a comment, and for optkit the one
command.

Wall times hold different work. A peer's job writes one file and checks nothing. optkit's command starts from the
trained baseline and includes: export of fp32 and of the file, the checks of both in their runtime, their answers to all
validation and test images one by one, speed and memory in fresh processes, and the report; and, where the recipe
trains, a control with the same training but without the technique. The seconds of each stage are in `peers.json`."""


# What the tools' documentation says and their jobs showed; it does not change from run to run.
REMARKS = """\
- No peer's job tells its file's accuracy on test data, an interval of anything, or a measured speed; that is left to
  its user. litert-quantizer prints the size, tensorflow-model-optimization the accuracy of training.
- litert-quantizer: its command line has no calibration; static recipes are for Python only. It recommends dynamic int8
  for processors, and static int8 for neural processing units.
- nncf: takes 300 of the calibration images unless `subset_size` says otherwise. Its package says that it collects
  anonymous usage data unless one opts out (here switched off by CI=true).
- onnxruntime: the preparation that its documentation advises, `quant_pre_process`, needs sympy, which is not among the
  packages that it installs.
- onnxruntime: weights are quantized per tensor unless `per_channel` is set; optkit's are per channel, with a scale for
  each, and so are its biases, which nncf leaves in float without scales.
- tensorflow-model-optimization: the tutorials set no seed, and their files take float input and output. The tutorial of
  quantization-aware training trains for two steps, on 900 images; optkit's `qat:epochs=1` on all training images: their
  accuracies compare the recipes, not the quantizers."""


def page(rows: list[dict[str, Any]], timing: dict[str, Any], traps: dict[str, Any], machine: str) -> str:
    """The whole page in Markdown."""
    parts = ["# optkit and its peers on one LeNet-5", "", f"{dt.datetime.now(dt.UTC).date()}; {machine}.", ""]
    for file_format, about in timing.items():
        parts += [f"## {file_format}", "", HEAD]
        parts += [_line(row) for row in rows if row["format"] == file_format]
        floor = about["noise_floor"]
        if floor:
            parts += ["", f"Noise floor, fp32 against itself: {floor['low']:.3f} to {floor['high']:.3f}."]
        parts += [f"Doubt: {doubt}." for doubt in about["doubts"]]
        parts += [""]
    return "\n".join(
        [*parts, "## What the figures mean", "", NOTES, "", "## Seen beside them", "", *_seen(rows, traps), REMARKS, ""]
    )


def _line(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"| {row['tool']} | {row['job']} | failed: {row['error']} |" + " |" * 9
    versus, speedup = row["versus_fp32"], row["speedup"]
    cells = [
        row["tool"],
        row["like"] if row["job"].startswith(("optkit", "fp32")) else row["job"],
        row["input_type"],
        f"{row['correct']:,}",
        "–" if versus is None else f"{versus['lost']}, {versus['gained']}",
        f"{row['file_bytes']:,}",
        f"{row['gzip_bytes']:,}",
        f"{row['p50_us']:.1f} µs",
        "–" if speedup is None else f"{speedup['ratio']:.2f}× [{speedup['ci95'][0]:.2f}, {speedup['ci95'][1]:.2f}]",
        f"{row['p50_with_conversion_us']:.1f} µs",
        _wall(row),
        "–" if row["lines"] is None else str(row["lines"]),
    ]
    return "| " + " | ".join(cells) + " |"


def _wall(row: dict[str, Any]) -> str:
    if row["wall_seconds"] is None:
        return "–"
    export = row["seconds_by_stage"].get(f"{row['like']}.{row['format']}")
    return f"{row['wall_seconds']:.1f} s" + ("" if export is None else f" (export alone {export:.1f} s)")


def _seen(rows: list[dict[str, Any]], traps: dict[str, Any]) -> list[str]:
    """Remarks that come from this run alone."""
    made = [row for row in rows if not row["error"] and row["lines"] is not None]
    changing = [row["job"] for row in made if not row["same_bytes_twice"]]
    peers = [row for row in made if not row["job"].startswith("optkit")]
    floats = [row["job"] for row in peers if row["format"] == "tflite" and row["input_type"] == "float32"]
    found = [
        "- Two runs of the same job wrote the same bytes, except: " + (", ".join(changing) or "none") + ".",
        "- TFLite files of peers that take and give float32, so that an integer-only device cannot feed them as "
        "they are: " + (", ".join(floats) or "none") + ".",
    ]
    for name, value in traps.items():
        if isinstance(value, dict):
            found.append(f"- {name}: {value['correct']:,} correct, {value['zeros']:.0%} zeros in dense_1's kernel.")
        else:
            found.append(f"- {name}: {value}")
    return found
