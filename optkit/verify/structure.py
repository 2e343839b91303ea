"""Whether a file is the precision that it says, from what is stored in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.errors import InputError, nearest
from optkit.exporters import source_name
from optkit.schema import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.readback import Constant, ModelFacts, Operator

SIGNATURE = "serving_default"
# TFLite's converter leaves smaller kernels in float in a dynamic file (`kWeightsMinNumElementsDefault`).
_DYNAMIC_LEAST_ELEMENTS = 1024
# Kernels that dynamic quantization has no integer operator for.
_NEVER_DYNAMIC = {"ConvTranspose", "DEPTHWISE_CONV_2D"}
_QUANTIZERS = {"QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
_INTEGERS_8 = {"int8", "uint8"}
_QUANTIZED = {"dynamic", "int8", "int16x8", "int4"}
# Of 4 bits -7 to 7 are used: symmetric, since no kernel has a zero point.
_MOST_INT4 = 7
# Operators whose kernels an int4 file has in 4 bits; depthwise ones where they were named.
_INT4_KINDS = {"CONV_2D", "FULLY_CONNECTED"}
_NO_FLOAT = "no float between input and output"

Names = tuple[str, ...]


def kernels_in_order(facts: ModelFacts) -> list[Constant]:
    """Kernels in the order in which the file's operators use them."""
    return sorted((c for c in facts.constants if c.role == "weight"), key=lambda c: c.operator)


def checks(
    facts: ModelFacts,
    *,
    precision: str,
    io_type: str,
    float_layers: Names = (),
    narrow_layers: Names | None = None,
) -> list[Check]:
    """Check a file's structure.

    Args:
        facts: What is in the file.
        precision: ``fp32``, ``fp16``, ``dynamic``, ``int8``, ``int16x8`` or ``int4``.
        io_type: The type that input and output must have.
        float_layers: Layers that were left out of quantization on purpose: their kernels may be float.
        narrow_layers: Of an int4 file, the layers that must have 4 bits; ``None`` for convolutions and dense layers.

    Raises:
        InputError: There is no such precision.
    """
    if precision not in _PRECISIONS:
        raise InputError(f"unknown precision {precision!r}: {nearest(precision, list(_PRECISIONS))}")
    layers = float_layers if precision in _QUANTIZED else ()
    left_out = [c for c in kernels_in_order(facts) if _is_left_out(c, facts, layers)]
    looked_at = [c for c in kernels_in_order(facts) if not any(c is other for other in left_out)]
    found = [_builtin_only(facts), _io(facts, io_type, left_out), *_PRECISIONS[precision](facts, looked_at)]
    if precision == "int4":
        found += _four_bits(facts, looked_at, narrow_layers)
    # Layers without a kernel, such as a normalization, are in the file by their operators' names alone.
    without_kernel = [
        operator.name
        for operator in facts.operators
        if any(layer in _parts(operator.name) for layer in layers)
        and any(dtype.startswith("float") for dtype in operator.output_dtypes)
    ]
    if left_out or without_kernel:
        # Their operators take and give float, as asked for.
        found = [check for check in found if check.name != _NO_FLOAT]
        names = ", ".join([c.name for c in left_out] or without_kernel)
        found.append(
            Check(
                "layers left in float",
                passed=True,
                observed=names,
                limit=None,
                unit="",
                reason="as asked for",
            )
        )
    return found


def excluded(facts: ModelFacts, layers: Names) -> list[Check]:
    """Whether every kernel of the layers that a record says were left in float is float.

    Args:
        facts: What is in the file.
        layers: Names of layers with a kernel; no check is made of none.
    """
    if not layers:
        return []
    seen = {layer: {c.dtype for c in kernels_in_order(facts) if layer in _parts(_names(c, facts))} for layer in layers}
    words = [f"{layer} ({', '.join(sorted(dtypes)) or 'not in the file'})" for layer, dtypes in seen.items()]
    return [
        Check(
            "excluded layers are float",
            passed=all(dtypes == {"float32"} for dtypes in seen.values()),
            observed=", ".join(words),
            limit="float32",
            unit="",
            reason="the record says that they were left out of int8, and accuracy rests on it",
        )
    ]


def names_kept(facts: ModelFacts, source_ports: tuple[Names, Names]) -> Check:
    """The source model's names of inputs and outputs: the signature's in TFLite, the graph's own in ONNX."""
    own = tuple(p.name for p in facts.inputs), tuple(p.name for p in facts.outputs)
    if facts.format == "tflite":
        # A file without the signature has no names that a program could use.
        own = facts.signatures.get(SIGNATURE, ((), ()))
    same = sorted(own[0]) == sorted(source_ports[0]) and sorted(own[1]) == sorted(source_ports[1])
    return Check(
        "names kept",
        passed=same,
        observed=_arrow(own),
        limit=_arrow(source_ports),
        unit="",
        reason="programs feed the model by these names",
    )


def _arrow(ports: tuple[Names, Names]) -> str:
    return f"{', '.join(ports[0]) or 'none'} → {', '.join(ports[1]) or 'none'}"


def _is_left_out(kernel: Constant, facts: ModelFacts, float_layers: Names) -> bool:
    """Whether a kernel is float, and a part of its or its operator's name is a layer that was left out."""
    parts = _parts(_names(kernel, facts))
    return kernel.dtype.startswith("float") and any(layer in parts for layer in float_layers)


def _names(kernel: Constant, facts: ModelFacts) -> str:
    return f"{kernel.name};{facts.operators[kernel.operator].name}"


def _parts(name: str) -> list[str]:
    # Quantization-aware training leaves a prefix before the names of layers, also of those that it was to skip.
    return [source_name(part) for part in name.replace(";", "/").replace(":", "/").split("/")]


def _builtin_only(facts: ModelFacts) -> Check:
    """No operator needs more than the runtime itself (no Flex, no custom, no vendor operator)."""
    foreign = sorted({o.kind for o in facts.operators if ":" in o.kind})
    return Check(
        "only built-in operators",
        passed=not foreign,
        observed=", ".join(foreign) or "none other",
        limit="none other",
        unit="",
        reason="a custom or Flex operator needs a library that devices do not have",
    )


def _io(facts: ModelFacts, io_type: str, left_out: list[Constant]) -> Check:
    """The type of inputs and outputs; of a layer that was left in float they may be float as well."""
    own = [facts.operators[kernel.operator] for kernel in left_out]
    free = {tensor.name for operator in own for tensor in (*operator.inputs[:1], *operator.outputs)}
    ports = [port for port in (*facts.inputs, *facts.outputs) if not (port.dtype == "float32" and port.name in free)]
    seen = sorted({port.dtype for port in ports}) or [io_type]
    return Check("input and output type", passed=seen == [io_type], observed=", ".join(seen), limit=io_type, unit="")


def _all_of(name: str, kernels: list[Constant], dtypes: set[str], reason: str) -> Check:
    """Every kernel is stored in one of these types, and there is one."""
    others = [f"{c.name} ({c.dtype})" for c in kernels if c.dtype not in dtypes]
    observed = ", ".join(others) or f"{len(kernels)} of {len(kernels)}"
    wanted = " or ".join(sorted(dtypes))
    return Check(
        name,
        passed=bool(kernels) and not others,
        observed=observed if kernels else "no kernel",
        limit=wanted,
        unit="",
        reason=reason,
    )


def _user(kernel: Constant, facts: ModelFacts) -> Operator:
    return facts.operators[kernel.operator]


def _activations(facts: ModelFacts, kernels: list[Constant], dtypes: set[str]) -> list[Check]:
    """Operators with kernels take integers, and in TFLite nothing between input and output is float."""
    users = [_user(c, facts) for c in kernels]
    # The data is among the first inputs; kernels, scales and biases are integer as well, so one float shows.
    wrong = [f"{u.name} ({', '.join(u.input_dtypes)})" for u in users if not _data_type(u) & dtypes]
    wrong += [f"{o.name} (scaled per call)" for o in facts.operators if o.kind == "DynamicQuantizeLinear"]
    found = [
        Check(
            "integer activations",
            passed=not wrong and bool(users),
            observed="; ".join(wrong) or f"{len(users)} of {len(users)} operators",
            limit=" or ".join(sorted(dtypes)),
            unit="",
            reason="a float activation is computed in float, whatever the weights are",
        )
    ]
    if facts.format == "tflite":
        floats = [
            o.name
            for o in facts.operators
            if o.kind not in _QUANTIZERS and "float32" in (*o.input_dtypes, *o.output_dtypes)
        ]
        found.append(
            Check(
                _NO_FLOAT,
                passed=not floats,
                observed=", ".join(floats) or "none",
                limit="none",
                unit="operators",
                reason="integer-only devices cannot run a float operator",
            )
        )
    return found


def _data_type(operator: Operator) -> set[str]:
    """Type of an operator's data; TFLite's TRANSPOSE_CONV has the output's shape first, the data third."""
    position = 2 if operator.kind == "TRANSPOSE_CONV" else 0
    return set(operator.input_dtypes[position : position + 1])


def _fp32(facts: ModelFacts, kernels: list[Constant]) -> list[Check]:
    quantized = sorted({o.kind for o in facts.operators if o.kind in _QUANTIZERS})
    return [
        _all_of("float32 kernels", kernels, {"float32"}, "fp32 is the reference: nothing in it is rounded"),
        Check(
            "nothing quantized",
            passed=not quantized and not any(c.scales for c in facts.constants),
            observed=", ".join(quantized) or f"{sum(bool(c.scales) for c in facts.constants)} quantized tensors",
            limit="0 quantized tensors",
            unit="",
        ),
    ]


def _fp16(_facts: ModelFacts, kernels: list[Constant]) -> list[Check]:
    return [_all_of("float16 kernels", kernels, {"float16"}, "half the bytes is what fp16 is for")]


def _dynamic(facts: ModelFacts, kernels: list[Constant]) -> list[Check]:
    large = [
        c for c in kernels if c.values.size >= _DYNAMIC_LEAST_ELEMENTS and _user(c, facts).kind not in _NEVER_DYNAMIC
    ]
    reason = f"kernels under {_DYNAMIC_LEAST_ELEMENTS} values and transposed or depthwise ones stay float"
    static = [o.name for o in facts.operators if o.kind in {"QUANTIZE", "QuantizeLinear"}]
    return [
        # ONNX Runtime's quantizer takes small ones too; a file of these alone must have some.
        _all_of("int8 kernels", large or kernels, _INTEGERS_8, reason),
        Check(
            "activations scaled per call",
            passed=not static,
            observed=", ".join(static) or "no fixed scale",
            limit="no fixed scale",
            unit="",
            reason="a fixed activation scale comes from calibration, which dynamic does without",
        ),
    ]


def _int8(facts: ModelFacts, kernels: list[Constant]) -> list[Check]:
    kernel_check = _all_of("int8 kernels", kernels, {"int8"}, "a float kernel is four times as large")
    return [kernel_check, *_activations(facts, kernels, _INTEGERS_8)]


def _int16x8(facts: ModelFacts, kernels: list[Constant]) -> list[Check]:
    kernel_check = _all_of("int8 kernels", kernels, {"int8"}, "weights keep 8 bits, activations have 16")
    return [kernel_check, *_activations(facts, kernels, {"int16"})]


def _int4(facts: ModelFacts, kernels: list[Constant]) -> list[Check]:
    reason = "what is not in 4 bits keeps 8; activations have 8"
    return [_all_of("integer kernels", kernels, {"int4", "int8"}, reason), *_activations(facts, kernels, {"int8"})]


def _four_bits(facts: ModelFacts, kernels: list[Constant], narrow_layers: Names | None) -> list[Check]:
    """The kernels that must have 4 bits have them, and values that every runtime's kernel multiplies alike."""
    narrow = [c for c in kernels if c.dtype == "int4"]
    if narrow_layers is None:
        wanted = [c for c in kernels if _user(c, facts).kind in _INT4_KINDS]
    elif any(c.name for c in kernels):
        wanted = [c for c in kernels if any(layer in _parts(_names(c, facts)) for layer in narrow_layers)]
    else:
        # A slimmed file has no names: as many as were named.
        wanted = narrow if len(narrow) >= len(narrow_layers) else kernels
    beyond = [c.name for c in narrow if int(c.values.min(initial=0)) < -_MOST_INT4 or any(c.zero_points)]
    return [
        _all_of("int4 kernels", wanted, {"int4"}, "an int8 kernel is twice as large"),
        Check(
            "int4 values",
            passed=bool(narrow) and not beyond,
            observed=", ".join(beyond) or f"{len(narrow)} of {len(narrow)} kernels",
            limit=f"-{_MOST_INT4} to {_MOST_INT4}, zero point 0",
            unit="",
            reason="the runtimes' kernels multiply without a zero point",
        ),
    ]


_PRECISIONS: dict[str, Callable[[ModelFacts, list[Constant]], list[Check]]] = {
    "fp32": _fp32,
    "fp16": _fp16,
    "dynamic": _dynamic,
    "int8": _int8,
    "int16x8": _int16x8,
    "int4": _int4,
}
