"""TFLite files with more than one graph, variables, sparse and block-wise tensors, and operators of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import model_files
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from optkit import slimming, tflite_schema
from optkit.verify import identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def same(tmp_path: Path, before: bytes, after: bytes) -> identity.Identity:
    paths = [tmp_path / "before.tflite", tmp_path / "after.tflite"]
    for path, content in zip(paths, (before, after), strict=True):
        path.write_bytes(content)
    return identity.compare(*paths)


def _graph(b: model_files.TFLiteBuilder, name: str) -> schema.SubGraphT:
    """Another graph, which the builder writes to from now on."""
    b.graph = schema.SubGraphT()
    b.graph.name, b.graph.tensors, b.graph.operators = name, [], []
    b.graph.inputs, b.graph.outputs = [], []
    b.model.subgraphs.append(b.graph)
    return b.graph


def control_flow() -> bytes:
    """x → if the sum of x is over 1 then x + 1 else x · 3."""
    b = model_files.TFLiteBuilder()
    main = b.graph
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    axes = b.tensor("axes", (2,), "INT32", values=np.array([0, 1], np.int32))
    total, one = b.tensor("total", ()), b.tensor("one", (), values=np.float32(1))
    which = b.tensor("which", (), "BOOL")
    b.operator("SUM", [x, axes], [total], "ReducerOptions")
    b.operator("GREATER", [total, one], [which], "GreaterOptions")
    b.operator("IF", [which, x], [y], "IfOptions", thenSubgraphIndex=1, elseSubgraphIndex=2)
    for name, kind, value in (("then", "ADD", 1), ("else", "MUL", 3)):
        graph = _graph(b, name)
        unused = b.tensor("unused", (64,), values=np.ones(64, np.float32))
        source, target = b.tensor("in", (1, 4)), b.tensor("out", (1, 4))
        other = b.tensor("other", (1,), values=np.array([value], np.float32))
        b.operator(kind, [source, other], [target], f"{kind.capitalize()}Options")
        graph.inputs, graph.outputs = [source], [target]
        assert unused == 0
    b.graph = main
    return b.finish({"x": x}, {"y": y})


def variables() -> bytes:
    """A running sum: x → sum + x, which is kept for the next call."""
    b = model_files.TFLiteBuilder()
    main = b.graph
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    handle, sum_ = b.tensor("handle", (), "RESOURCE"), b.tensor("sum", (1, 4))
    b.operator("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    b.operator("VAR_HANDLE", [], [handle], "VarHandleOptions", sharedName="sum", container="")
    b.operator("READ_VARIABLE", [handle], [sum_], "ReadVariableOptions")
    b.operator("ADD", [x, sum_], [y], "AddOptions")
    b.operator("ASSIGN_VARIABLE", [handle, y], [], "AssignVariableOptions")
    _graph(b, "initialize")
    again = b.tensor("handle", (), "RESOURCE")
    start = b.tensor("start", (1, 4), values=np.arange(4, dtype=np.float32))
    b.operator("VAR_HANDLE", [], [again], "VarHandleOptions", sharedName="sum", container="")
    b.operator("ASSIGN_VARIABLE", [again, start], [], "AssignVariableOptions")
    b.graph = main
    return b.finish({"x": x}, {"y": y})


def sparse() -> bytes:
    """A dense layer whose kernel is stored as compressed sparse rows."""
    b = model_files.TFLiteBuilder()
    dense = np.zeros((4, 8), np.float32)
    dense[[0, 1, 1, 3], [2, 0, 5, 7]] = [1, 2, 3, 4]
    x, y = b.tensor("x", (1, 8)), b.tensor("y", (1, 4))
    stored = b.tensor("stored", (4, 8), values=np.array([1, 2, 3, 4], np.float32))
    record = schema.SparsityParametersT()
    record.traversalOrder = [0, 1]
    rows, columns = schema.DimensionMetadataT(), schema.DimensionMetadataT()
    rows.format, rows.denseSize = schema.DimensionType.DENSE, 4
    columns.format = schema.DimensionType.SPARSE_CSR
    for field, values in (("arraySegments", [0, 1, 3, 3, 4]), ("arrayIndices", [2, 0, 5, 7])):
        vector = schema.Uint8VectorT()
        vector.values = np.array(values, np.uint8)
        setattr(columns, field, vector)
        setattr(columns, f"{field}Type", schema.SparseIndexVector.Uint8Vector)
    record.dimMetadata = [rows, columns]
    b.graph.tensors[stored].sparsity = record
    kernel = b.tensor("kernel", (4, 8))
    b.operator("DENSIFY", [stored], [kernel])
    b.operator("FULLY_CONNECTED", [x, kernel, -1], [y], "FullyConnectedOptions")
    return b.finish({"x": x}, {"y": y})


def custom() -> bytes:
    """Boxes chosen among four, by an operator that LiteRT has under a name of its own."""
    from flatbuffers import flexbuffers

    b = model_files.TFLiteBuilder()
    anchors = np.array([[0.5, 0.5, 1, 1], [0.2, 0.2, 0.3, 0.3], [0.7, 0.7, 0.2, 0.2], [0.5, 0.1, 0.5, 0.2]], np.float32)
    boxes, scores = b.tensor("boxes", (1, 4, 4)), b.tensor("scores", (1, 4, 3))
    stored = b.tensor("anchors", (4, 4), values=anchors)
    unused = b.tensor("unused", (64,), values=np.ones(64, np.float32))
    found = [b.tensor(name, shape) for name, shape in (("b", (1, 2, 4)), ("c", (1, 2)), ("s", (1, 2)), ("n", (1,)))]
    b.operator("CUSTOM", [boxes, scores, stored], found, custom="TFLite_Detection_PostProcess")
    options = {"max_detections": 2, "max_classes_per_detection": 1, "num_classes": 2, "nms_score_threshold": 0.0}
    options |= {"nms_iou_threshold": 0.6, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
    b.graph.operators[0].customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
    assert unused == 3
    return b.finish({"boxes": boxes, "scores": scores}, dict(zip("bcsn", found, strict=True)))


@pytest.mark.parametrize("make", [control_flow, variables, sparse, custom])
def test_what_is_handled_answers_the_same(tmp_path: Path, make: Callable[[], bytes]) -> None:
    before = make()
    after = slimming.slim(before, "tflite").content
    assert len(after) < 0.85 * len(before)
    found = same(tmp_path, before, after)
    assert found.difference is None
    assert found.distinct > 100


def test_the_branches_themselves_are_what_they_were(tmp_path: Path) -> None:
    after = slimming.slim(control_flow(), "tflite").content
    path = tmp_path / "after.tflite"
    path.write_bytes(after)
    from optkit import runtimes

    session = runtimes.open_raw(path, runtimes.kernels("tflite")[0])
    for x in (np.full((1, 4), 2, np.float32), np.full((1, 4), -2, np.float32)):
        expected = x + 1 if x.sum() > 1 else x * 3
        np.testing.assert_array_equal(session.run([x])[0], expected)


def test_options_of_custom_operators_stay() -> None:
    b = model_files.TFLiteBuilder()
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    b.operator("CUSTOM", [x], [y], custom="MyOwn")
    b.graph.operators[0].customOptions = np.arange(50, dtype=np.uint8)
    model = tflite_schema.parse(slimming.slim(b.finish({"x": x}, {"y": y}), "tflite").content)
    assert model.operatorCodes[0].customCode == b"MyOwn"
    assert np.array_equal(model.subgraphs[0].operators[0].customOptions, np.arange(50))


def test_tensors_that_hold_scales_of_blocks_keep_their_numbers() -> None:
    b = model_files.TFLiteBuilder()
    b.tensor("unused", (8,), values=np.ones(8, np.float32))
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    kernel = b.tensor("kernel", (4, 4), "INT8", values=np.ones((4, 4), np.int8), scales=[1.0])
    scales = b.tensor("scales", (4, 2), "FLOAT16", values=np.ones((4, 2), np.float16))
    details = schema.BlockwiseQuantizationT()
    details.scales, details.blockSize = scales, 2
    record = b.graph.tensors[kernel].quantization
    record.details, record.detailsType = details, schema.QuantizationDetails.BlockwiseQuantization
    b.operator("FULLY_CONNECTED", [x, kernel, -1], [y], "FullyConnectedOptions")
    model = tflite_schema.parse(slimming.slim(b.finish({"x": x}, {"y": y}), "tflite").content)
    tensors: list[Any] = model.subgraphs[0].tensors
    found = tensors[kernel].quantization.details
    assert tensors[found.scales].type == schema.TensorType.FLOAT16
