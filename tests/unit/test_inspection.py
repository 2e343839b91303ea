"""What ``optkit inspect`` tells about TFLite and ONNX files, against figures worked out by hand."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from model_files import CONV_MACS, DENSE_MACS, FEATURES, FILTERS, SIDE, network, write_onnx, write_tflite

from optkit import readback
from optkit.errors import InputError
from optkit.pipeline import model_file
from optkit.pipeline.inspect import inspect as inspect_file
from optkit.report import inspection, inspection_text

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.report.inspection import Inspection, Layer


def _of(path: Path) -> Inspection:
    return inspection.inspect(readback.read(path), path=path.name, sha256=None)


def _layer(found: Inspection, *kinds: str) -> Layer:
    return next(layer for layer in found.layers if layer.kind in kinds)


@pytest.mark.parametrize("write", [write_tflite, write_onnx])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_layers_have_their_shapes_and_arithmetic(tmp_path: Path, write: object, precision: str) -> None:
    found = _of(write(tmp_path, network(), precision))  # type: ignore[operator]
    conv = _layer(found, "CONV_2D", "Conv")
    dense = _layer(found, "FULLY_CONNECTED", "MatMul")
    assert conv.macs == CONV_MACS
    assert dense.macs == DENSE_MACS
    assert sorted(conv.outputs[0].shape) == sorted([1, SIDE, SIDE, FILTERS])
    assert dense.outputs[0].shape == [1, 10]
    assert found.totals.macs == CONV_MACS + DENSE_MACS
    assert found.totals.parameters == FILTERS * 25 + FILTERS + FEATURES * 10 + 10
    assert sum(found.bytes_by_kind.values()) == found.file_bytes


def test_an_int8_kernel_tells_its_zeros_distinct_values_and_scales(tmp_path: Path) -> None:
    path = write_tflite(tmp_path, network(), "int8")
    conv = _layer(_of(path), "CONV_2D")
    kernel = next(one for one in conv.stored if one.role == "weight")
    steps = np.rint(
        network().conv / (np.abs(network().conv).reshape(FILTERS, -1).max(axis=1) / 127)[:, None, None, None]
    )
    assert kernel.distinct == len(np.unique(steps))
    assert kernel.distinct_per_channel == max(len(np.unique(channel)) for channel in steps)
    assert kernel.sparsity == pytest.approx(float((steps == 0).mean()))
    assert (kernel.scales, kernel.zero_points) == (FILTERS, [0])
    assert kernel.scale_range is not None
    assert kernel.scale_range[1] == pytest.approx(float(np.abs(network().conv).max() / 127))
    assert conv.outputs[0].scale is not None
    assert conv.outputs[0].dtype == "int8"


def test_onnx_activations_have_the_scale_of_the_quantize_after_them(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, network(), "int8")
    conv = _layer(_of(path), "Conv")
    model = onnx.load(path)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    quantize = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    follower = next(node for node in quantize if node.input[0] in {conv.outputs[0].name, "features"})
    assert conv.outputs[0].scale == pytest.approx(float(stored[follower.input[1]]))
    assert conv.outputs[0].zero_point == int(stored[follower.input[2]])


def test_metadata_of_both_formats(tmp_path: Path) -> None:
    tflite = _of(write_tflite(tmp_path, network(), "fp32"))
    assert tflite.signatures == {"serving_default": (["image"], ["digit"])}
    assert tflite.metadata["schema version"] == "3"
    path = write_onnx(tmp_path, network(), "fp32")
    model = onnx.load(path)
    model.producer_name, model.producer_version = "maker", "7"
    model.metadata_props.add(key="licence", value="x" * 500)
    onnx.save(model, path)
    found = _of(path).metadata
    assert found["producer"] == "maker 7"
    assert found["operator sets"] == "ai.onnx 17"
    assert found["licence"] == "500 bytes"


@pytest.mark.parametrize("width", [50, 80, 100, 120, 200])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_table_cuts_no_figure_and_fits(tmp_path: Path, width: int, precision: str) -> None:
    found = _of(write_onnx(tmp_path, network(), precision))
    stream = io.StringIO()
    inspection_text.show(found, stream=stream, width=width)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= max(width, 62)
    assert f"{CONV_MACS:,}" in stream.getvalue()
    assert f"{DENSE_MACS:,}" in stream.getvalue()
    assert f"{FEATURES * 10 + 10:,}" in stream.getvalue()


def test_plumbing_is_listed_only_when_asked(tmp_path: Path) -> None:
    found = _of(write_onnx(tmp_path, network(), "int8"))
    shown = []
    for show_all in (False, True):
        stream = io.StringIO()
        inspection_text.show(found, show_all=show_all, stream=stream, width=100)
        shown.append(
            sum(line.lstrip("0123456789 ").startswith("QuantizeLinear") for line in stream.getvalue().splitlines())
        )
    assert shown[0] == 0
    assert shown[1] == found.totals.operators_by_kind["QuantizeLinear"]


def test_it_is_read_in_a_process_of_its_own_and_becomes_json(tmp_path: Path) -> None:
    path = write_tflite(tmp_path, network(), "int8")
    found = inspect_file(path)
    content = json.loads(inspection.to_json(found))
    assert content["totals"]["macs"] == CONV_MACS + DENSE_MACS
    assert content["file_bytes"] == path.stat().st_size


@pytest.mark.parametrize(
    "name", ["missing.tflite", "empty.onnx", "model.bin", "noise.tflite", "noise.onnx", "cut.tflite"]
)
def test_what_is_no_model_file_is_refused(tmp_path: Path, name: str) -> None:
    whole = write_tflite(tmp_path, network(), "int8").read_bytes()
    contents = {"empty.onnx": b"", "model.bin": whole, "noise.tflite": b"noise" * 99, "noise.onnx": b"\xff" * 999}
    contents["cut.tflite"] = whole[: len(whole) // 2]
    if name in contents:
        (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(InputError) as caught:
        inspect_file(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_folder_is_no_model_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without saved_model\.pb"):
        model_file.kind(tmp_path)
