"""Synthetic reports of `optkit benchmark`: files that no optkit run made, with and without data."""

from __future__ import annotations

import random
from statistics import median

import msgspec
from sample_report import REPORT_FACTS, confusion

from optkit.schema import (
    Accuracy,
    Check,
    Comparison,
    Compute,
    DataFacts,
    Latency,
    Memory,
    NoiseFloor,
    OperatorFigures,
    Point,
    Report,
    RuntimeFacts,
    ScalingPoint,
    Size,
    Speedup,
    Stopping,
    Variant,
    Verdict,
)

NOT_QUIET = "another process took the core for 14 % of the time: p90 and p99 may be too high"
SPREAD = "the five processes disagree by 9 %, more than their blocks do within: memory layout may decide"
TEST_IMAGES = 2_000
SAME: Verdict = "no measurable difference"

# Name, format, bytes, compressed, p50 in µs, speed-up with its half width and verdict, wrong answers.
FILES = (
    ("mobile", "tflite", 13_978_596, 12_930_114, 9_410.0, None, 0.0, SAME, 141),
    ("mobile-fp16", "tflite", 7_029_188, 6_480_021, 9_480.0, 0.993, 0.012, SAME, 141),
    ("mobile-int8", "tflite", 3_737_312, 3_102_440, 3_020.0, 3.116, 0.05, "better", 152),
    ("mobile-int8-channels", "tflite", 3_801_920, 3_188_012, 3_050.0, 3.085, 0.055, "better", 143),
    ("mobile", "onnx", 13_931_040, 12_899_930, 6_102.0, None, 0.0, SAME, 141),
    ("mobile-qdq", "onnx", 3_690_021, 3_070_500, 4_480.0, 1.362, 0.03, "better", 171),
    ("mobile", "keras", 14_412_330, 13_002_190, 41_300.0, None, 0.0, SAME, 141),
)
LAYERS = 12


def sample_benchmark(*, data: bool = False) -> Report:
    """Seven files in three formats, without recipes; the same on every call."""
    dice = random.Random(11)
    variants = [_variant(dice, row, data=data) for row in FILES]
    return Report(
        **{
            **REPORT_FACTS,
            "command": "optkit benchmark mobile.tflite mobile.onnx mobile.keras --batch 1,8,32 --threads 1,2",
            "warnings": [],
        },
        data=DataFacts("pictures.npz", "1e" * 32, None, None, TEST_IMAGES, None) if data else None,
        noise_floor=[NoiseFloor("tflite", 0.994, 1.006), NoiseFloor("onnx", 0.985, 1.014)],
        recommendation=None,
        pareto=[Point("mobile-int8", "tflite"), Point("mobile-qdq", "onnx"), Point("mobile", "keras")],
        skipped=[],
        training=[],
        variants=variants,
        stopping=[
            Stopping("tflite", "narrow enough", 5, 41.2, 0.02, 0.0179),
            Stopping("onnx", "time is up", 7, 60.4, 0.02, 0.041),
            Stopping("keras", "fixed", 3, 22.0, None, None),
        ],
    )


def single_file() -> Report:
    """One file on generated inputs, with nothing to be held against."""
    report = sample_benchmark()
    one = msgspec.structs.replace(report.variants[2], is_baseline=True, scaling=[])
    alone = msgspec.structs.replace(one, latency=msgspec.structs.replace(one.latency, speedup=None, doubts=[]))
    return msgspec.structs.replace(report, variants=[alone], stopping=[], noise_floor=[], pareto=[])


def _variant(
    dice: random.Random,
    row: tuple[str, str, int, int, float, float | None, float, Verdict, int],
    *,
    data: bool,
) -> Variant:
    name, suffix, file_bytes, gzip_bytes, p50_us, ratio, half, verdict, wrong = row
    weight_bytes = file_bytes - 64_000
    speedup = None if ratio is None else Speedup(ratio, (ratio - half, ratio + half), verdict)
    doubts = {"mobile-fp16": [SPREAD], "mobile-qdq": [NOT_QUIET, SPREAD]}.get(name, [])
    return Variant(
        name=name,
        format=suffix,
        runtime={"tflite": "litert 2.3.0", "onnx": "onnxruntime 1.31.0", "keras": "keras 2.21.0"}[suffix],
        recipe=None,
        path=f"models/{name}.{suffix}",
        sha256=f"{dice.getrandbits(256):064x}",
        status="ok",
        is_baseline=ratio is None,
        checks=[Check("opens", passed=True, observed="opened", limit=None, unit="")],
        size=Size(
            file_bytes=file_bytes,
            gzip_bytes=gzip_bytes,
            weight_bytes=weight_bytes,
            overhead_bytes=64_000,
            parameters=3_504_872,
            nonzero_parameters=3_504_001,
            bytes_by_kind={"weights": weight_bytes, "scales_and_constants": 30_000, "names": 20_000, "padding": 14_000},
        ),
        compute=Compute(macs=300_774_272),
        accuracy=_accuracy(dice, wrong, baseline=ratio is None) if data else None,
        latency=_latency(dice, p50_us, speedup, doubts),
        memory=Memory(peak_rss_bytes=21_000_000 + file_bytes),
        scaling=[] if suffix == "keras" else list(_scaling(p50_us)),
        operators=[] if suffix == "keras" else _operators(p50_us, weight_bytes, profiled=suffix == "tflite"),
        runtime_facts=_runtime_facts(suffix),
    )


def _runtime_facts(suffix: str) -> RuntimeFacts | None:
    if suffix == "tflite":
        return RuntimeFacts("1.14.0", "XNNPACK", 66, delegated_nodes=64)
    if suffix == "onnx":
        return RuntimeFacts("1.8", "all (level 99)", 103, nodes_after_optimization=57)
    return None


def _accuracy(dice: random.Random, wrong: int, *, baseline: bool) -> Accuracy:
    right = TEST_IMAGES - wrong
    lost = max(0, wrong - 141) + 6
    versus = Comparison(lost, 6, 0.001 if lost > 20 else 0.3, (-0.01, 0.002), "worse" if lost > 20 else SAME)
    return Accuracy(
        correct=right,
        total=TEST_IMAGES,
        top1=right / TEST_IMAGES,
        ci95=(right / TEST_IMAGES - 0.012, right / TEST_IMAGES + 0.011),
        confusion=confusion(dice, wrong, TEST_IMAGES),
        versus_baseline=None if baseline else versus,
    )


def _latency(dice: random.Random, p50_us: float, speedup: Speedup | None, doubts: list[str]) -> Latency:
    blocks = [[p50_us * dice.gauss(1.0, 0.012) for _ in range(12)] for _ in range(5)]
    return Latency(
        p50_us=median(median(process) for process in blocks),
        p90_us=p50_us * 1.09,
        p99_us=None,
        min_us=p50_us * 0.96,
        p50_with_conversion_us=None,
        samples=600,
        processes=5,
        threads=1,
        batch=1,
        load_ms=11.2,
        first_ms=14.8,
        blocks_us=blocks,
        speedup=speedup,
        doubts=doubts,
    )


def _scaling(p50_us: float) -> list[ScalingPoint]:
    points = []
    for threads, gain in ((1, 1.0), (2, 1.82)):
        for batch, better in ((1, 1.0), (8, 1.11), (32, 1.14)):
            rate = 1e6 / p50_us * gain * better
            ratio = gain * better
            throughput = Speedup(ratio, (ratio * 0.97, ratio * 1.03), "better")
            points.append(
                ScalingPoint(
                    batch=batch,
                    threads=threads,
                    p50_us=1e6 * batch / rate,
                    images_per_second=rate,
                    ci95=(rate * 0.97, rate * 1.03),
                    throughput=throughput if points else None,
                )
            )
    return points


def _operators(p50_us: float, weight_bytes: int, *, profiled: bool) -> list[OperatorFigures]:
    """A convolution, a depthwise one and so on: the last counts nothing and stores nothing."""
    shares = [2.0 ** -(layer // 3) for layer in range(LAYERS)]
    total = sum(shares)
    found = [
        OperatorFigures(
            kind="DEPTHWISE_CONV_2D" if layer % 2 else "CONV_2D",
            name=f"block_{layer}/convolution",
            macs=int(300_774_272 * share / total),
            weight_bytes=int(weight_bytes * share / total),
            mean_us=p50_us * share / total if profiled else None,
        )
        for layer, share in enumerate(shares)
    ]
    return [*found, OperatorFigures("SOFTMAX", "", None, 0, 1.3 if profiled else None)]
