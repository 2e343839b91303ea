"""TensorRT through ONNX Runtime: named, and told to be missing where it is; every measuring process gets the name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import model_files
import numpy as np
import onnx
import pytest
from onnx import helper

from optkit import registry, runtimes
from optkit.errors import InputError
from optkit.measure.accuracy import fresh_answers
from optkit.measure.latency import measure_latency
from optkit.measure.memory import measure_memory
from optkit.measure.operators import measure_operators
from optkit.pipeline import benchmark_files
from optkit.runtimes import tensorrt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WITHOUT = pytest.mark.skipif(tensorrt.missing() is None, reason="TensorRT is here")


def network(folder: Path, weight: np.dtype[np.generic], *, quantized: bool = False) -> Path:
    """y = x @ w, with w in the given type; quantized and back before it where that is asked for."""
    steps = {"s": np.float32(0.1), "z": np.int8(0)} if quantized else {}
    nodes = [
        helper.make_node("Cast", ["w"], ["w32"], to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["d" if quantized else "x", "w32"], ["y"]),
    ]
    if quantized:
        nodes[:0] = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        ]
    path = folder / "model.onnx"
    values = {"w": np.ones((4, 2), weight), **{name: np.asarray(value) for name, value in steps.items()}}
    onnx.save(model_files.onnx_model(nodes, values, {"x": [-1, 4]}, {"y": [-1, 2]}), path)
    return path


def test_the_usual_runtime_of_a_format_is_not_one_that_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda _: ("tensorrt", "onnxruntime", "litert"))
    assert registry.by_format("runtimes", "onnx") is registry.load("runtimes", "onnxruntime")
    assert runtimes.plugin("onnx", "tensorrt") is tensorrt
    # It is for files of its format.
    assert runtimes.plugin("tflite", "tensorrt") is registry.load("runtimes", "litert")


@pytest.mark.parametrize(("weight", "quantized"), [("float32", False), ("float16", False), ("float32", True)])
def test_it_may_compute_in_the_types_of_the_file_alone(tmp_path: Path, weight: str, *, quantized: bool) -> None:
    path = network(tmp_path, np.dtype(weight), quantized=quantized)
    assert tensorrt.settings(path) == {
        "trt_int8_enable": str(quantized),
        "trt_fp16_enable": str(weight == "float16"),
    }


@WITHOUT
def test_every_process_that_measures_is_told_the_runtime(tmp_path: Path) -> None:
    path = network(tmp_path, np.dtype("float32"))
    images, log = tmp_path / "images.npy", tmp_path / "log.txt"
    np.save(images, np.zeros((2, 4), np.float32))
    opener = f"{tensorrt.__name__}:open_model"
    timed = measure_latency([path], path, images, log=log, processes=1, opener=opener)
    assert "not measured" in timed.failures[str(path)]
    measuring: list[Callable[[], object]] = [
        lambda: measure_memory(path, images, log=log, runtime="tensorrt"),
        lambda: measure_operators(path, images, log=log, runtime="tensorrt"),
        lambda: fresh_answers(path, images, log=log, runtime="tensorrt"),
    ]
    for measure in measuring:
        with pytest.raises(InputError, match="not measured"):
            measure()


@WITHOUT
def test_files_without_their_runtime_are_not_measured_and_the_others_are(tmp_path: Path) -> None:
    path = network(tmp_path, np.dtype("float32"))
    other = tmp_path / "other.tflite"
    other.write_bytes(b"")
    with pytest.raises(InputError, match=r"not measured in tensorrt: .*onnxruntime-gpu"):
        benchmark_files.runnable(benchmark_files.named([path], None, "tensorrt"), "tensorrt")
    with pytest.raises(InputError, match=r"--runtime tensorrt is for .onnx files"):
        benchmark_files.runnable(benchmark_files.named([other], None, "tensorrt"), "tensorrt")
    left, skipped = benchmark_files.runnable(benchmark_files.named([other, path], None, "tensorrt"), "tensorrt")
    assert [one.format for one in left] == ["tflite"]
    assert skipped[0].reason.startswith("not measured in tensorrt: ")
