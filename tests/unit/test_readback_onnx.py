"""What an ONNX file says about itself, and what is no ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import model_files
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from optkit import readback
from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.readback import Constant, ModelFacts


def kernels(facts: ModelFacts) -> dict[str, Constant]:
    """Kernels by the kind of their operator."""
    return {facts.operators[c.operator].kind: c for c in facts.constants if c.role == "weight"}


def macs(facts: ModelFacts) -> list[int | None]:
    return [o.macs for o in facts.operators if o.macs != 0]


def test_a_float_file(tmp_path: Path) -> None:
    net = model_files.network()
    facts = readback.read(model_files.write_onnx(tmp_path, net, "fp32"))
    assert (facts.format, facts.opset, facts.external_files) == ("onnx", 17, ())
    assert [(p.name, p.dtype, p.shape) for p in facts.inputs] == [("image", "float32", (-1, 28, 28, 1))]
    assert [(p.name, p.dtype, p.shape) for p in facts.outputs] == [("digit", "float32", (-1, 10))]
    assert macs(facts) == [model_files.CONV_MACS, model_files.DENSE_MACS]
    found = kernels(facts)
    assert {k: (c.name, c.channel_axis, c.scales) for k, c in found.items()} == {
        "Conv": ("conv", 0, ()),
        "MatMul": ("dense", 1, ()),
    }
    assert np.array_equal(found["MatMul"].values, net.dense.T)
    assert {c.name for c in facts.constants if c.role == "bias"} == {"conv_bias", "dense_bias"}


def test_a_float16_file(tmp_path: Path) -> None:
    facts = readback.read(model_files.write_onnx(tmp_path, model_files.network(), "fp16"))
    assert {c.dtype for c in kernels(facts).values()} == {"float16"}
    assert {p.dtype for p in (*facts.inputs, *facts.outputs)} == {"float32"}
    assert next(o.input_dtypes for o in facts.operators if o.kind == "Conv") == ("float16",) * 3


def test_a_quantized_file(tmp_path: Path) -> None:
    facts = readback.read(model_files.write_onnx(tmp_path, model_files.network(), "int8"))
    found = kernels(facts)
    assert {k: (c.dtype, c.channel_axis, len(c.scales), set(c.zero_points)) for k, c in found.items()} == {
        "Conv": ("int8", 0, 8, {0}),
        "MatMul": ("int8", 1, 10, {0}),
    }
    assert next(o.input_dtypes for o in facts.operators if o.kind == "Conv") == ("int8", "int8", "int32")
    assert next(o.output_dtypes for o in facts.operators if o.kind == "MatMul") == ("int8",)
    assert macs(facts) == [model_files.CONV_MACS, model_files.DENSE_MACS]
    assert len([c for c in facts.constants if c.role == "bias"]) == 2


def test_a_dynamically_quantized_file(tmp_path: Path) -> None:
    facts = readback.read(model_files.write_onnx(tmp_path, model_files.network(), "dynamic"))
    found = kernels(facts)
    assert {k: (c.dtype, c.channel_axis, c.zero_points) for k, c in found.items()} == {
        "ConvInteger": ("int8", 0, (0,)),
        "MatMulInteger": ("int8", 1, (0,)),
    }
    restored = found["MatMulInteger"].values * found["MatMulInteger"].scales[0]
    assert np.abs(restored - model_files.network().dense.T).max() <= found["MatMulInteger"].scales[0] * 0.501
    assert macs(facts) == [model_files.CONV_MACS, model_files.DENSE_MACS]
    assert {c.name for c in facts.constants if c.role == "bias"} == {"conv_bias", "dense_bias"}


def test_a_kernel_is_found_through_reshape_and_transpose(tmp_path: Path) -> None:
    """Stored as Keras has it [height, width, in, out], int8 with a scale per output channel."""
    nodes = [
        helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["real"], axis=1),
        helper.make_node("Reshape", ["real", "shape"], ["image_order"]),
        helper.make_node("Transpose", ["image_order"], ["kernel"], perm=[3, 2, 0, 1]),
        helper.make_node("Conv", ["x", "kernel"], ["y"]),
    ]
    weights = {
        "stored": np.ones((18, 5), np.int8),
        "scale": np.ones(5, np.float32),
        "zero": np.arange(5, dtype=np.int8),
        "shape": np.array([3, 3, 2, 5], np.int64),
    }
    model = model_files.onnx_model(nodes, weights, {"x": ["batch", 2, 8, 8]}, {"y": ["batch", 5, 6, 6]})
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    facts = readback.read(path)
    kernel = kernels(facts)["Conv"]
    assert (kernel.name, kernel.channel_axis, kernel.zero_points) == ("stored", 1, (0, 1, 2, 3, 4))
    assert macs(facts) == [5 * 6 * 6 * 18]


@pytest.mark.parametrize(
    ("operator", "attributes", "shape", "output", "count", "axis"),
    [
        ("Gemm", {}, (4, 3), ["batch", 3], 12, 1),
        ("Gemm", {"transB": 1}, (3, 4), ["batch", 3], 12, 0),
        ("MatMul", {}, (4, 3), ["batch", 3], 12, 1),
    ],
)
def test_dense_layers(
    *,
    tmp_path: Path,
    operator: str,
    attributes: dict[str, int],
    shape: tuple[int, ...],
    output: list[object],
    count: int,
    axis: int,
) -> None:
    nodes = [helper.make_node(operator, ["x", "kernel"], ["y"], **attributes)]
    weights = {"kernel": np.ones(shape, np.float32)}
    path = tmp_path / "model.onnx"
    onnx.save(model_files.onnx_model(nodes, weights, {"x": ["batch", 4]}, {"y": output}), path)
    facts = readback.read(path)
    assert macs(facts) == [count]
    assert kernels(facts)[operator].channel_axis == axis


def test_convolutions_with_groups_and_transposed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "depthwise"], ["a"], group=4),
        helper.make_node("ConvTranspose", ["a", "transposed"], ["y"], strides=[2, 2]),
    ]
    weights = {
        "depthwise": np.ones((4, 1, 3, 3), np.float32),
        "transposed": np.ones((4, 5, 2, 2), np.float32),
    }
    path = tmp_path / "model.onnx"
    onnx.save(model_files.onnx_model(nodes, weights, {"x": ["batch", 4, 8, 8]}, {"y": ["batch", 5, 12, 12]}), path)
    facts = readback.read(path)
    assert macs(facts) == [4 * 36 * 9, 4 * 36 * 20]
    assert {k: c.channel_axis for k, c in kernels(facts).items()} == {"Conv": 0, "ConvTranspose": 1}


def test_arithmetic_that_is_not_counted_is_unknown_not_nothing(tmp_path: Path) -> None:
    nodes = [helper.make_node("Einsum", ["x", "w"], ["y"], equation="bi,ij->bj")]
    path = tmp_path / "model.onnx"
    weights = {"w": np.ones((4, 3), np.float32)}
    onnx.save(model_files.onnx_model(nodes, weights, {"x": ["batch", 4]}, {"y": ["batch", 3]}), path)
    assert [o.macs for o in readback.read(path).operators] == [None]


def test_constant_nodes_count_as_stored(tmp_path: Path) -> None:
    model = model_files.onnx_float(model_files.network())
    dense = next(t for t in model.graph.initializer if t.name == "dense")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["dense"], value=dense))
    model.graph.initializer.remove(dense)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    facts = readback.read(path)
    assert kernels(facts)["MatMul"].name == "dense"
    assert "Constant" not in {o.kind for o in facts.operators}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "dynamic", "int8"])
def test_bytes_by_kind_add_up(tmp_path: Path, precision: str) -> None:
    net = model_files.network()
    path = model_files.write_onnx(tmp_path, net, precision)
    facts = readback.read(path)
    kinds = readback.bytes_by_kind(facts)
    assert sum(kinds.values()) == facts.file_bytes == path.stat().st_size
    assert kinds["weights"] == (net.conv.size + net.dense.size) * {"fp32": 4, "fp16": 2}.get(precision, 1)
    assert kinds["structure"] > 0


def test_values_in_typed_fields_are_counted(tmp_path: Path) -> None:
    model = model_files.onnx_float(model_files.network())
    dense = next(t for t in model.graph.initializer if t.name == "dense")
    dense.CopyFrom(
        helper.make_tensor("dense", onnx.TensorProto.FLOAT, dense.dims, numpy_helper.to_array(dense).ravel())
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    found = kernels(readback.read(path))["MatMul"]
    # The field's tag and length come on top of the values.
    assert found.values.nbytes < found.file_bytes < found.values.nbytes + 10


def test_arithmetic_is_counted_in_a_file_out_of_order(tmp_path: Path) -> None:
    model = model_files.onnx_float(model_files.network(), dtype=np.float16)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[1:], nodes[0]])
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    assert macs(readback.read(path)) == [model_files.CONV_MACS, model_files.DENSE_MACS]


def test_a_graph_without_an_operator_set_is_refused(tmp_path: Path) -> None:
    model = model_files.onnx_float(model_files.network())
    del model.opset_import[:]
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="export the model again"):
        readback.read(path)


def external(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    model = model_files.onnx_float(model_files.network())
    onnx.save(model, path, save_as_external_data=True, location="model.weights", size_threshold=1024)
    return path


def test_external_data_is_listed_and_read(tmp_path: Path) -> None:
    facts = readback.read(external(tmp_path))
    assert facts.external_files == ("model.weights",)
    dense = kernels(facts)["MatMul"]
    assert np.array_equal(dense.values, model_files.network().dense.T)
    assert dense.file_bytes == 0
    assert sum(readback.bytes_by_kind(facts).values()) == facts.file_bytes


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "", "absent"])
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_bytes(bytes(100_000))
    path = external(inner)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"put it beside the model"):
        readback.read(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = external(inner)
    (inner / "model.weights").rename(tmp_path / "secret")
    (inner / "model.weights").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="outside its folder"):
        readback.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 64, b"PK\x03\x04" + b"x" * 100, b"\x10\0\0\0TFL3" + b"\xff" * 64, b"\x08\x08"]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        readback.read(path)
    assert "export the model again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_type_that_onnx_does_not_have_is_unknown_in_a_note_and_refused_in_a_stored_tensor(tmp_path: Path) -> None:
    model = model_files.onnx_float(model_files.network())
    model.graph.value_info.append(helper.make_tensor_value_info("elsewhere", 38, [1]))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    facts = readback.read(path)
    assert macs(facts) == [model_files.CONV_MACS, model_files.DENSE_MACS]
    model.graph.output.append(helper.make_tensor_value_info("elsewhere", 38, [1]))
    path.write_bytes(model.SerializeToString())
    assert readback.read(path).outputs[1].dtype == "unknown"
    model.graph.initializer[0].data_type = 38
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="damaged ONNX file"):
        readback.read(path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    content = path.read_bytes()
    for kept in range(0, len(content) - 20, 211):
        path.write_bytes(content[:kept])
        with pytest.raises(InputError):
            readback.read(path)


def test_changed_bytes_end_in_facts_or_a_message(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "int8")
    content = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(200):
        damaged = content.copy()
        damaged[rng.integers(0, len(damaged), 20)] = rng.integers(0, 256, 20)
        path.write_bytes(damaged.tobytes())
        try:
            readback.read(path)
        except InputError:
            refusals += 1
    assert refusals > 20


def test_int4_kernels_are_unpacked(tmp_path: Path) -> None:
    kernel = helper.make_tensor("stored", onnx.TensorProto.INT4, [4, 3], list(range(-6, 6)))
    nodes = [
        helper.make_node("DequantizeLinear", ["stored", "scale"], ["kernel"]),
        helper.make_node("MatMul", ["x", "kernel"], ["y"]),
    ]
    weights = {"scale": np.array(0.5, np.float32)}
    model = model_files.onnx_model(nodes, weights, {"x": ["batch", 4]}, {"y": ["batch", 3]})
    model.graph.initializer.append(kernel)
    model.opset_import[0].version = 21
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    constant = kernels(readback.read(path))["MatMul"]
    assert (constant.dtype, constant.scales, constant.zero_points) == ("int4", (0.5,), (0,))
    assert constant.values.reshape(-1).tolist() == list(range(-6, 6))
    assert numpy_helper.to_array(kernel).shape == constant.values.shape


def test_names_are_told_from_the_rest(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    before = readback.read(path)
    model = onnx.load(path)
    old = len(model.graph.node[0].name)
    model.graph.node[0].name = "n" * (old + 20)
    onnx.save(model, path)
    after = readback.read(path)
    # A node of the test file has no name: then its tag and length come on top.
    assert after.name_bytes - before.name_bytes == 20 + (0 if old else 2)
    assert after.name_bytes - before.name_bytes == after.file_bytes - before.file_bytes
