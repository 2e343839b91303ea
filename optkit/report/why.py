"""Why a file is not faster, or not smaller, than one would expect: causes with the evidence for each.

A cause is named only where both halves are seen: the mark in the file (from ``readback``) and the effect in
the measurement. Without the effect there is no surprise to explain; without the mark the cause would be a
guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.environment import DOT_PRODUCT_FLAGS, X86_FLAGS, sums_may_saturate
from optkit.report.why_fewer import less_than_arithmetic, rest_stays
from optkit.report.why_weights import clustered, float_left, is_quantized, unstructured_sparsity, weights
from optkit.report.wording import count, listed, microseconds, speedup
from optkit.schema import Why

if TYPE_CHECKING:
    from optkit.readback import ModelFacts, Operator
    from optkit.schema import Environment, Variant

# Below this rate neither arithmetic nor memory explains the time of a call: one core multiplies and adds
# several thousand pairs a microsecond with vectors, and 1,000 float32 weights a microsecond are 4 GB/s, less
# than any main memory delivers.
_SLOW_MACS_PER_US = 1_000.0

# A call of a runtime costs some microseconds by itself; in a longer call that is not what decides.
_SHORT_CALL_US = 100.0

_HALF_ARITHMETIC_FLAGS = {"avx512_fp16", "asimdhp", "fphp"}

# Operators that ONNX Runtime computes on integers when they stand between DequantizeLinear and QuantizeLinear
# (onnxruntime/core/optimizer/qdq_transformer/selectors_actions/qdq_selector_action_transformer.cc), with
# those that need no arithmetic.
# fmt: off
_ONNX_INTEGER = frozenset({
    "Add", "ArgMax", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace",
    "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool", "Identity", "LeakyRelu", "MatMul",
    "Max", "MaxPool", "Min", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
    "Softmax", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where",
})
# fmt: on
_ONNX_NO_COMPUTATION = frozenset({"QuantizeLinear", "DequantizeLinear", "Cast", "Constant", "ConstantOfShape", "Shape"})


def explain(variant: Variant, baseline: Variant | None, facts: ModelFacts, environment: Environment) -> list[Why]:
    """Causes of what would surprise about a file.

    Args:
        variant: The measured file.
        baseline: The file of the same format that it is compared with; ``None`` or the file itself for none.
        facts: What the variant's file says about itself.
        environment: The machine that the times come from; empty ``cpu_flags`` mean that they are not known.
    """
    base = None if baseline is None or baseline is variant else baseline
    found = [
        _half_computed_as_single(variant, facts, environment),
        _int16_activations(variant, base, facts),
        _dynamic_convolution(variant, base, facts),
        _int4_convolutions(variant, base, facts),
        unstructured_sparsity(variant, base, facts),
        clustered(variant, facts),
        _overhead(variant, facts),
        less_than_arithmetic(variant, base, facts, _SLOW_MACS_PER_US),
        rest_stays(variant, base),
        _grew(variant, base, facts),
        float_left(facts),
        _casts(variant, facts),
        _unfused(variant, facts),
        _no_dot_product(variant, facts, environment),
    ]
    return [why for why in found if why is not None]


def not_faster(variant: Variant) -> str | None:
    """The measured speed-up in words when it is known not to be better, else ``None``."""
    value = None if variant.latency is None else variant.latency.speedup
    if value is None or value.verdict == "better":
        return None
    words = "slower" if value.verdict == "worse" else "no measurable difference"
    return f"{speedup(value)} of the reference's speed: {words}"


def _multiplying(facts: ModelFacts) -> list[Operator]:
    return [operator for operator in facts.operators if operator.macs]


def _half_computed_as_single(variant: Variant, facts: ModelFacts, environment: Environment) -> Why | None:
    effect = not_faster(variant)
    half = [constant for constant in weights(facts) if constant.dtype == "float16"]
    if effect is None or not half or _HALF_ARITHMETIC_FLAGS & set(environment.cpu_flags):
        return None
    if facts.format == "tflite":
        expanded = [o for o in facts.operators if o.kind == "DEQUANTIZE" and "float16" in o.input_dtypes]
        if not expanded:
            return None
        how = f"{len(expanded)} DEQUANTIZE operators turn them into float32 when the file is loaded"
    else:
        how = f"{_cpu(environment)} has no float16 arithmetic, so the runtime converts to float32 and back"
    stored = sum(constant.file_bytes for constant in half)
    return Why(
        "fp16 stored, computed as fp32",
        f"{len(half)} weight tensors are stored in {count(stored)} bytes of float16; {how}. "
        f"The file is half as large; a call is no shorter ({effect}).",
    )


def _int16_activations(variant: Variant, baseline: Variant | None, facts: ModelFacts) -> Why | None:
    effect = not_faster(variant)
    wide = [o for o in _multiplying(facts) if "int16" in o.input_dtypes and "int8" in o.input_dtypes]
    if facts.format != "tflite" or effect is None or not wide:
        return None
    return Why(
        "no fast kernel for int16 activations",
        f"{len(wide)} of {len(_multiplying(facts))} multiplying operators take int16 activations with int8 "
        f"weights, "
        f"for which LiteRT has no XNNPACK kernel: they run in plain loops "
        f"({_against(variant, baseline)}{effect}).",
    )


def _dynamic_convolution(variant: Variant, baseline: Variant | None, facts: ModelFacts) -> Why | None:
    effect = not_faster(variant)
    nodes = [operator for operator in facts.operators if operator.kind == "ConvInteger"]
    if effect is None or not nodes:
        return None
    return Why(
        "dynamic quantization of a convolution",
        f"{len(nodes)} ConvInteger nodes ({listed([node.name for node in nodes])}) have no fast kernel in "
        f"ONNX Runtime "
        f"and quantize their input anew on every call ({_against(variant, baseline)}{effect}). "
        "Static int8 avoids both.",
    )


def _int4_convolutions(variant: Variant, baseline: Variant | None, facts: ModelFacts) -> Why | None:
    """Said of every measured file that has them: also where it is faster than fp32, int8 would be faster still."""
    convolutions = [operator for operator in facts.operators if "CONV" in operator.kind and operator.macs]
    narrow = [operator for operator in convolutions if "int4" in operator.input_dtypes]
    if facts.format != "tflite" or variant.latency is None or not narrow:
        return None
    return Why(
        "int4 convolutions are unpacked in every call",
        f"{len(narrow)} of {len(convolutions)} convolutions ({count(sum(o.macs or 0 for o in narrow))} "
        f"multiply-accumulates) have int4 weights, for which LiteRT has no XNNPACK kernel: its own unpacks them in "
        f"every call and takes several times as long as with int8 weights "
        f"({_against(variant, baseline)}{_effect(variant)}). Dense layers are no slower in int4: int4:layers=… can "
        f"name them alone.",
    )


def _effect(variant: Variant) -> str:
    found = None if variant.latency is None else variant.latency.speedup
    return "speed-up not measured" if found is None else f"{speedup(found)} of the reference's speed"


def _against(variant: Variant, baseline: Variant | None) -> str:
    """Both times, when both were measured."""
    if variant.latency is None or baseline is None or baseline.latency is None:
        return ""
    return f"{microseconds(variant.latency.p50_us)} against {microseconds(baseline.latency.p50_us)}, "


def _overhead(variant: Variant, facts: ModelFacts) -> Why | None:
    """Claimed when the arithmetic would fit many times into the measured time, and the file is not faster."""
    macs = [operator.macs for operator in facts.operators if operator.macs is not None]
    effect = not_faster(variant)
    if variant.latency is None or effect is None or not macs or sum(macs) == 0:
        return None
    time_us, total = variant.latency.p50_us, sum(macs)
    if time_us > _SHORT_CALL_US or total / time_us >= _SLOW_MACS_PER_US:
        return None
    return Why(
        "the call costs more than the arithmetic",
        f"{count(total)} multiply-accumulates take {microseconds(time_us)}: {total / time_us:,.0f} per "
        f"microsecond, where "
        f"even a slow kernel does {_SLOW_MACS_PER_US:,.0f}. Most of the time goes to the call and its "
        f"{len(facts.operators)} operators, which smaller numbers do not shorten ({effect}).",
    )


def _grew(variant: Variant, baseline: Variant | None, facts: ModelFacts) -> Why | None:
    if baseline is None or variant.size is None or baseline.size is None or not is_quantized(facts):
        return None
    now, before = variant.size, baseline.size
    if now.file_bytes <= before.file_bytes:
        return None
    return Why(
        "quantization made a small file larger",
        f"Weights went from {count(before.weight_bytes)} to {count(now.weight_bytes)} bytes, all else "
        f"(scales, zero "
        f"points, added operators, names) from {count(before.overhead_bytes)} to "
        f"{count(now.overhead_bytes)}: "
        f"{count(now.file_bytes)} bytes against {count(before.file_bytes)}.",
    )


def _casts(variant: Variant, facts: ModelFacts) -> Why | None:
    effect = not_faster(variant)
    nodes = [operator for operator in facts.operators if operator.kind.upper() == "CAST"]
    if effect is None or not nodes:
        return None
    return Why(
        "Cast nodes",
        f"{len(nodes)} of {len(facts.operators)} operators only convert types "
        f"({listed([node.name for node in nodes])}), "
        f"each with a pass over its tensor ({effect}).",
    )


def _unfused(variant: Variant, facts: ModelFacts) -> Why | None:
    effect = not_faster(variant)
    if effect is None or not is_quantized(facts):
        return None
    if facts.format == "tflite":
        # One at each float input and output is the price of float input and output; those inside are not.
        ports = [port for port in (*facts.inputs, *facts.outputs) if port.dtype.startswith("float")]
        # QUANTIZE from one integer type to another keeps the values in whole numbers.
        inside = [
            o
            for o in facts.operators
            if (o.kind == "QUANTIZE" and "float32" in o.input_dtypes)
            or (o.kind == "DEQUANTIZE" and "float16" not in o.input_dtypes)
        ]
        extra = len(inside) - len(ports)
        if extra <= 0:
            return None
        what = f"{extra} QUANTIZE and DEQUANTIZE operators stand inside the graph"
    else:
        if not any(operator.kind == "DequantizeLinear" for operator in facts.operators):
            return None
        odd = [o for o in facts.operators if o.kind not in _ONNX_INTEGER | _ONNX_NO_COMPUTATION]
        if not odd:
            return None
        names = listed([f"{operator.name} ({operator.kind})" for operator in odd])
        what = f"ONNX Runtime has no integer kernel for {names}"
    return Why(
        "unfused Quantize/Dequantize pairs",
        f"{what}; there the values go to float32 and back in passes of their own ({effect}).",
    )


def _no_dot_product(variant: Variant, facts: ModelFacts, environment: Environment) -> Why | None:
    effect = not_faster(variant)
    flags = set(environment.cpu_flags)
    if effect is None or not is_quantized(facts) or not flags or flags & DOT_PRODUCT_FLAGS:
        return None
    missing = "VNNI (avx512_vnni, avx_vnni)" if flags & X86_FLAGS else "dot-product (asimddp)"
    detail = f"{_cpu(environment)} has no {missing} instructions, which int8 kernels owe most of their speed to"
    if sums_may_saturate(environment) and facts.format == "onnx":
        detail += (
            "; ONNX Runtime's sums of int8 products may also saturate on such a CPU, and the file answer "
            "differently than on a device that has them (--reduce-range avoids it)"
        )
    return Why("CPU without int8 dot products", f"{detail} ({effect}).")


def _cpu(environment: Environment) -> str:
    return environment.cpu_model or "this CPU"
