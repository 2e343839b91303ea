"""Units that pruning left without weights: their scales are tiny and their biases large, and their answer is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen_networks import COMPILER, Case, answers, differing, feed, interpreter
from tflite_builder import OPERATORS, TYPES, Builder

from optkit import codegen

if TYPE_CHECKING:
    from pathlib import Path


def _asked(content: bytes, name: str, kind: str, random: np.random.Generator) -> Case:
    """A network with what the reference kernels answer to random inputs."""
    opened = interpreter(content)
    feeds = tuple(feed(opened, random) for _ in range(5))
    return Case(name, (kind,), codegen.read(content, "it"), feeds, tuple(answers(opened, one) for one in feeds))


def _case(seed: int) -> Case:
    """A dense layer of which three units of six have no weights."""
    random = np.random.default_rng(seed)
    build = Builder()
    given = build.tensor((1, 16), scales=[0.0059], zeros=[-111])
    values = random.integers(-127, 128, (6, 16)).astype(np.int8)
    values[1::2] = 0
    scales = random.uniform(0.004, 0.009, 6)
    scales[1::2] = 10 ** random.uniform(-8.5, -7.5, 3)
    biases = random.integers(-3000, 3000, 6).astype(np.int32)
    biases[1::2] = random.choice([-(2**30), 2**30 - 77, -(2**30) + 64], 3)
    weights = build.tensor((6, 16), TYPES.INT8, scales=scales.tolist(), zeros=[0] * 6, values=values)
    bias = build.tensor((6,), TYPES.INT32, scales=(scales * 0.0059).tolist(), zeros=[0] * 6, values=biases)
    made = build.tensor((1, 6), scales=[0.008], zeros=[int(random.integers(-128, 128))])
    build.operator(OPERATORS.FULLY_CONNECTED, [given, weights, bias], made, schema.FullyConnectedOptionsT(), 5)
    return _asked(build.finish([given], [made]), f"dead{seed}", "fully_connected", random)


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_units_without_weights_answer_as_the_reference_kernels(tmp_path: Path) -> None:
    found = [_case(seed) for seed in range(40)]
    assert differing([(found, "ram")], tmp_path) == []


def _filters(seed: int) -> Case:
    """A convolution of which three filters of six have no weights, and biases at the end of 32 bits."""
    random = np.random.default_rng(seed)
    build = Builder()
    given = build.tensor((1, 6, 6, 2), scales=[0.0039], zeros=[-128])
    values = random.integers(-127, 128, (6, 3, 3, 2)).astype(np.int8)
    values[1::2] = 0
    scales = random.uniform(0.004, 0.009, 6)
    scales[1::2] = 3.9e-9
    biases = random.integers(-3000, 3000, 6).astype(np.int32)
    biases[1::2] = [-(2**31) + 1, 2**31 - 1, -(2**31) + 1 + int(random.integers(0, 300))]
    weights = build.tensor((6, 3, 3, 2), TYPES.INT8, scales=scales.tolist(), zeros=[0] * 6, values=values)
    bias = build.tensor((6,), TYPES.INT32, scales=(scales * 0.0039).tolist(), zeros=[0] * 6, values=biases)
    made = build.tensor((1, 4, 4, 6), scales=[0.02], zeros=[int(random.integers(-128, 128))])
    options = schema.Conv2DOptionsT()
    options.padding, options.strideW, options.strideH = schema.Padding.VALID, 1, 1
    options.dilationWFactor = options.dilationHFactor = 1
    build.operator(OPERATORS.CONV_2D, [given, weights, bias], made, options, 3)
    return _asked(build.finish([given], [made]), f"filters{seed}", "conv_2d", random)


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
@pytest.mark.parametrize("prefer", ["ram", "speed"])
def test_filters_without_weights_and_with_biases_at_the_end_of_32_bits(prefer: str, tmp_path: Path) -> None:
    found = [_filters(seed) for seed in range(20)]
    assert differing([(found, prefer)], tmp_path) == []
