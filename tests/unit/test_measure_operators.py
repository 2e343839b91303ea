"""What runs is told with its time, and all arithmetic and weights of the file are accounted for."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import model_files
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from optkit import readback, runtimes
from optkit.errors import InputError
from optkit.measure.operators import measure_operators
from optkit.runtimes import _onnx_nodes, litert, onnxruntime

if TYPE_CHECKING:
    from pathlib import Path

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
HANG = "import time; time.sleep(60)"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(path, model_files.images()[:4])
    return path


def write(folder: Path, name: str) -> Path:
    """``int8.onnx`` and the like."""
    precision, _, suffix = name.partition(".")
    writer = model_files.write_onnx if suffix == "onnx" else model_files.write_tflite
    return writer(folder, model_files.network(), precision)


def onnx_file(path: Path, nodes: list[Any], weights: dict[str, np.ndarray], opset: int = 17, ir: int = 8) -> Path:
    """A file from x float32 [batch, 6] to y float32 [batch, 6]."""
    model = model_files.onnx_model(nodes, weights, {"x": ["batch", 6]}, {"y": ["batch", 6]})
    model.opset_import[0].version = opset
    model.ir_version = ir
    onnx.save(model, path)
    return path


def matrix(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((6, 6), dtype=np.float32)


def stored_bytes(file: readback.ModelFacts) -> int:
    return sum(constant.file_bytes for constant in file.constants if constant.role != "other")


@pytest.mark.parametrize("name", ["fp32.onnx", "fp16.onnx", "dynamic.onnx", "int8.onnx"])
def test_every_node_that_runs_in_onnx_runtime_has_its_time_arithmetic_and_weights(
    tmp_path: Path, images: Path, name: str
) -> None:
    path = write(tmp_path, name)
    started = time.perf_counter()
    operators, facts = measure_operators(path, images, log=tmp_path / "log.txt", seconds=0.1)
    elapsed_us = (time.perf_counter() - started) * 1e6
    times = [operator.mean_us for operator in operators if operator.mean_us is not None]
    assert len(times) == len(operators) == facts.nodes_after_optimization
    assert min(times) > 0
    # At least ten calls were profiled within the time that passed here.
    assert 10 * sum(times) < elapsed_us
    file = readback.read(path)
    assert (facts.nodes, facts.delegated_nodes) == (len(file.operators), None)
    heavy = [operator for operator in operators if operator.macs != 0]
    assert [operator.macs for operator in heavy] == [model_files.CONV_MACS, model_files.DENSE_MACS]
    assert "Conv" in heavy[0].kind
    assert "Gemm" in heavy[1].kind or "MatMul" in heavy[1].kind
    assert sum(operator.weight_bytes for operator in heavy) == stored_bytes(file)
    assert all(operator.weight_bytes == 0 for operator in operators if operator.macs == 0)


@pytest.mark.parametrize(("name", "delegated"), [("fp32.tflite", 4), ("fp16.tflite", 8), ("int8.tflite", 3)])
@pytest.mark.parametrize("batch", [1, 4])
def test_every_operator_of_a_tflite_file_is_listed(
    tmp_path: Path, images: Path, name: str, delegated: int, batch: int
) -> None:
    path = write(tmp_path, name)
    operators, facts = measure_operators(path, images, log=tmp_path / "log.txt", batch=batch)
    file = readback.read(path)
    assert [(o.kind, o.name, o.macs) for o in operators] == [(o.kind, o.name, o.macs) for o in file.operators]
    assert sum(operator.weight_bytes for operator in operators) == stored_bytes(file)
    # LiteRT has no profile in Python.
    assert {operator.mean_us for operator in operators} == {None}
    # Softmax on int8 is none of XNNPACK's operators.
    assert (facts.nodes, facts.delegated_nodes) == (len(file.operators), delegated)
    assert facts.optimization == "XNNPACK delegate"


def test_a_file_that_xnnpack_cannot_take_says_so(tmp_path: Path) -> None:
    b = model_files.TFLiteBuilder()
    x, y = (b.tensor(name, (1, 4), "INT16", scales=[1 / 32768]) for name in "xy")
    b.operator("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0, version=3)
    path = tmp_path / "int16.tflite"
    path.write_bytes(with_note(b, b"1.5.0").finish({"x": x}, {"y": y}))
    operators, facts = measure_operators(path, None, log=tmp_path / "log.txt")
    assert [operator.kind for operator in operators] == ["SOFTMAX"]
    assert facts.delegated_nodes == 0
    assert "XNNPACK took no operator" in facts.optimization
    # The note is the one that the converter leaves in int16x8 files, and it is too low.
    assert facts.least_version == "TensorFlow Lite 2.3.0"
    b.operator("RELU", [x], [b.tensor("z", (1, 4), "INT16")])
    path.write_bytes(b.finish({"x": x}, {"y": y}))
    assert litert.least_version(path, readback.read(path)) is None


@pytest.mark.parametrize(
    ("bias", "noted", "expected"),
    [("INT64", b"1.5.0", "2.3.0"), ("INT64", b"2.17.0", "2.17.0"), ("INT32", b"1.5.0", None)],
)
def test_int16_kernels_raise_the_least_version_that_the_converter_noted(
    tmp_path: Path, bias: str, noted: bytes, expected: str | None
) -> None:
    b = model_files.TFLiteBuilder()
    x, y = (b.tensor(name, (1, 4), "INT16", scales=[1 / 32768]) for name in "xy")
    kernel = b.tensor("kernel", (4, 4), "INT8", values=np.ones((4, 4), np.int8), scales=[0.1] * 4)
    offsets = b.tensor("bias", (4,), bias, values=np.zeros(4, bias.lower()))
    b.operator("FULLY_CONNECTED", [x, kernel, offsets], [y], "FullyConnectedOptions")
    path = tmp_path / "int16x8.tflite"
    path.write_bytes(with_note(b, noted).finish({"x": x}, {"y": y}))
    assert litert.least_version(path, readback.read(path)) == (expected and f"TensorFlow Lite {expected}")


def test_an_operator_before_those_that_xnnpack_took_is_not_counted(tmp_path: Path) -> None:
    b = model_files.TFLiteBuilder()
    x, kept, taken, y = (b.tensor(name, (1, 4)) for name in ("x", "kept", "taken", "y"))
    b.operator("LOG_SOFTMAX", [x], [kept], "LogSoftmaxOptions")
    b.operator("RELU", [kept], [taken])
    b.operator("SOFTMAX", [taken], [y], "SoftmaxOptions", beta=1.0)
    path = tmp_path / "mixed.tflite"
    path.write_bytes(b.finish({"x": x}, {"y": y}))
    _, facts = measure_operators(path, None, log=tmp_path / "log.txt")
    assert (facts.nodes, facts.delegated_nodes) == (3, 2)


def with_note(b: model_files.TFLiteBuilder, version: bytes) -> model_files.TFLiteBuilder:
    """The builder of a file that notes a ``min_runtime_version``, as TensorFlow's converter does."""
    buffer, note = model_files.schema.BufferT(), model_files.schema.MetadataT()
    buffer.data = np.frombuffer(version.ljust(16, b"\0"), np.uint8)
    b.model.buffers.append(buffer)
    note.name, note.buffer = "min_runtime_version", len(b.model.buffers) - 1
    b.model.metadata = [note]
    return b


@pytest.mark.parametrize(("noted", "expected"), [(b"2.17.0", "TensorFlow Lite 2.17.0"), (b"", None)])
def test_the_least_version_of_a_tflite_file_is_the_noted_one(
    tmp_path: Path, noted: bytes, expected: str | None
) -> None:
    b = model_files.TFLiteBuilder()
    x, y = (b.tensor(name, (1, 4)) for name in "xy")
    b.operator("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)
    path = tmp_path / "noted.tflite"
    path.write_bytes(with_note(b, noted).finish({"x": x}, {"y": y}))
    assert litert.least_version(path, readback.read(path)) == expected
    bare = write(tmp_path, "fp32.tflite")
    assert litert.least_version(bare, readback.read(bare)) is None


@pytest.mark.parametrize(
    ("opset", "ir", "expected"),
    [
        (13, 7, "ONNX Runtime 1.6"),
        (17, 8, "ONNX Runtime 1.12"),
        (13, 8, "ONNX Runtime 1.9"),
        (17, 9, "ONNX Runtime 1.16"),
        (21, 10, "ONNX Runtime 1.18"),
        (22, 10, None),
        (17, 11, None),
    ],
)
def test_the_least_onnx_runtime_takes_both_the_operators_and_the_format(
    tmp_path: Path, opset: int, ir: int, expected: str | None
) -> None:
    path = onnx_file(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}, opset, ir)
    assert onnxruntime.least_version(path, readback.read(path)) == expected


def test_operators_outside_of_onnx_have_no_least_version(tmp_path: Path) -> None:
    node = helper.make_node("FusedMatMul", ["x", "k"], ["y"], domain="com.microsoft")
    path = onnx_file(tmp_path / "a.onnx", [node], {"k": matrix(0)})
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, path)
    operators, facts = measure_operators(path, None, log=tmp_path / "log.txt", seconds=0.05)
    assert facts.least_version is None
    assert [(operator.kind, operator.weight_bytes) for operator in operators] == [("com.microsoft:FusedMatMul", 144)]


def test_what_cannot_be_joined_to_a_node_keeps_a_line_without_a_time(tmp_path: Path) -> None:
    branches = {
        branch: helper.make_graph(
            [helper.make_node("MatMul", ["x", weight], [f"made_{weight}"])],
            branch,
            [],
            [helper.make_tensor_value_info(f"made_{weight}", TensorProto.FLOAT, ["batch", 6])],
        )
        for branch, weight in (("then_branch", "first"), ("else_branch", "second"))
    }
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["more"]),
        helper.make_node("If", ["more"], ["chosen"], **branches),
        helper.make_node("Relu", ["chosen"], ["y"]),
    ]
    weights = {"first": matrix(1), "second": matrix(2), "zero": np.array(0, np.float32)}
    path = onnx_file(tmp_path / "a.onnx", nodes, weights)
    operators, facts = measure_operators(path, None, log=tmp_path / "log.txt", seconds=0.05)
    ran = [operator for operator in operators if operator.mean_us is not None]
    rest = [operator for operator in operators if operator.mean_us is None]
    assert [operator.kind for operator in ran] == ["ReduceSum", "Greater", "If", "Relu"]
    assert facts.nodes_after_optimization == 4
    # The arithmetic inside of If cannot be told, so neither can its own.
    assert ran[2].macs is None
    assert [(operator.kind, operator.weight_bytes) for operator in rest] == [("MatMul", 144), ("MatMul", 144)]


@pytest.mark.parametrize(
    ("ran", "joined"),
    [
        (_onnx_nodes.Node("FusedGemm", "fused product", 3.0), True),
        (_onnx_nodes.Node("com.microsoft:Gemm", "else", 3.0, ("x", "k"), ("else",)), True),
        (_onnx_nodes.Node("com.microsoft:Gemm", "else", 3.0, ("x",), ("y",)), True),
        (_onnx_nodes.Node("com.microsoft:Gemm", "else", 3.0, ("x",), ("z",)), False),
        (_onnx_nodes.Node("Relu", "product", 3.0, ("x", "k"), ("y",)), False),
    ],
)
def test_a_node_is_joined_by_weight_name_or_tensor_and_never_guessed(
    tmp_path: Path, ran: _onnx_nodes.Node, *, joined: bool
) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "k"], ["a"], name="product"),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    path = onnx_file(tmp_path / "a.onnx", nodes, {"k": matrix(0)})
    told = _onnx_nodes.figures([ran], readback.read(path), _onnx_nodes.file_graph(path))
    assert sum(operator.weight_bytes for operator in told) == 144
    if joined:
        assert [(operator.name, operator.macs, operator.mean_us) for operator in told] == [(ran.name, 36, 3.0)]
    else:
        unknown = 0 if ran.kind == "Relu" else None
        assert [(operator.macs, operator.mean_us) for operator in told] == [(unknown, 3.0), (36, None)]


def test_two_products_with_one_kernel_are_told_apart(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "k"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "k"], ["y"]),
    ]
    path = onnx_file(tmp_path / "a.onnx", nodes, {"k": matrix(0)})
    operators, _ = measure_operators(path, None, log=tmp_path / "log.txt", seconds=0.05)
    assert [(o.kind, o.macs, o.weight_bytes) for o in operators] == [
        ("MatMul", 36, 144),
        ("Relu", 0, 0),
        ("MatMul", 36, 0),
    ]


def test_times_are_means_over_the_calls_after_the_warm_up() -> None:
    def event(cat: str, name: str, start: int, duration: int, kind: str = "") -> dict[str, Any]:
        return {"cat": cat, "name": name, "ts": start, "dur": duration, "args": {"op_name": kind} if kind else {}}

    trace = [event("Session", "session_initialization", 0, 50)]
    for start, duration in ((100, 40), (200, 4), (300, 6)):
        trace += [
            event("Node", "MatMul_0_kernel_time", start + 1, duration // 2, "MatMul"),
            event("Node", "own_kernel_time", start + 1, duration, "If"),
            event("Node", "after_kernel_time", start + 50, duration, "Relu"),
            event("Session", "model_run", start, 95),
        ]
    # The product runs inside of the If and is in its time.
    assert _onnx_nodes.times(trace, 1) == [_onnx_nodes.Node("If", "own", 5.0), _onnx_nodes.Node("Relu", "after", 5.0)]


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_a_damaged_file_has_a_reason(tmp_path: Path, images: Path, suffix: str) -> None:
    whole = write(tmp_path, f"fp32.{suffix}").read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        path = tmp_path / f"damaged.{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"damaged\.{suffix} cannot be profiled: .*export"):
            measure_operators(path, images, log=tmp_path / "log.txt")


@pytest.mark.parametrize(("code", "reason"), [(CRASH, "signal SIGSEGV"), (HANG, "no sign of life for 2 s")])
def test_a_process_that_crashes_or_hangs_has_a_reason(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    (tmp_path / "broken_worker.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("optkit.measure.operators._WORKER", "broken_worker")
    with pytest.raises(InputError, match=f"cannot be profiled: .*{reason}"):
        measure_operators(tmp_path / "a.onnx", images, log=tmp_path / "log.txt", silence_seconds=2)


def test_inputs_that_do_not_fit_have_a_reason(tmp_path: Path, images: Path) -> None:
    path, log = write(tmp_path, "fp32.onnx"), tmp_path / "log.txt"
    with pytest.raises(InputError, match="expected at least 5 images, found 4"):
        measure_operators(path, images, log=log, batch=5)
    small = tmp_path / "small.npy"
    np.save(small, np.zeros((1, 5, 5), np.float32))
    with pytest.raises(InputError, match="give data of that shape"):
        measure_operators(path, small, log=log)
    with pytest.raises(InputError, match="threads of at least 1, found 0"):
        measure_operators(path, images, log=log, threads=0)
    with pytest.raises(InputError, match="a time to measure over 0 s, found 0"):
        measure_operators(path, images, log=log, seconds=0)
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    sizes = {"x": ["batch", "anything"]}, {"y": ["batch", "anything"]}
    onnx.save(model_files.onnx_model(nodes, {}, *sizes), tmp_path / "open.onnx")
    with pytest.raises(InputError, match=r"cannot be profiled: .*give data"):
        measure_operators(tmp_path / "open.onnx", None, log=log)


def test_a_runtime_without_a_profile_lists_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(onnxruntime, "profile")
    path = write(tmp_path, "fp32.onnx")
    operators, facts = runtimes.profile(path, readback.read(path), None)
    assert len(operators) == facts.nodes == 10
    assert facts.least_version is facts.delegated_nodes is facts.nodes_after_optimization is None


def test_profiling_loads_no_tensorflow() -> None:
    code = "import optkit.measure.operators, optkit.measure.operators_worker, sys; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
