"""What is left out of ONNX files without changing what they compute."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from optkit.exporters import _onnx_graph


def dequantized(dtype: type, zero: int) -> ModelProto:
    """A stored tensor of two channels and the node that makes real values of it."""
    stored = {
        "values": np.array([3, 5], dtype),
        "scale": np.array([0.5, 0.25], np.float32),
        "zero": np.array([0, zero], dtype),
    }
    node = helper.make_node("DequantizeLinear", ["values", "scale", "zero"], ["real"], axis=0)
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    return helper.make_model(helper.make_graph([node], "made", [], [], tensors))


@pytest.mark.parametrize(
    ("dtype", "zero", "left"),
    [
        (np.int32, 0, ["values", "scale"]),
        (np.int32, 1, ["values", "scale", "zero"]),
        # Of kernels they stay: ONNX Runtime computes a dense layer without one in float.
        (np.int8, 0, ["values", "scale", "zero"]),
    ],
)
def test_only_biases_lose_zero_points_and_only_those_that_are_zero(dtype: type, zero: int, left: list[str]) -> None:
    (node,) = _onnx_graph.drop_bias_zero_points(dequantized(dtype, zero)).graph.node
    assert list(node.input) == left


def test_a_zero_point_that_is_computed_stays() -> None:
    model = dequantized(np.int32, 0)
    del model.graph.initializer[2]
    (node,) = _onnx_graph.drop_bias_zero_points(model).graph.node
    assert len(node.input) == 3
