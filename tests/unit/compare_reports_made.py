"""Two small reports that tests of the comparison change to their needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sample_report import sample_report

from optkit.schema import Comparison, Flip, Speedup

if TYPE_CHECKING:
    from optkit.schema import Report, Variant

replace = msgspec.structs.replace
KEPT = [("fp32", "tflite"), ("int8", "tflite"), ("fp32", "onnx"), ("int8", "onnx")]
OTHER_SHA = "cd" * 32


def small_report() -> Report:
    """fp32 and int8 in both formats."""
    report = sample_report()
    return replace(report, variants=[v for v in report.variants if (v.name, v.format) in KEPT], skipped=[])


def with_file(report: Report, name: str = "int8", file_format: str = "tflite", **fields: Any) -> Report:
    """The report with fields of one file changed; ``None`` as ``sha256`` is left to the caller."""
    variants = [replace(v, **fields) if (v.name, v.format) == (name, file_format) else v for v in report.variants]
    return replace(report, variants=variants)


def file_of(report: Report, name: str = "int8", file_format: str = "tflite") -> Variant:
    """One file of a report."""
    return next(v for v in report.variants if (v.name, v.format) == (name, file_format))


def scored(report: Report, correct: int) -> Report:
    """The int8 TFLite file as another file with so many right answers of 10,000, and no flips listed."""
    accuracy = file_of(report).accuracy
    assert accuracy is not None
    changed = replace(accuracy, correct=correct, top1=correct / accuracy.total)
    return with_file(report, sha256=OTHER_SHA, accuracy=changed, flips=[])


def flipped(report: Report, lost: set[int], gained: set[int], base: int = 9_903) -> Report:
    """The int8 TFLite file with these images lost and gained over fp32, all of them listed."""
    accuracy = file_of(report).accuracy
    assert accuracy is not None
    correct = base - len(lost) + len(gained)
    versus = Comparison(len(lost), len(gained), 0.5, (-0.01, 0.01), "no measurable difference")
    flips = [Flip(index, 3, 5, 3) for index in lost] + [Flip(index, 5, 3, 3) for index in gained]
    changed = replace(accuracy, correct=correct, top1=correct / accuracy.total, versus_baseline=versus)
    return with_file(report, accuracy=changed, flips=flips)


def faster(report: Report, ratio: float, low: float, high: float) -> Report:
    """The int8 TFLite file as another file with this speed-up over fp32."""
    latency = file_of(report).latency
    assert latency is not None
    speedup = Speedup(ratio, (low, high), "better")
    return with_file(report, sha256=OTHER_SHA, latency=replace(latency, speedup=speedup))
