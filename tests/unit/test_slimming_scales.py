"""One scale in place of one for each channel: the values that they stand for stay as near as a step allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import model_files
import numpy as np
import pytest

from optkit import readback, runtimes, slimming

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.readback import ModelFacts


def kernels(facts: ModelFacts, role: str) -> list[tuple[np.ndarray, tuple[float, ...]]]:
    return [(one.values.astype(np.float64), one.scales) for one in facts.constants if one.role == role]


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return model_files.write_tflite(tmp_path, model_files.network(), "int8")


def merged(before: Path) -> Path:
    path = before.with_name("merged.tflite")
    path.write_bytes(slimming.merge_scales(before.read_bytes(), "tflite").content)
    return path


def test_each_kernel_has_one_scale_and_its_values_are_near(before: Path) -> None:
    facts = [readback.read(path) for path in (before, merged(before))]
    for role in ("weight", "bias"):
        for (old, scales), (new, one) in zip(kernels(facts[0], role), kernels(facts[1], role), strict=True):
            assert len(scales) > 1
            assert len(one) == 1
            across = np.reshape(scales, (-1, *[1] * (old.ndim - 1)))
            # Half a step, and what float32 leaves of the scales.
            assert np.abs(old * across - new * one[0]).max() <= one[0] * (0.5 + 1e-4 * np.abs(new).max())
    widest = [np.abs(values).max() for values, _ in kernels(facts[1], "weight")]
    assert widest == [127, 127]


def test_the_bias_has_the_product_of_the_scales(before: Path) -> None:
    from optkit import tflite_schema

    model = tflite_schema.parse(merged(before).read_bytes())
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if len(operator.inputs) == 3:
            data, kernel, bias = (np.float32(graph.tensors[index].quantization.scale[0]) for index in operator.inputs)
            assert bias == data * kernel


def test_the_merged_file_answers_nearly_the_same_and_is_smaller(before: Path) -> None:
    after = merged(before)
    pictures = model_files.images()
    answers = [runtimes.predict(runtimes.open_model(path), pictures).argmax(axis=1) for path in (before, after)]
    assert np.mean(answers[0] == answers[1]) > 0.97
    slim = [len(slimming.slim(path.read_bytes(), "tflite").content) for path in (before, after)]
    assert slim[1] < slim[0] - 100


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_file_without_such_scales_stays_as_it_is(tmp_path: Path, precision: str) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), precision)
    found = slimming.merge_scales(path.read_bytes(), "tflite")
    assert found.notes[0].startswith("0 kernels")
    expected = slimming.slim(path.read_bytes(), "tflite").content
    assert slimming.slim(found.content, "tflite").content == expected


def test_a_kernel_that_shares_its_bias_keeps_its_scales(before: Path) -> None:
    from optkit import tflite_schema

    model = tflite_schema.parse(before.read_bytes())
    graph = model.subgraphs[0]
    conv = graph.operators[0]
    graph.outputs = [*graph.outputs]
    extra = type(conv)()
    extra.opcodeIndex, extra.inputs, extra.outputs = len(model.operatorCodes), [conv.inputs[2]], [len(graph.tensors)]
    code = type(model.operatorCodes[0])()
    code.deprecatedBuiltinCode = 6  # DEQUANTIZE
    model.operatorCodes.append(code)
    target = type(graph.tensors[0])()
    target.shape = graph.tensors[conv.inputs[2]].shape
    graph.tensors.append(target)
    graph.operators.append(extra)
    found = slimming.merge_scales(tflite_schema.serialize(model), "tflite")
    assert found.notes == (
        "1 kernels have one scale each in place of one for each output channel",
        "1 kernels keep a scale for each channel: they are not int8, or share a tensor",
    )
