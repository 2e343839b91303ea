"""For each cause: a file and measurement that have it, and ones that lack the mark or the effect."""

from __future__ import annotations

from dataclasses import replace as with_
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from sample_report import sample_report

from optkit.readback import Constant, ModelFacts, Operator, Port
from optkit.report.why import explain
from optkit.schema import Compute, Environment, Size, Speedup, Variant, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

replace = msgspec.structs.replace
REPORT = sample_report()
BASE = next(v for v in REPORT.variants if (v.name, v.format) == ("fp32", "tflite"))
VNNI = REPORT.environment
DICE = np.random.default_rng(5)


def variant(
    verdict: Verdict | None = "no measurable difference", *, p50_us: float = 75.0, ratio: float = 1.0
) -> Variant:
    speedup = None if verdict is None else Speedup(ratio, (ratio - 0.02, ratio + 0.02), verdict)
    return replace(BASE, name="x", latency=replace(BASE.latency, p50_us=p50_us, speedup=speedup))


def kernel(values: np.ndarray, name: str = "k", operator: int = 0, axis: int | None = 0, **more: Any) -> Constant:
    scales = () if values.dtype.kind == "f" else (0.1,) * (1 if axis is None else values.shape[axis])
    zero_points = more.pop("zero_points", (0,) * len(scales))
    kept = more.pop("file_bytes", values.nbytes)
    return Constant(name, "weight", operator, str(values.dtype), values, axis, scales, zero_points, kept)


def floats(*shape: int, dtype: str = "float32") -> np.ndarray:
    return DICE.normal(size=shape).astype(dtype)


def integers(*shape: int) -> np.ndarray:
    return DICE.integers(-127, 128, size=shape).astype(np.int8)


def operator(kind: str = "FULLY_CONNECTED", *inputs: str, macs: int | None = 100_000, name: str = "dense") -> Operator:
    return Operator(kind, name, macs, inputs or ("float32",), ("float32",))


def file(*parts: Operator | Constant, file_format: str = "tflite", port: str = "float32") -> ModelFacts:
    io = Port("io", port, (1, 10), None, None)
    return ModelFacts(
        format=file_format,
        file_bytes=1000,
        inputs=(io,),
        outputs=(io,),
        operators=tuple(p for p in parts if isinstance(p, Operator)) or (operator(),),
        constants=tuple(p for p in parts if isinstance(p, Constant)),
    )


def causes(which: Variant, facts: ModelFacts, environment: Environment = VNNI) -> dict[str, str]:
    return {why.cause: why.detail for why in explain(which, BASE, facts, environment)}


HALF_FILE = file(
    operator("DEQUANTIZE", "float16", macs=None),
    operator(),
    kernel(floats(8, 8, dtype="float16"), operator=1),
)
INT4 = "int4 convolutions are unpacked in every call"
HALF = "fp16 stored, computed as fp32"


def test_half_precision_that_is_computed_in_single() -> None:
    detail = causes(variant(), HALF_FILE)[HALF]
    assert "1 weight tensors are stored in 128 bytes of float16; 1 DEQUANTIZE" in detail
    assert "1.00× [0.98, 1.02]" in detail


def test_half_precision_in_onnx_names_the_processor() -> None:
    facts = file(operator("Gemm", "float16"), kernel(floats(8, 8, dtype="float16")), file_format="onnx")
    assert "Synthetic CPU 9000 has no float16 arithmetic" in causes(variant("worse", ratio=0.9), facts)[HALF]
    single = file(operator("Gemm", "float32"), kernel(floats(8, 8)), file_format="onnx")
    assert HALF not in causes(variant("worse", ratio=0.9), single)
    arm = replace(VNNI, cpu_flags=["asimdhp", "asimddp"])
    assert HALF not in causes(variant("worse"), facts, arm)


@pytest.mark.parametrize(
    ("which", "facts"),
    [
        (variant("better", ratio=2), HALF_FILE),
        (variant(None), HALF_FILE),
        (replace(variant(), latency=None), HALF_FILE),
        (variant(), file(operator(), kernel(floats(8, 8)))),
        (variant(), file(operator(), kernel(floats(8, 8, dtype="float16")))),
    ],
)
def test_half_precision_is_not_blamed_without_mark_and_effect(which: Variant, facts: ModelFacts) -> None:
    assert HALF not in causes(which, facts)


WIDE = "no fast kernel for int16 activations"


def test_int16_activations_without_a_kernel() -> None:
    facts = file(operator("CONV_2D", "int16", "int8"), operator("RESHAPE", "int16", macs=None), kernel(integers(8, 64)))
    slow = variant("worse", p50_us=1303, ratio=0.058)
    assert "1 of 1 multiplying operators" in causes(slow, facts)[WIDE]
    assert "1,303 µs against 75" in causes(slow, facts)[WIDE]
    assert WIDE not in causes(variant("better", ratio=1.3), facts)
    assert WIDE not in causes(slow, file(operator("CONV_2D", "int8", "int8"), kernel(integers(8, 64))))
    assert WIDE not in causes(slow, with_(facts, format="onnx"))


DYNAMIC = "dynamic quantization of a convolution"


def test_dynamic_quantization_of_a_convolution() -> None:
    facts = file(operator("ConvInteger", "uint8", "int8", name="conv1"), kernel(integers(8, 64)), file_format="onnx")
    assert "1 ConvInteger nodes (conv1)" in causes(variant("worse", ratio=0.48), facts)[DYNAMIC]
    assert DYNAMIC not in causes(variant("better", ratio=1.5), facts)
    dense = file(operator("MatMulInteger", "uint8", "int8"), kernel(integers(8, 64)), file_format="onnx")
    assert DYNAMIC not in causes(variant("worse", ratio=0.48), dense)


SPARSE = "unstructured sparsity"


def _with_zeros(values: np.ndarray, fraction: float, zero: int = 0) -> np.ndarray:
    flat = values.copy().ravel()
    flat[: int(fraction * flat.size)] = zero
    return flat.reshape(values.shape)


def test_zeros_that_take_room() -> None:
    detail = causes(variant(), file(kernel(_with_zeros(floats(50, 40), 0.9))))[SPARSE]
    assert detail.startswith("90.0 % of the 2,000 weights are zero, but each takes its room in the file (8,000 bytes")
    assert "no kernel skips them" in detail
    assert "1,601,220 bytes instead of 1,730,112 (1.08×)" in detail


def test_zeros_are_counted_at_the_zero_point() -> None:
    values = _with_zeros(integers(20, 100), 0.8, zero=3)
    assert SPARSE in causes(variant(), file(kernel(values, zero_points=(3,) * 20)))
    assert SPARSE not in causes(variant(), file(kernel(values, zero_points=(4,) * 20)))
    assert SPARSE in causes(variant(), file(kernel(values, axis=None, zero_points=(3,))))


@pytest.mark.parametrize(
    "facts",
    [
        file(kernel(floats(50, 40))),
        file(kernel(_with_zeros(floats(50, 40), 0.3))),
        file(kernel(_with_zeros(floats(50, 40), 0.9), file_bytes=900)),
        file(operator()),
    ],
)
def test_sparsity_is_not_claimed_when_dense_or_stored_sparsely(facts: ModelFacts) -> None:
    assert SPARSE not in causes(variant(), facts)


def test_work_is_only_said_to_be_the_same_when_it_was_counted() -> None:
    facts = file(kernel(_with_zeros(floats(50, 40), 0.9)))
    assert "kernel skips" not in causes(replace(variant(), compute=Compute(1)), facts)[SPARSE]
    assert "kernel skips" not in causes(replace(variant(), compute=None), facts)[SPARSE]


CLUSTERS = "clusters are smaller only when compressed"


def _of(values: int, *shape: int, dtype: Any = np.int8) -> np.ndarray:
    return DICE.integers(0, values, size=shape).astype(dtype)


def test_repeated_values_that_are_stored_in_full() -> None:
    per_channel = causes(variant("better"), file(kernel(_of(16, 4, 200))))[CLUSTERS]
    assert per_channel.startswith("1 kernels have at most 16 distinct values in a channel or tensor")
    assert "in 8 bits" in per_channel
    assert "in 32 bits" in causes(variant(), file(kernel(_of(16, 40, 40, dtype=np.float32), axis=None)))[CLUSTERS]


@pytest.mark.parametrize(
    "facts",
    [
        file(kernel(integers(4, 2000))),
        file(kernel(floats(40, 40))),
        file(kernel(_of(16, 4, 20))),
        file(kernel(_of(16, 4, 200), "a"), kernel(integers(4, 2000), "b")),
        file(with_(kernel(_of(16, 4, 200)), dtype="int4")),
    ],
    ids=["int8", "float", "channel-too-small", "minority", "int4"],
)
def test_clusters_are_not_claimed_where_values_do_not_repeat(facts: ModelFacts) -> None:
    assert CLUSTERS not in causes(variant(), facts)


OVERHEAD = "the call costs more than the arithmetic"


def test_a_model_so_small_that_the_call_decides() -> None:
    tiny = file(operator(macs=2_000), operator("SOFTMAX", macs=0))
    detail = causes(variant(p50_us=8.0), tiny)[OVERHEAD]
    assert "2,000 multiply-accumulates take 8.00 µs: 250 per microsecond" in detail
    assert OVERHEAD not in causes(variant("better", p50_us=8.0), tiny)
    assert OVERHEAD not in causes(variant(p50_us=75.0), file(operator(macs=2_000_000)))
    assert OVERHEAD not in causes(variant(p50_us=1300.0), tiny)
    assert OVERHEAD not in causes(variant(p50_us=8.0), file(operator(macs=None)))


GREW = "quantization made a small file larger"


def _sized(file_bytes: int, weight_bytes: int) -> Size:
    return Size(file_bytes, file_bytes, weight_bytes, file_bytes - weight_bytes, 100, 100, {})


def test_quantization_that_made_the_file_larger() -> None:
    base = replace(BASE, size=_sized(3000, 400))
    grown, shrunk = (replace(variant(), size=_sized(size, 100)) for size in (4000, 2900))
    quantized = file(kernel(integers(10, 10)))
    found = {w.cause: w.detail for w in explain(grown, base, quantized, VNNI)}
    assert "Weights went from 400 to 100 bytes" in found[GREW]
    assert "from 2,600 to 3,900" in found[GREW]
    assert GREW not in {w.cause for w in explain(shrunk, base, quantized, VNNI)}
    assert GREW not in {w.cause for w in explain(grown, base, file(kernel(floats(10, 10))), VNNI)}
    assert GREW not in {w.cause for w in explain(grown, None, quantized, VNNI)}
    assert GREW not in {w.cause for w in explain(grown, grown, quantized, VNNI)}


LEFT = "layers left in float"


def test_layers_left_in_float_are_named() -> None:
    mixed = file(
        operator(name="conv1"),
        operator(name=""),
        kernel(integers(10, 10), "q"),
        kernel(floats(10, 10), "w2", 1),
    )
    assert causes(variant("better"), mixed)[LEFT] == (
        "w2: 1 of 2 kernels are not quantized and take 400 of 500 bytes of weights, 300 more than in int8; 50.0 % of "
        "the multiply-accumulates are computed in float."
    )
    fused = file(operator(name="a/Relu;a/Conv2D"), kernel(floats(10, 10)), kernel(integers(10, 10), "q", -1))
    assert causes(variant(), fused)[LEFT].startswith("a/Relu: ")
    named = file(operator(name="conv1"), kernel(floats(10, 10), "w", 0), kernel(integers(10, 10), "q", -1))
    assert causes(variant(), named)[LEFT].startswith("conv1: ")
    assert LEFT not in causes(variant(), file(kernel(floats(10, 10))))
    assert LEFT not in causes(variant(), file(kernel(integers(10, 10))))


CASTS = "Cast nodes"


@pytest.mark.parametrize("kind", ["CAST", "Cast"])
def test_casts(kind: str) -> None:
    facts = file(operator(), operator(kind, macs=None, name="c1"))
    assert causes(variant(), facts)[CASTS].startswith("1 of 2 operators only convert types (c1)")
    assert CASTS not in causes(variant("better"), facts)
    assert CASTS not in causes(variant(), file(operator()))


UNFUSED = "unfused Quantize/Dequantize pairs"


def test_quantize_operators_inside_a_tflite_graph() -> None:
    weights = kernel(integers(10, 10))
    both = (operator("QUANTIZE", "float32", macs=None), operator("DEQUANTIZE", "int8", macs=None))
    assert (
        "2 QUANTIZE and DEQUANTIZE operators stand inside"
        in causes(variant(), file(*both, weights, port="int8"))[UNFUSED]
    )
    assert UNFUSED not in causes(variant(), file(*both, weights))
    assert UNFUSED not in causes(variant("better"), file(*both, weights, port="int8"))
    assert UNFUSED not in causes(variant(), HALF_FILE)
    # From uint8 at the input to int8 inside: no float in between.
    assert UNFUSED not in causes(variant(), file(operator("QUANTIZE", "uint8", macs=None), weights, port="uint8"))


def test_onnx_operators_without_an_integer_kernel_are_named() -> None:
    weights, dq = kernel(integers(10, 10)), operator("DequantizeLinear", "int8", macs=None)
    odd = file(dq, operator("Conv"), operator("Tanh", macs=0, name="t"), weights, file_format="onnx")
    assert "ONNX Runtime has no integer kernel for t (Tanh); there" in causes(variant(), odd)[UNFUSED]
    assert UNFUSED not in causes(variant(), file(dq, operator("Conv"), weights, file_format="onnx"))
    dynamic = file(operator("MatMulInteger", "uint8", "int8"), operator("Tanh"), weights, file_format="onnx")
    assert UNFUSED not in causes(variant(), dynamic)


PLAIN_CPU = "CPU without int8 dot products"


def test_a_processor_without_dot_products() -> None:
    old = replace(VNNI, cpu_flags=["sse2", "avx2"])
    quantized = file(operator("Conv", "uint8", "int8"), kernel(integers(10, 10)), file_format="onnx")
    detail = causes(variant(), quantized, old)[PLAIN_CPU]
    assert "no VNNI" in detail
    assert "--reduce-range" in detail
    assert (
        "--reduce-range"
        not in causes(variant(), file(operator("CONV_2D", "int8"), kernel(integers(10, 10))), old)[PLAIN_CPU]
    )
    arm = replace(VNNI, cpu_flags=["asimd"])
    assert "asimddp" in causes(variant(), quantized, arm)[PLAIN_CPU]
    lacking: list[Callable[[], dict[str, str]]] = [
        lambda: causes(variant(), quantized, VNNI),
        lambda: causes(variant("better"), quantized, old),
        lambda: causes(variant(), file(kernel(floats(10, 10))), old),
        lambda: causes(variant(), quantized, replace(VNNI, cpu_flags=[])),
    ]
    assert all(PLAIN_CPU not in found() for found in lacking)


def test_a_plain_file_has_nothing_to_explain() -> None:
    plain = file(operator(macs=2_000_000), kernel(floats(50, 40)))
    assert explain(BASE, BASE, plain, VNNI) == []
    assert explain(variant(), None, plain, VNNI) == []


def test_int4_convolutions_are_told_also_of_a_file_that_is_faster() -> None:
    narrow, wide = operator("CONV_2D", "int8", "int4", "int32"), operator("FULLY_CONNECTED", "int8", "int4", "int32")
    detail = causes(variant("better", p50_us=60.0, ratio=1.25), file(narrow, wide))[INT4]
    assert "1 of 1 convolutions (100,000 multiply-accumulates) have int4 weights" in detail
    assert "1.25× [1.23, 1.27] of the reference" in detail
    assert INT4 not in causes(variant(), file(operator("CONV_2D", "int8", "int8", "int32"), wide))
    assert INT4 not in causes(replace(variant(), latency=None), file(narrow))


def test_zeros_in_int4_kernels_take_half_a_byte_and_15_values_are_no_clusters() -> None:
    values = np.where(DICE.random((8, 400)) < 0.9, 0, DICE.integers(-7, 8, size=(8, 400))).astype(np.int8)
    narrow = with_(kernel(values, axis=0, file_bytes=values.size // 2), dtype="int4")
    found = causes(replace(variant(), size=BASE.size), file(operator("FULLY_CONNECTED", "int8", "int4"), narrow))
    assert "(1,600 bytes of weights, as many as without zeros)" in found["unstructured sparsity"]
    assert "clusters are smaller only when compressed" not in found
