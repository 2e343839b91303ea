"""For each cause a real model file that has it, and one that lacks it, read from their bytes."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import model_files
import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper
from sample_report import sample_report

from optkit import readback, tflite_schema
from optkit.measure.size import measure_compute, measure_size
from optkit.report import why, why_fewer, why_weights
from optkit.schema import Environment, Speedup, Variant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REPORT = sample_report()
NET = model_files.network()
DICE = np.random.default_rng(3)


def stored(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def tflite(precision: str, net: model_files.Network = NET) -> Callable[[Path], Path]:
    return lambda folder: model_files.write_tflite(folder, net, precision)


def as_onnx(precision: str) -> Callable[[Path], Path]:
    return lambda folder: model_files.write_onnx(folder, NET, precision)


def dense(
    *kernels: np.ndarray, activations: str = "INT8", casts: bool = False, pairs: int = 0
) -> Callable[[Path], Path]:
    """A TFLite file of dense layers in a row; ``pairs`` of DEQUANTIZE and QUANTIZE stand behind the first."""

    def make(folder: Path) -> Path:
        b = model_files.TFLiteBuilder()
        steps: dict[str, Any] = {"scales": [0.1]} if activations != "FLOAT32" else {}
        first = now = b.tensor("x", (1, kernels[0].shape[1]), activations, **steps)
        for index, kernel in enumerate(kernels):
            scales = {} if kernel.dtype == np.float32 else {"scales": [0.01] * len(kernel)}
            dtype = {"f": "FLOAT32", "i": "INT8"}[kernel.dtype.kind]
            weights = b.tensor(f"layer_{index}/kernel", kernel.shape, dtype, values=kernel, **scales)
            after = b.tensor(f"layer_{index}", (1, len(kernel)), activations, **steps)
            b.operator("FULLY_CONNECTED", [now, weights, -1], [after], "FullyConnectedOptions")
            now = after
            for step in range(pairs if index == 0 else 0):
                real = b.tensor(f"real_{step}", (1, len(kernel)))
                b.operator("DEQUANTIZE", [now], [real])
                now = b.tensor(f"steps_{step}", (1, len(kernel)), activations, **steps)
                b.operator("QUANTIZE", [real], [now])
        if casts:
            last = b.tensor("cast", (1, len(kernels[-1])), "INT32")
            b.operator("CAST", [now], [last])
            now = last
        return stored(folder, "dense.tflite", b.finish({"x": first}, {"y": now}))

    return make


def qdq(between: str) -> Callable[[Path], Path]:
    """An ONNX file in the QDQ form with one operator between a convolution and its end, quantized on both sides."""

    def make(folder: Path) -> Path:
        def rounded(name: str) -> list[onnx.NodeProto]:
            return [
                helper.make_node("QuantizeLinear", [name, "s", "z"], [f"{name}_q"]),
                helper.make_node("DequantizeLinear", [f"{name}_q", "s", "z"], [f"{name}_r"]),
            ]

        nodes = [
            *rounded("x"),
            helper.make_node("DequantizeLinear", ["kernel", "s"], ["kernel_r"]),
            helper.make_node("Conv", ["x_r", "kernel_r"], ["sums"], name="conv"),
            *rounded("sums"),
            helper.make_node(between, ["sums_r"], ["odd"], name="between"),
            *rounded("odd"),
            helper.make_node("Identity", ["odd_r"], ["y"]),
        ]
        weights = {
            "s": np.float32(0.1),
            "z": np.int8(0),
            "kernel": DICE.integers(-9, 9, (2, 1, 3, 3)).astype(np.int8),
        }
        arrays = {name: np.asarray(value) for name, value in weights.items()}
        model = model_files.onnx_model(nodes, arrays, {"x": [1, 1, 8, 8]}, {"y": [1, 2, 6, 6]})
        return stored(folder, f"{between}.onnx", model.SerializeToString())

    return make


def without_casts(folder: Path) -> Path:
    model = model_files.onnx_float(NET)
    first, last = model.graph.node[0], model.graph.node[-1]
    model.graph.node[1].input[0], model.graph.node[-2].output[0] = first.input[0], last.output[0]
    del model.graph.node[0], model.graph.node[-1]
    onnx.checker.check_model(model, full_check=True)
    return stored(folder, "plain.onnx", model.SerializeToString())


def integers(*shape: int, values: int = 255) -> np.ndarray:
    return (DICE.integers(0, values, shape) - values // 2).astype(np.int8)


def floats(*shape: int) -> np.ndarray:
    return DICE.normal(size=shape).astype(np.float32)


def narrow(kind: str) -> Callable[[Path], Path]:
    """The network's int8 file with the kernels of one kind of operator in 4 bits."""

    def make(folder: Path) -> Path:
        path = model_files.write_tflite(folder, NET, "int8")
        model = tflite_schema.parse(path.read_bytes())
        kinds = tflite_schema.names_of("BuiltinOperator")
        for operator in model.subgraphs[0].operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if kinds[max(code.builtinCode, code.deprecatedBuiltinCode)] == kind:
                kernel = model.subgraphs[0].tensors[operator.inputs[1]]
                low, high = np.clip(model.buffers[kernel.buffer].data.view(np.int8), -7, 7).reshape(-1, 2).T & 15
                model.buffers[kernel.buffer].data = (low | (high << 4)).astype(np.uint8)
                kernel.type = {name: code for code, name in tflite_schema.names_of("TensorType").items()}["INT4"]
        return stored(folder, "narrow.tflite", tflite_schema.serialize(model))

    return make


SPARSE = replace(NET, dense=np.where(DICE.random(NET.dense.shape) < 0.9, 0, NET.dense).astype(np.float32))
WITHOUT_VNNI = msgspec.structs.replace(REPORT.environment, cpu_flags=["sse2", "avx2"])

# The cause; a file that has it, one that lacks it.
PAIRS: dict[str, tuple[str, Any, Any]] = {
    "fp16 in TFLite": ("fp16 stored, computed as fp32", tflite("fp16"), tflite("fp32")),
    "fp16 in ONNX": ("fp16 stored, computed as fp32", as_onnx("fp16"), as_onnx("fp32")),
    "casts in ONNX": ("Cast nodes", as_onnx("fp16"), without_casts),
    "casts in TFLite": ("Cast nodes", dense(integers(8, 8), casts=True), dense(integers(8, 8))),
    "unfused in ONNX": ("unfused Quantize/Dequantize pairs", qdq("Tanh"), qdq("Relu")),
    "unfused in TFLite": (
        "unfused Quantize/Dequantize pairs",
        dense(integers(8, 8), integers(8, 8), pairs=1),
        dense(integers(8, 8), integers(8, 8)),
    ),
    "int16x8": (
        "no fast kernel for int16 activations",
        dense(integers(8, 8), activations="INT16"),
        dense(integers(8, 8)),
    ),
    "dynamic convolution": ("dynamic quantization of a convolution", as_onnx("dynamic"), as_onnx("int8")),
    "int4": ("int4 convolutions are unpacked in every call", narrow("CONV_2D"), narrow("FULLY_CONNECTED")),
    "sparsity": ("unstructured sparsity", tflite("fp32", SPARSE), tflite("fp32")),
    "clusters": (
        "clusters are smaller only when compressed",
        dense(integers(8, 400, values=16)),
        dense(integers(8, 400)),
    ),
    "overhead": ("the call costs more than the arithmetic", dense(integers(8, 8)), dense(integers(1024, 1024))),
    "grew": ("quantization made a small file larger", dense(integers(4, 4), pairs=2), dense(integers(64, 64))),
    "left in float": (
        "layers left in float",
        dense(integers(8, 8), floats(8, 8)),
        dense(integers(8, 8), integers(8, 8)),
    ),
}


def measured(path: Path) -> tuple[Variant, readback.ModelFacts]:
    """A file that was measured to be no faster than its reference, 75 µs a call."""
    facts = readback.read(path)
    base = next(v for v in REPORT.variants if (v.name, v.format) == ("fp32", facts.format))
    speedup = Speedup(1.0, (0.98, 1.02), "no measurable difference")
    latency = msgspec.structs.replace(base.latency, p50_us=75.0, speedup=speedup)
    size, compute = measure_size(path, facts), measure_compute(facts)
    return msgspec.structs.replace(base, name="x", latency=latency, size=size, compute=compute), facts


def causes(path: Path, reference: Path, environment: Environment = REPORT.environment) -> dict[str, str]:
    variant, facts = measured(path)
    found = why.explain(variant, measured(reference)[0], facts, environment)
    return {one.cause: one.detail for one in found}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_file_that_has_the_cause_and_one_that_lacks_it(tmp_path: Path, pair: str) -> None:
    cause, having, lacking = PAIRS[pair]
    for folder in ("has", "lacks", "reference"):
        (tmp_path / folder).mkdir()
    # Float files of dense layers, which quantized ones are held against: smaller than the one, larger than the other.
    small = dense(floats(8, 8), activations="FLOAT32")(tmp_path / "reference")
    assert cause in causes(having(tmp_path / "has"), small)
    large = dense(floats(64, 64), activations="FLOAT32")(tmp_path / "reference")
    assert cause not in causes(lacking(tmp_path / "lacks"), large)


def test_the_processor_is_the_cause_only_where_it_lacks_dot_products(tmp_path: Path) -> None:
    cause = "CPU without int8 dot products"
    quantized, plain = as_onnx("int8")(tmp_path), as_onnx("fp32")(tmp_path)
    assert "saturate" in causes(quantized, plain, WITHOUT_VNNI)[cause]
    assert cause not in causes(quantized, plain)
    assert cause not in causes(plain, quantized, WITHOUT_VNNI)


def test_a_file_with_fewer_weights_keeps_its_other_bytes(tmp_path: Path) -> None:
    cause = "most of the file is not weights"
    whole = dense(floats(300, 300), activations="FLOAT32")(tmp_path)
    whole = whole.rename(tmp_path / "whole.tflite")
    tiny = dense(integers(4, 4))(tmp_path).rename(tmp_path / "tiny.tflite")
    assert "Weights went from 360,000 to 16 bytes" in causes(tiny, whole)[cause]
    assert "structure" in causes(tiny, whole)[cause]
    assert cause not in causes(dense(integers(200, 300))(tmp_path), whole)
    assert cause not in causes(whole, tiny)
    # A fifth fewer weights of a file that has next to none is no surprise.
    few = dense(floats(4, 5), activations="FLOAT32")(tmp_path).rename(tmp_path / "few.tflite")
    assert cause not in causes(dense(floats(4, 4), activations="FLOAT32")(tmp_path), few)


@pytest.mark.parametrize(
    ("time_us", "words"), [(7.5, "operators, not fewer"), (0.05, "the narrowest of 1 has 16 channels")]
)
def test_less_arithmetic_is_not_as_much_less_time(tmp_path: Path, time_us: float, words: str) -> None:
    cause = "time falls less than arithmetic"
    whole = dense(floats(300, 300), activations="FLOAT32")(tmp_path).rename(tmp_path / "whole.tflite")
    small = dense(integers(16, 64))(tmp_path)
    (variant, facts), (base, _) = measured(small), measured(whole)

    def found(ratio: float) -> dict[str, str]:
        speedup = Speedup(ratio, (0.98 * ratio, 1.02 * ratio), "better")
        latency = msgspec.structs.replace(variant.latency, p50_us=time_us, speedup=speedup)
        faster = msgspec.structs.replace(variant, latency=latency)
        return {one.cause: one.detail for one in why.explain(faster, base, facts, REPORT.environment)}

    assert "from 90,000 to 1,024 (87.9× fewer)" in found(10.0)[cause]
    assert words in found(10.0)[cause]
    assert cause not in found(80.0)


def test_every_cause_that_can_be_named_is_among_them() -> None:
    sources = [inspect.getsource(module) for module in (why, why_fewer, why_weights)]
    named = sum(source.count("return Why(") for source in sources)
    # The processor's, and those of smaller networks, have tests of their own.
    assert named == len({cause for cause, _, _ in PAIRS.values()}) + 3
