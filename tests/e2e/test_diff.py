"""``optkit diff``: counts against counts taken here, and a changed kernel that must be found in every format."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from conftest import optkit
from model_files import Network, images, network, write_onnx, write_tflite

from optkit import data
from optkit.errors import InputError
from optkit.pipeline.diff import Data, diff
from optkit.report import difference_text
from optkit.statistics import compare_answers

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.report.difference import Difference

COUNT = 300


def _data(folder: Path) -> Data:
    np.save(folder / "images.npy", images()[:COUNT])
    return Data("validation", "0", folder / "images.npy", _labels())


@cache
def _labels() -> np.ndarray:
    return np.asarray(data.load("mnist").validation.labels[:COUNT])


def _changed(part: str) -> Network:
    """The network with one kernel's channel negated, or one bias moved."""
    values = getattr(network(), part).copy()
    values[3] = -values[3] if part in {"conv", "dense"} else values[3] + 2
    return replace(network(), **{part: values})


def _both(tmp_path: Path, first: Network, second: Network, formats: tuple[str, str], precision: str) -> Difference:
    paths = []
    for side, net, file_format in zip("ab", (first, second), formats, strict=True):
        (tmp_path / side).mkdir()
        write = write_tflite if file_format == "tflite" else write_onnx
        paths.append(write(tmp_path / side, net, precision if side == "b" else "fp32"))
    return diff(paths[0], paths[1], _data)


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_same_network_does_not_part(tmp_path: Path, file_format: str, precision: str) -> None:
    found = _both(tmp_path, network(), network(), (file_format, file_format), precision)
    assert found.layers is not None
    assert found.layers.untold is None
    assert found.layers.first is None, found.layers.reason
    assert len(found.layers.layers) >= 4
    if precision == "fp32":
        assert found.changed == 0
        assert all(row.snr_db is None for row in found.layers.layers)


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("part", ["conv", "dense"])
def test_a_changed_kernel_is_named(tmp_path: Path, file_format: str, precision: str, part: str) -> None:
    found = _both(tmp_path, network(), _changed(part), (file_format, file_format), precision)
    layers = found.layers
    assert layers is not None
    assert layers.first is not None
    row = layers.layers[layers.first]
    kinds = {"conv": {"CONV_2D", "Conv"}, "dense": {"FULLY_CONNECTED", "MatMul"}}[part]
    # A ReLU whose clipping does its work is left out of int8 ONNX files: the convolution's result is then the ReLU's.
    assert {row.kind_a, row.kind_b} & kinds, row
    assert row.kernels == "different"
    assert "kernel is another one" in str(layers.reason)


def test_a_change_too_small_for_the_outputs_is_seen_in_the_kernel(tmp_path: Path) -> None:
    conv = network().conv.copy()
    conv[3] *= 0.96
    found = _both(tmp_path, network(), replace(network(), conv=conv), ("tflite", "tflite"), "int8")
    assert found.layers is not None
    assert found.layers.first is not None
    row = found.layers.layers[found.layers.first]
    assert (row.kind_a, row.kernels) == ("CONV_2D", "different")
    assert row.snr_db is not None
    assert row.snr_db > row.limit_db


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_changed_bias_is_told_from_a_changed_kernel(tmp_path: Path, precision: str) -> None:
    found = _both(tmp_path, network(), _changed("conv_bias"), ("tflite", "tflite"), precision)
    assert found.layers is not None
    assert found.layers.first is not None
    row = found.layers.layers[found.layers.first]
    assert row.kind_a == "CONV_2D"
    assert row.kernels in {"equal", "within rounding"}
    assert "look at its bias" in str(found.layers.reason)


def test_the_noise_is_the_ratio_of_powers(tmp_path: Path) -> None:
    """The logits of fp32 and of a network with moved dense bias, worked out by numpy."""
    found = _both(tmp_path, network(), _changed("dense_bias"), ("tflite", "tflite"), "fp32")
    assert found.layers is not None
    row = next(one for one in found.layers.layers if one.kind_a == "FULLY_CONNECTED")
    logits = network().logits(images()[: found.layers.images]).astype(np.float64)
    moved = _changed("dense_bias").logits(images()[: found.layers.images])
    expected = 10 * np.log10((logits**2).mean() / ((moved - logits) ** 2).mean())
    assert row.snr_db == pytest.approx(expected, abs=0.01)


def test_counts_and_confidences_are_those_of_the_outputs(tmp_path: Path) -> None:
    other = _changed("dense")
    found = _both(tmp_path, network(), other, ("tflite", "onnx"), "fp32")
    first, second = network().predict(images()[:COUNT]), other.predict(images()[:COUNT])
    at = np.flatnonzero(first.argmax(axis=1) != second.argmax(axis=1))
    assert [change.index for change in found.changes] == at.tolist()
    assert found.versus == compare_answers(_labels(), first.argmax(axis=1), second.argmax(axis=1))
    change = found.changes[0]
    assert change.confidence_a == pytest.approx(float(first[at[0]].max()), abs=1e-4)
    assert change.confidence_b_in_a == pytest.approx(float(second[at[0]][change.answer_a]), abs=1e-4)
    stream = io.StringIO()
    difference_text.show(found, first=2, stream=stream, width=80)
    assert f"{len(at)} of {COUNT} answers changed" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 80


def test_files_with_unequal_outputs_are_refused(tmp_path: Path) -> None:
    smaller = replace(network(), dense=network().dense[:4], dense_bias=network().dense_bias[:4])
    a = write_onnx(tmp_path, network(), "fp32")
    (tmp_path / "b").mkdir()
    b = write_onnx(tmp_path / "b", smaller, "fp32")
    with pytest.raises(InputError, match="as many outputs"):
        diff(a, b, _data)


def test_the_command_line_on_real_data(tmp_path: Path) -> None:
    a = write_tflite(tmp_path, network(), "fp32")
    b = write_tflite(tmp_path, network(), "int8")
    result = optkit("diff", str(a), str(b), "--data", "mnist", "--json", str(tmp_path / "diff.json"))
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "diff.json").read_bytes())
    assert found["images"] == 10_000
    assert found["changed"] == len(found["changes"])
    assert f"{found['changed']:,} of 10,000 answers changed" in result.stdout
    assert "No layer parts" in result.stdout


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("fp32.tflite", "missing.tflite", "missing.tflite"),
        ("fp32.tflite", "cut.tflite", "cut.tflite"),
        ("text.onnx", "fp32.tflite", "text.onnx"),
        ("fp32.tflite", "empty.keras", "empty"),
        ("fp32.tflite", "fp32.bin", "expected a model file"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path: Path, first: str, second: str, message: str) -> None:
    whole = write_tflite(tmp_path, network(), "fp32").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[:5000])
    (tmp_path / "text.onnx").write_text("this is no model")
    (tmp_path / "empty.keras").touch()
    (tmp_path / "fp32.bin").write_bytes(whole)
    result = optkit("diff", first, second, "--data", "mnist", cwd=tmp_path)
    assert result.returncode == 2, result.stdout
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr
