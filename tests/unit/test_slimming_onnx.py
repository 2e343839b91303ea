"""Slimmer ONNX files: what goes, what stays, and what is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import model_files
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optkit import readback, slimming
from optkit.errors import InputError
from optkit.slimming import onnx as onnx_slimming
from optkit.verify import identity

if TYPE_CHECKING:
    from pathlib import Path

PRECISIONS = ("fp32", "fp16", "dynamic", "int8")
FLOAT = TensorProto.FLOAT


def slim(model: Any, *keep: str) -> slimming.Slimmed:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return slimming.slim(content, "onnx", keep=keep)


def slim_model(model: Any, *keep: str) -> Any:
    return onnx.load_model_from_string(slim(model, *keep).content)


def same(tmp_path: Path, before: bytes, after: bytes, *, images: np.ndarray | None = None) -> identity.Identity:
    paths = [tmp_path / "before.onnx", tmp_path / "after.onnx"]
    for path, content in zip(paths, (before, after), strict=True):
        path.write_bytes(content)
    return identity.compare(*paths, images=images)


def small(*, nodes: list[Any] | None = None, weights: dict[str, np.ndarray] | None = None) -> Any:
    weights = weights or {"bias": np.arange(4, dtype=np.float32)}
    nodes = nodes or [helper.make_node("Add", ["x", "bias"], ["y"], name="the first")]
    return model_files.onnx_model(nodes, weights, {"x": ["batch", 4]}, {"y": ["batch", 4]})


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_slim_file_is_smaller_and_answers_the_same(tmp_path: Path, precision: str) -> None:
    before = model_files.write_onnx(tmp_path, model_files.network(), precision).read_bytes()
    after = slim(before)
    assert len(after.content) < len(before) - 150
    assert sum(after.saved.values()) == len(before) - len(after.content)
    onnx.checker.check_model(onnx.load_model_from_string(after.content), full_check=True)
    found = same(tmp_path, before, after.content, images=model_files.images()[:200])
    assert (found.difference, found.inputs, found.kind) == (None, 200, "real")
    assert found.kernels == ("all graph optimizations", "no graph optimization")
    assert found.distinct > 150
    again = slim(after.content)
    assert again.content == after.content


@pytest.mark.parametrize("precision", PRECISIONS)
def test_ports_weights_and_operators_stay(tmp_path: Path, precision: str) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), precision)
    before = readback.read(path)
    path.write_bytes(slim(path.read_bytes()).content)
    after = readback.read(path)
    assert (after.inputs, after.outputs, after.opset) == (before.inputs, before.outputs, before.opset)
    assert [one.kind for one in after.operators] == [one.kind for one in before.operators]
    weights = [[one.values.tobytes() for one in facts.constants if one.role == "weight"] for facts in (before, after)]
    assert weights[0] == weights[1]
    assert after.name_bytes < before.name_bytes


def test_notes_go_and_are_told() -> None:
    model = small()
    model.producer_name, model.doc_string = "somebody", "secret"
    model.graph.doc_string = model.graph.node[0].doc_string = model.graph.input[0].doc_string = "secret"
    model.graph.initializer[0].doc_string = "secret"
    helper.set_model_props(model, {"labels": "secret"})
    found = slim(model)
    assert b"secret" not in found.content
    assert b"somebody" not in found.content
    assert "metadata are dropped (labels)" in found.notes
    kept = slim_model(model, "metadata")
    assert (kept.producer_name, kept.graph.node[0].doc_string) == ("somebody", "secret")
    assert kept.metadata_props[0].value == "secret"


def test_names_inside_become_short_and_those_of_ports_stay() -> None:
    nodes = [
        helper.make_node("Add", ["x", "a very long name"], ["another one"], name="n1"),
        helper.make_node("Relu", ["another one"], ["y"], name="n2"),
    ]
    model = small(nodes=nodes, weights={"a very long name": np.ones(4, np.float32)})
    found = slim_model(model)
    assert [one.name for one in (*found.graph.input, *found.graph.output)] == ["x", "y"]
    names = {name for node in found.graph.node for name in (*node.input, *node.output)}
    assert names == {"x", "y", "a", "b"}
    assert {node.name for node in found.graph.node} == {""}
    kept = slim_model(model, "names")
    assert [node.name for node in kept.graph.node] == ["n1", "n2"]


def test_a_port_with_a_short_name_is_not_taken_for_another(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["a"], ["inner"]), helper.make_node("Neg", ["inner"], ["b"])]
    model = model_files.onnx_model(nodes, {}, {"a": ["batch", 4]}, {"b": ["batch", 4]})
    after = slim(model)
    onnx.checker.check_model(onnx.load_model_from_string(after.content))
    assert same(tmp_path, model.SerializeToString(), after.content).difference is None


def test_equal_and_unused_constants_go() -> None:
    nodes = [
        helper.make_node("Add", ["x", "one"], ["between"]),
        helper.make_node("Add", ["between", "two"], ["more"]),
        helper.make_node("Add", ["more", "three"], ["y"]),
    ]
    ones = np.ones(4, np.float32)
    weights = {"one": ones, "two": ones, "three": ones[None], "unused": np.zeros(100, np.float32)}
    found = slim_model(small(nodes=nodes, weights=weights))
    # One of another shape is another one.
    assert [list(one.dims) for one in found.graph.initializer] == [[4], [1, 4]]


def test_a_constant_that_is_an_input_or_an_output_stays(tmp_path: Path) -> None:
    ones = np.ones(4, np.float32)
    model = small(
        nodes=[helper.make_node("Add", ["x", "given"], ["m"]), helper.make_node("Add", ["m", "inner"], ["y"])],
        weights={"given": ones, "inner": ones, "also": ones},
    )
    model.graph.input.append(helper.make_tensor_value_info("given", FLOAT, [4]))
    model.graph.output.append(helper.make_tensor_value_info("also", FLOAT, [4]))
    found = slim_model(model)
    assert {"given", "also"} < {one.name for one in found.graph.initializer}
    assert len(found.graph.initializer) == 3
    assert same(tmp_path, model.SerializeToString(), found.SerializeToString()).difference is None


def test_numbers_are_written_in_the_shorter_way() -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], np.array([1, 4], np.int64).tobytes(), raw=True)
    narrow = helper.make_tensor("narrow", TensorProto.INT8, [4], [-1, -2, -3, -4])
    model = small(
        nodes=[
            helper.make_node("Reshape", ["x", "shape"], ["r"]),
            helper.make_node("Cast", ["narrow"], ["wide"], to=FLOAT),
            helper.make_node("Add", ["r", "wide"], ["y"]),
        ]
    )
    del model.graph.initializer[:]
    model.graph.initializer.extend([shape, narrow])
    found = slim_model(model)
    by_type = {one.data_type: one for one in found.graph.initializer}
    assert list(by_type[TensorProto.INT64].int64_data) == [1, 4]
    assert by_type[TensorProto.INT8].raw_data == np.array([-1, -2, -3, -4], np.int8).tobytes()
    assert numpy_helper.to_array(by_type[TensorProto.INT64]).tolist() == [1, 4]


def test_attributes_at_their_defaults_go_and_others_stay(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    model = model_files.onnx_model(
        [helper.make_node("Gemm", ["x", "kernel"], ["y"], alpha=1.0, beta=1.0, transA=0, transB=1)],
        {"kernel": kernel},
        {"x": ["batch", 3]},
        {"y": ["batch", 4]},
    )
    found = slim_model(model)
    assert [one.name for one in found.graph.node[0].attribute] == ["transB"]
    assert same(tmp_path, model.SerializeToString(), found.SerializeToString()).difference is None


def with_branches() -> Any:
    """An If whose branches read tensors of the graph around it, one under a name that it hides."""
    then = helper.make_graph(
        [helper.make_node("Add", ["between", "bias"], ["then out"])],
        "then",
        [],
        [helper.make_tensor_value_info("then out", FLOAT, None)],
        [numpy_helper.from_array(np.full(4, 5, np.float32), "own")],
    )
    # "bias" is another tensor in here.
    other = helper.make_graph(
        [helper.make_node("Mul", ["between", "bias"], ["else out"])],
        "else",
        [],
        [helper.make_tensor_value_info("else out", FLOAT, None)],
        [numpy_helper.from_array(np.full(4, 3, np.float32), "bias")],
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["between"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "nothing"], ["which"]),
        helper.make_node("If", ["which"], ["y"], then_branch=then, else_branch=other),
    ]
    weights = {
        "bias": np.arange(4, dtype=np.float32),
        "same as bias": np.arange(4, dtype=np.float32),
        "nothing": np.float32(1.0),
    }
    model = model_files.onnx_model(nodes, weights, {"x": ["batch", 4]}, {"y": ["batch", 4]})
    model.graph.node.insert(1, helper.make_node("Add", ["same as bias", "bias"], ["unused sum"]))
    return model


def test_graphs_inside_of_others_keep_what_they_mean(tmp_path: Path) -> None:
    model = with_branches()
    onnx.checker.check_model(model)
    after = slim(model)
    onnx.checker.check_model(onnx.load_model_from_string(after.content))
    found = same(tmp_path, model.SerializeToString(), after.content)
    assert (found.difference, found.batches) == (None, (1, 3))
    assert found.distinct > 100
    assert b"own" not in after.content


def test_operator_sets_and_functions_that_nothing_uses_go() -> None:
    model = small()
    model.opset_import.append(helper.make_opsetid("com.unused", 1))
    model.opset_import.append(helper.make_opsetid("own", 1))
    for name in ("Twice", "Unused"):
        model.functions.append(
            helper.make_function(
                "own", name, ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
            )
        )
    model.graph.node.append(helper.make_node("Twice", ["y"], ["z"], domain="own"))
    found = slim_model(model)
    assert [one.domain for one in found.opset_import] == ["", "own"]
    assert [one.name for one in found.functions] == ["Twice"]


def test_tensors_in_files_of_their_own_are_refused(tmp_path: Path) -> None:
    model = small(weights={"bias": np.arange(4000, dtype=np.float32)})
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    with pytest.raises(InputError, match="file of its own"):
        slim((tmp_path / "m.onnx").read_bytes())


def test_fields_that_onnx_does_not_know_are_refused() -> None:
    # Field 999 of the model: a varint.
    with pytest.raises(InputError, match="does not know"):
        slim(small().SerializeToString() + b"\xb8\x3e\x01")


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 100])
def test_what_is_no_onnx_file_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="expected an ONNX file"):
        slim(content)


def test_a_tensor_that_does_not_fit_its_shape_is_refused() -> None:
    model = small()
    model.graph.initializer[0].raw_data = b"123"
    with pytest.raises(InputError, match="damaged"):
        slim(model)


def test_scales_are_not_merged_in_onnx_files() -> None:
    with pytest.raises(InputError, match="works on"):
        slimming.merge_scales(small().SerializeToString(), "onnx")
    assert not hasattr(onnx_slimming, "merge_scales")
