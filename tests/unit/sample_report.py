"""A synthetic report of the standard set: realistic in shape, invented in every figure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import median
from typing import Any

from optkit.report.pictures import encode_png
from optkit.schema import (
    Accuracy,
    AccuracyValidation,
    Calibration,
    Check,
    Comparison,
    Compute,
    DataFacts,
    Environment,
    Epoch,
    Flip,
    Latency,
    LayerNote,
    Memory,
    NoiseFloor,
    Parity,
    Point,
    Recipe,
    Recommendation,
    Report,
    Size,
    Skipped,
    Speedup,
    Step,
    Training,
    Variant,
    Verdict,
    Why,
)

TEST_IMAGES, VALIDATION_IMAGES = 10_000, 5_000
BASELINE_CORRECT = 9_903
PARAMETERS, MACS = 431_080, 2_293_000


@dataclass(frozen=True)
class Row:
    name: str
    format: str
    file_bytes: int
    gzip_bytes: int
    nonzero: float
    lost: int
    gained: int
    p50_us: float
    ratio: float | None
    accuracy_verdict: Verdict = "no measurable difference"
    speed_verdict: Verdict = "better"
    why: tuple[Why, ...] = ()


DENSE = Why(
    "unstructured sparsity",
    "90.0 % of the weights are zero, but every zero is stored: the file is as large as before.",
)
HALF = Why(
    "fp16 stored, computed as fp32",
    "4 DEQUANTIZE operators turn float16 weights into float32 when the file is loaded: 0.99× [0.97, 1.02].",
)
SLOW16 = Why(
    "no fast kernel for int16 activations",
    "All 4 multiplying operators take int16 activations: 1,303 µs against 75.2 µs.",
)
CONVI = Why("dynamic quantization of a convolution", "2 ConvInteger nodes: 228 µs against 109 µs.")
SAME: Verdict = "no measurable difference"

ROWS = (
    Row("fp32", "tflite", 1_730_112, 1_601_220, 0.999, 0, 0, 75.2, None),
    Row("fp16", "tflite", 869_424, 801_112, 0.999, 1, 1, 75.6, 0.99, speed_verdict=SAME, why=(HALF,)),
    Row("dynamic", "tflite", 447_664, 392_115, 0.98, 4, 6, 31.4, 2.39),
    Row("int8", "tflite", 448_768, 393_001, 0.98, 9, 7, 37.3, 2.02),
    Row("int16x8", "tflite", 450_920, 395_440, 0.98, 4, 5, 1303.0, 0.058, speed_verdict="worse", why=(SLOW16,)),
    Row("finetune+fp32", "tflite", 1_730_112, 1_602_880, 0.999, 11, 22, 75.0, 1.0, speed_verdict=SAME),
    Row("prune+fp32", "tflite", 1_730_112, 211_540, 0.1, 17, 19, 75.4, 1.0, speed_verdict=SAME, why=(DENSE,)),
    Row(
        "prune+fp16",
        "tflite",
        869_424,
        131_888,
        0.1,
        17,
        19,
        75.9,
        0.99,
        speed_verdict=SAME,
        why=(DENSE, HALF),
    ),
    Row("prune+int8", "tflite", 448_768, 88_930, 0.098, 21, 17, 37.2, 2.02, why=(DENSE,)),
    Row("cluster+int8", "tflite", 448_896, 160_210, 0.93, 25, 18, 37.4, 2.01),
    Row("qat+int8", "tflite", 449_776, 394_118, 0.98, 10, 21, 37.0, 2.03),
    Row("prune+qat+int8", "tflite", 441_776, 90_120, 0.1, 5, 7, 36.9, 2.04, why=(DENSE,)),
    Row(
        "prune+cluster+qat+int8",
        "tflite",
        449_776,
        73_812,
        0.1,
        61,
        14,
        37.1,
        2.03,
        accuracy_verdict="worse",
        why=(DENSE,),
    ),
    Row("fp32", "onnx", 1_727_410, 1_599_801, 0.999, 0, 0, 109.1, None),
    Row("fp16", "onnx", 865_220, 799_430, 0.999, 1, 1, 114.2, 0.955, speed_verdict="worse", why=(HALF,)),
    Row("dynamic", "onnx", 440_100, 390_777, 0.98, 5, 6, 228.4, 0.478, speed_verdict="worse", why=(CONVI,)),
    Row("int8", "onnx", 454_061, 396_220, 0.98, 9, 8, 60.3, 1.81),
    Row("finetune+fp32", "onnx", 1_727_410, 1_600_100, 0.999, 11, 22, 109.0, 1.0, speed_verdict=SAME),
    Row("prune+fp32", "onnx", 1_727_410, 209_900, 0.1, 17, 19, 109.3, 1.0, speed_verdict=SAME, why=(DENSE,)),
    Row(
        "prune+fp16",
        "onnx",
        865_220,
        130_020,
        0.1,
        17,
        19,
        114.0,
        0.957,
        speed_verdict="worse",
        why=(DENSE, HALF),
    ),
    Row("prune+int8", "onnx", 454_061, 91_330, 0.098, 21, 17, 60.1, 1.82, why=(DENSE,)),
    Row("cluster+int8", "onnx", 454_090, 162_010, 0.93, 25, 18, 60.4, 1.81),
    Row("qat+int8", "onnx", 455_330, 397_450, 0.98, 10, 21, 60.0, 1.82),
    Row("prune+qat+int8", "onnx", 455_330, 93_002, 0.1, 6, 7, 60.2, 1.81, why=(DENSE,)),
)


def confusion(dice: random.Random, wrong: int, total: int) -> list[list[int]]:
    table = [[0] * 10 for _ in range(10)]
    for label in range(10):
        table[label][label] = total // 10
    for _ in range(wrong):
        label, answer = dice.sample(range(10), 2)
        table[label][label] -= 1
        table[label][answer] += 1
    return table


def _comparison(row: Row, total: int) -> Comparison:
    centre = (row.gained - row.lost) / total
    half = 1.96 * (row.gained + row.lost) ** 0.5 / total
    return Comparison(
        lost=row.lost,
        gained=row.gained,
        p_value=1e-6 if row.accuracy_verdict == "worse" else 0.4,
        difference_ci95=(centre - half, centre + half),
        verdict=row.accuracy_verdict,
    )


def _flips(dice: random.Random, row: Row) -> list[Flip]:
    flips = []
    for index in sorted(dice.sample(range(300, 360), min(60, row.lost + row.gained))):
        label, answer = dice.sample(range(10), 2)
        kept = len(flips) < row.lost
        flips.append(
            Flip(index=index, baseline=label if kept else answer, answer=answer if kept else label, label=label)
        )
    return flips


def _latency(dice: random.Random, row: Row) -> Latency:
    blocks = [[row.p50_us * dice.gauss(1.0, 0.012) for _ in range(12)] for _ in range(5)]
    speedup = None
    if row.ratio is not None:
        speedup = Speedup(ratio=row.ratio, ci95=(row.ratio * 0.97, row.ratio * 1.03), verdict=row.speed_verdict)
    return Latency(
        p50_us=median(median(process) for process in blocks),
        p90_us=row.p50_us * 1.08,
        p99_us=None,
        min_us=row.p50_us * 0.95,
        p50_with_conversion_us=row.p50_us + 1.4,
        samples=600,
        processes=5,
        threads=1,
        batch=1,
        load_ms=1.9,
        first_ms=0.41,
        blocks_us=blocks,
        speedup=speedup,
    )


def _variant(dice: random.Random, row: Row) -> Variant:
    steps = tuple(
        Step(name, {"epochs": 2} if name in {"prune", "qat", "cluster", "finetune"} else {})
        for name in row.name.split("+")
    )
    right = BASELINE_CORRECT - row.lost + row.gained
    versus = None if row.ratio is None else _comparison(row, TEST_IMAGES)
    quantized = steps[-1].name in {"int8", "int16x8"}
    weight_bytes = min(
        row.file_bytes - 9_000,
        PARAMETERS * (4 if steps[-1].name == "fp32" else 2 if steps[-1].name == "fp16" else 1),
    )
    scales = 4_600 if quantized else 0
    return Variant(
        name=row.name,
        format=row.format,
        runtime="litert" if row.format == "tflite" else "onnxruntime",
        recipe=Recipe(row.name, steps),
        path=f"artifacts/{row.name}.{row.format}",
        sha256=f"{dice.getrandbits(256):064x}",
        status="ok",
        checks=[
            Check("opens", passed=True, observed="opened", limit=None, unit=""),
            Check(
                "top-1 agreement",
                passed=True,
                observed=0.9991,
                limit=0.99,
                unit="fraction",
                reason="int8 rounds",
            ),
        ],
        size=Size(
            file_bytes=row.file_bytes,
            gzip_bytes=row.gzip_bytes,
            weight_bytes=weight_bytes,
            overhead_bytes=row.file_bytes - weight_bytes,
            parameters=PARAMETERS,
            nonzero_parameters=int(PARAMETERS * row.nonzero),
            bytes_by_kind={
                "weights": weight_bytes,
                "biases": 2_320,
                "scales_and_constants": scales,
                "padding": 60,
                "structure": row.file_bytes - weight_bytes - scales - 2_380,
            },
        ),
        compute=Compute(macs=MACS),
        accuracy=Accuracy(
            correct=right,
            total=TEST_IMAGES,
            top1=right / TEST_IMAGES,
            ci95=(right / TEST_IMAGES - 0.0021, right / TEST_IMAGES + 0.0018),
            confusion=confusion(dice, TEST_IMAGES - right, TEST_IMAGES),
            versus_baseline=versus,
            versus_control=versus if "prune" in row.name else None,
        ),
        accuracy_validation=AccuracyValidation(
            correct=4_950 + (row.gained - row.lost) // 2,
            total=VALIDATION_IMAGES,
            versus_baseline=None if row.ratio is None else _comparison(row, VALIDATION_IMAGES),
        ),
        flips=_flips(dice, row),
        latency=_latency(dice, row),
        memory=Memory(peak_rss_bytes=3_200_000 + row.file_bytes),
        parity=Parity(
            reference=f"models/{row.name}.keras",
            max_abs_error=0.0117,
            top1_agreement=0.9991,
            passed=True,
            images=1_000,
            mean_abs_error=0.0004,
            max_error_steps=3.0 if quantized else None,
        ),
        layers=[
            LayerNote("conv1", changed="prune" in row.name, reason="" if "prune" in row.name else "not asked for"),
            LayerNote("dense1", changed=True, reason=""),
        ],
        why=list(row.why),
    )


def failed_variant() -> Variant:
    """A file that was written but answers the same class to everything."""
    return Variant(
        name="prune+cluster+qat+int8",
        format="onnx",
        runtime="onnxruntime",
        recipe=Recipe("prune+cluster+qat+int8", (Step("prune"), Step("cluster"), Step("qat"), Step("int8"))),
        path="artifacts/prune+cluster+qat+int8.onnx",
        sha256="ab" * 32,
        status="failed",
        failures=["answers class 3 to every one of 1,000 images"],
        checks=[
            Check(
                "not constant",
                passed=False,
                observed=1,
                limit=2,
                unit="classes",
                reason="a model with ten classes answers more than one",
            )
        ],
    )


def _picture(index: int) -> str:
    dice = random.Random(index)
    x, y = dice.uniform(9, 18), dice.uniform(9, 18)
    radius = dice.uniform(5, 9)
    pixels = bytearray()
    for row in range(28):
        for column in range(28):
            distance = abs(((row - y) ** 2 + (column - x) ** 2) ** 0.5 - radius)
            pixels.append(max(0, int(255 - 130 * distance)))
    return encode_png(bytes(pixels), width=28, height=28)


# What does not depend on what was measured.
REPORT_FACTS: dict[str, Any] = {
    "schema_version": 1,
    "optkit_version": "0.1.0",
    "created": "2031-02-03T04:05:06Z",
    "environment": Environment(
        cpu_model="Synthetic CPU 9000",
        cpu_flags=["avx2", "avx512_vnni", "fma", "sse2"],
        cores=2,
        memory_bytes=24 * 2**30,
        os="Linux 6.1 (synthetic)",
        python="3.11.7",
        packages={"ai-edge-litert": "2.3.0", "onnxruntime": "1.31.0", "tensorflow": "2.21.0"},
        load_average_before=(1.9, 1.2, 0.8),
        load_average_after=(1.1, 1.1, 0.9),
    ),
}


def sample_report() -> Report:
    """24 files and one that failed, in two formats; the same on every call."""
    dice = random.Random(7)
    variants = [*(_variant(dice, row) for row in ROWS), failed_variant()]
    shown = sorted({flip.index for variant in variants for flip in variant.flips})
    return Report(
        **REPORT_FACTS,
        command="optkit compress --seed 7 --out example",
        warnings=["load average 1.9 on 2 cores before measuring: other work was running"],
        data=DataFacts(
            name="mnist",
            sha256="0f" * 32,
            train=55_000,
            validation=VALIDATION_IMAGES,
            test=TEST_IMAGES,
            calibration=Calibration(count=500, source="train", disjoint_from_test=True),
        ),
        noise_floor=[NoiseFloor("onnx", 0.985, 1.017), NoiseFloor("tflite", 0.99, 1.012)],
        recommendation=Recommendation(
            "prune+qat+int8", "tflite", "Of the files that passed all checks, this is the smallest."
        ),
        pareto=[
            Point("dynamic", "tflite"),
            Point("prune+qat+int8", "tflite"),
            Point("int8", "onnx"),
            Point("dynamic", "onnx"),
        ],
        skipped=[Skipped("int16x8", "onnx", "ONNX Runtime has no int16 activation kernels")],
        training=[
            Training(
                stage,
                [
                    Epoch(
                        loss=0.2 / (epoch + 1),
                        accuracy=0.95 + 0.01 * min(epoch, 4),
                        validation_loss=0.18 / (epoch + 1) + 0.01,
                        validation_accuracy=0.955 + 0.008 * min(epoch, 4),
                        seconds=10.2,
                    )
                    for epoch in range(epochs)
                ],
            )
            for stage, epochs in (
                ("lenet5", 10),
                ("finetune", 2),
                ("prune", 2),
                ("cluster", 2),
                ("qat", 2),
                ("prune+qat", 2),
            )
        ],
        variants=variants,
        pictures={str(index): _picture(index) for index in shown},
    )
