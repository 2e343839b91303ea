"""What TensorRT demands of QDQ pairs: a file that has it, one that is brought to it, files that break one rule each."""

from __future__ import annotations

from typing import Any

import model_files
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from optkit.bundle import _half, _symmetric
from optkit.errors import InputError

WEIGHTS = np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 2, 2)


def network(**other: Any) -> bytes:
    """A convolution of 3 channels to 2 between QDQ pairs, symmetric; ``other`` values take the place of its own."""
    values = {
        "x_scale": np.float32(0.02),
        "x_zero": np.int8(0),
        "w": WEIGHTS,
        "w_scale": np.array([0.01, 0.02], np.float32),
        "w_zero": np.zeros(2, np.int8),
        "b": np.array([100, -50], np.int32),
        "b_scale": np.array([0.0002, 0.0004], np.float32),
        "b_zero": np.zeros(2, np.int32),
        "y_scale": np.float32(0.05),
        "y_zero": np.int8(0),
        **other,
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "b_scale", "b_zero"], ["bd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "y_scale", "y_zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "y_scale", "y_zero"], ["y"]),
    ]
    made = model_files.onnx_model(
        nodes, {name: np.asarray(value) for name, value in values.items()}, {"x": [1, 3, 5, 5]}, {"y": [1, 2, 4, 4]}
    )
    content: bytes = made.SerializeToString()
    return content


def answers(content: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": x})[0]
    return found


def test_a_file_with_other_zero_points_is_brought_to_it() -> None:
    # The range of the output, 0 to 6, is that of a Relu that was left out.
    before = network(x_zero=np.int8(-3), y_scale=np.float32(6 / 255), y_zero=np.int8(-128), x_scale=np.float32(0.02))
    assert {one.partition(" has ")[2] for one in _symmetric.faults(before)} >= {"a zero point that is not 0"}
    after = _symmetric.symmetric(before)
    assert _symmetric.faults(after.content) == []
    assert (after.activations, after.biases, after.per_channel, after.per_tensor) == (2, 1, 1, 0)
    graph = onnx.load_from_string(after.content).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    # What 8 bits around -3 reached is reached around 0; the bias is what it stood for.
    assert stored["symmetric_scale_0"] == pytest.approx(0.02 * 130 / 127)
    assert stored["bd"] == pytest.approx([0.02, -0.02])
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 5, 5)).astype(np.float32)
    old, new = answers(before, x), answers(after.content, x)
    assert new.min() >= 0
    # A step of the output, and what rounding the input otherwise makes of 12 products of at most 0.24.
    assert np.abs(old - new).max() < 6 / 127 + 12 * 0.24 * 0.0205


def test_a_file_that_has_it_is_left_as_it_was() -> None:
    after = _symmetric.symmetric(network())
    assert _symmetric.faults(after.content) == []
    whole = _symmetric.symmetric(network(w_scale=np.float32(0.01), w_zero=np.int8(0)))
    assert (whole.per_channel, whole.per_tensor) == (0, 1)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"x_zero": np.int8(1)}, "xq has a zero point that is not 0"),
        ({"x_zero": np.uint8(0)}, "xq is uint8, not int8"),
        ({"w_zero": np.array([0, 5], np.int8)}, "w has a zero point that is not 0"),
        (
            {"w_scale": np.array([0.1] * 3, np.float32), "w_zero": np.zeros(3, np.int8)},
            "w has 3 scales at axis 0 of [2, 3, 2, 2]",
        ),
        (
            {"y_scale": np.array([0.1, 0.2], np.float32), "y_zero": np.zeros(2, np.int8)},
            "yq, an activation, has 2 scales",
        ),
        ({"w_scale": np.array([0.1, 0], np.float32)}, "w has a scale that is not over 0"),
        ({"y_scale": np.float32(np.nan)}, "yq has a scale that is not over 0"),
    ],
)
def test_a_file_that_breaks_one_rule_is_rejected(other: dict[str, Any], words: str) -> None:
    # Biases in int32 are what TensorRT does not take either; they are not what is asked here.
    found = [one for one in _symmetric.faults(network(**other)) if not one.startswith("b ")]
    assert words in found
    assert _symmetric.faults(network()) == ["b is int32, not int8"]


def test_weights_that_cannot_be_made_symmetric_are_refused() -> None:
    with pytest.raises(InputError, match="expected weights with zero point 0, found others at w"):
        _symmetric.symmetric(network(w_zero=np.array([0, 5], np.int8)))


def test_operators_on_integers_are_no_explicit_pairs() -> None:
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "y"])]
    content = model_files.onnx_model(nodes, {}, {"x": [1, 4]}, {"s": []}).SerializeToString()
    assert _symmetric.faults(content) == ["DynamicQuantizeLinear is no explicit QDQ", "there is no QuantizeLinear"]


def test_float16_files_are_float16_throughout() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    content = model_files.onnx_model(nodes, {"w": weights}, {"x": [1, 4]}, {"y": [1, 2]}).SerializeToString()
    assert _half.faults(content) == ["w is float32", "no weight is float16"]
    made = _half.converted(content)
    assert _half.faults(made) == []
    x = np.array([[1, -2, 3, 0.5]], np.float32)
    # Eleven bits of a sum of four products.
    assert np.abs(answers(made, x) - x @ weights).max() < 4 * 3 * np.abs(weights).max() * 2**-11
