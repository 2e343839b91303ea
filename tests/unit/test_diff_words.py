"""The parts of ``optkit diff`` and ``optkit predict`` that need no runtime: names of layers, and what outputs mean."""

from __future__ import annotations

import numpy as np
import pytest

from optkit.pipeline import confidence
from optkit.pipeline.diff_layers import layer_name


@pytest.mark.parametrize(
    ("tensor", "file_format", "layer"),
    [
        ("lenet5/conv_1/Relu;lenet5/conv_1/BiasAdd", "tflite", "conv_1"),
        ("StatefulPartitionedCall/lenet5/dense/MatMul:0", "onnx", "dense"),
        ("StatefulPartitionedCall:0", "tflite", ""),
        ("conv_1", "keras", "conv_1"),
    ],
)
def test_a_layer_is_found_in_a_tensors_name(tensor: str, file_format: str, layer: str) -> None:
    assert layer_name(tensor, file_format) == layer  # type: ignore[arg-type]


def test_what_outputs_mean_is_judged_by_their_numbers() -> None:
    assert confidence.judged(np.array([[0.5, 0.5], [0.1, 0.9]])) == "probabilities"
    assert confidence.judged(np.array([[0.5, 0.9], [0.1, 0.9]])) == "sigmoids"
    assert confidence.judged(np.array([[-0.5, 1.5]])) == "logits"
    assert confidence.judged(np.array([[3.5], [0.5]])) == "values"


def test_logits_become_their_softmax() -> None:
    read = confidence.read(np.array([[0.0, np.log(3.0)]]), "logits")
    assert read.probabilities[0] == pytest.approx([0.25, 0.75])
    assert read.answers.tolist() == [1]
    one = confidence.read(np.array([[0.0], [np.log(3.0)]]), "logits")
    assert one.probabilities[:, 1] == pytest.approx([0.5, 0.75])
