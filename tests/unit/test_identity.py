"""Bit for bit or not at all: every kind of difference is found, and what cannot be compared is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import model_files
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optkit import runtimes, tflite_schema
from optkit.errors import InputError
from optkit.runtimes import _ports
from optkit.verify import identity

if TYPE_CHECKING:
    from pathlib import Path


def pair(tmp_path: Path, before: bytes, after: bytes, ending: str = "tflite") -> tuple[Path, Path]:
    paths = tmp_path / f"before.{ending}", tmp_path / f"after.{ending}"
    for path, content in zip(paths, (before, after), strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_bit_of_one_weight_is_found(tmp_path: Path, precision: str) -> None:
    before = model_files.write_tflite(tmp_path, model_files.network(), precision).read_bytes()
    model = tflite_schema.parse(before)
    kernel = next(tensor for tensor in model.subgraphs[0].tensors if tensor.name == b"conv")
    data = model.buffers[kernel.buffer].data.copy()
    # The lowest bit of the mantissa that matters, and a step of an integer.
    data[2] ^= 1
    model.buffers[kernel.buffer].data = data
    found = identity.compare(*pair(tmp_path, before, tflite_schema.serialize(model)))
    assert found.difference is not None
    assert found.difference.startswith("XNNPACK: output 0 differs in ")
    assert identity.compare(*pair(tmp_path, before, before)).difference is None


def test_a_step_in_the_output_scale_is_found(tmp_path: Path) -> None:
    before = model_files.write_tflite(tmp_path, model_files.network(), "int8").read_bytes()
    model = tflite_schema.parse(before)
    image = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    image.quantization.zeroPoint = [int(image.quantization.zeroPoint[0]) + 1]
    found = identity.compare(*pair(tmp_path, before, tflite_schema.serialize(model)))
    assert found.difference is not None
    assert "inputs were" in found.difference


def test_a_file_that_does_not_open_differs(tmp_path: Path) -> None:
    before = model_files.write_tflite(tmp_path, model_files.network(), "fp32").read_bytes()
    found = identity.compare(*pair(tmp_path, before, before[:200]))
    assert found.difference is not None
    assert "cannot open" in found.difference


def test_a_batch_that_was_frozen_is_found(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    model = onnx.load(path)
    before = model.SerializeToString()
    for tensor in model.graph.initializer:
        if tensor.name == "row":
            tensor.CopyFrom(numpy_helper.from_array(np.array([1, model_files.FEATURES], np.int64), "row"))
    found = identity.compare(*pair(tmp_path, before, model.SerializeToString(), "onnx"))
    assert found.difference is not None
    assert "at a batch of 3" in found.difference


def _onnx(
    nodes: list[onnx.NodeProto], *, outputs: tuple[str, ...] = ("y",), shape: tuple[object, ...] = (1, 4)
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


def test_another_number_of_outputs_is_found(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    found = identity.compare(*pair(tmp_path, _onnx(nodes, outputs=("y", "z")), _onnx(nodes), "onnx"))
    assert found.difference is not None
    assert "outputs were" in found.difference


def test_minus_zero_is_not_zero(tmp_path: Path) -> None:
    # Equal as numbers, and not as bits: a program that divides by it notices.
    plus, minus = ([helper.make_node(kind, ["x"], ["y"])] for kind in ("Abs", "Neg"))
    plus.insert(0, helper.make_node("Mul", ["x", "x"], ["unused"]))
    zero = np.zeros((20, 4), np.float32)
    found = identity.compare(*pair(tmp_path, _onnx(plus), _onnx(minus), "onnx"), images=zero)
    assert found.difference is not None
    assert "by up to 0" in found.difference


def test_random_outputs_cannot_be_compared(tmp_path: Path) -> None:
    b = model_files.TFLiteBuilder()
    x, noise, y = (b.tensor(name, (1, 4)) for name in ("x", "noise", "y"))
    shape = b.tensor("shape", (2,), "INT32", values=np.array([1, 4], np.int32))
    # Seeds of 0 stand for any.
    b.operator("RANDOM_UNIFORM", [shape], [noise], "RandomOptions", seed=0, seed2=0)
    b.operator("ADD", [x, noise], [y], "AddOptions")
    content = b.finish({"x": x}, {"y": y})
    with pytest.raises(InputError, match="when it is run again"):
        identity.compare(*pair(tmp_path, content, content))


def test_a_reference_that_does_not_run_is_bad_input(tmp_path: Path) -> None:
    before = model_files.write_tflite(tmp_path, model_files.network(), "fp32").read_bytes()
    with pytest.raises(InputError, match="cannot open"):
        identity.compare(*pair(tmp_path, before[:200], before))
    content = _onnx([helper.make_node("Relu", ["x"], ["y"])], shape=("batch", "height", 3))
    with pytest.raises(InputError, match="give data"):
        identity.compare(*pair(tmp_path, content, content, "onnx"))
    images = np.ones((4, 5, 3), np.float32)
    assert identity.compare(*pair(tmp_path, content, content, "onnx"), images=images).inputs == 4


def test_equal_answers_to_everything_are_counted(tmp_path: Path) -> None:
    content = _onnx([helper.make_node("Sub", ["x", "x"], ["y"])])
    found = identity.compare(*pair(tmp_path, content, content, "onnx"))
    assert (found.inputs, found.distinct, found.difference) == (identity.GENERATED, 1, None)


def test_raw_sessions_give_what_the_others_do(tmp_path: Path) -> None:
    pictures = model_files.images()[:5]
    for write, precision in ((model_files.write_tflite, "int8"), (model_files.write_onnx, "int8")):
        path = write(tmp_path, model_files.network(), precision)
        session = runtimes.open_model(path)
        usual = runtimes.kernels(path.suffix[1:])[0]
        raw = runtimes.open_raw(path, usual)
        for position in range(len(pictures)):
            native = _ports.to_native(pictures[position : position + 1], raw.inputs)
            expected = runtimes.predict(session, pictures[position : position + 1])
            np.testing.assert_array_equal(raw.run([native])[0].reshape(1, -1), expected)


def test_a_runtime_without_raw_sessions_says_so() -> None:
    with pytest.raises(InputError, match="no way"):
        runtimes.kernels("keras")
