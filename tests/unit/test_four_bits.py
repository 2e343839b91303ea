"""Steps of 4-bit weights, and which layers get them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optkit import recipes
from optkit.errors import UnreachableError
from optkit.exporters import ExportJob
from optkit.exporters._flatbuffer import Node
from optkit.exporters._four_bits import Wanted, check_able, narrow_layers, wanted_layers
from optkit.techniques._steps import MOST, best_steps

DICE = np.random.default_rng(11)
ROWS = DICE.normal(size=(6, 400)) * np.array([1, 2, 0.1, 5, 1, 1])[:, None]


def _loss(rows: np.ndarray, steps: np.ndarray, square: np.ndarray) -> np.ndarray:
    step = steps[:, None]
    return (square * (np.clip(np.rint(rows / step), -MOST, MOST) * step - rows) ** 2).sum(axis=1)


def test_steps_lose_less_than_those_of_the_widest_weight_and_none_near_them_loses_less() -> None:
    even = np.ones((1, 400))
    found = best_steps(ROWS, even, per_tensor=False)
    widest = np.abs(ROWS).max(axis=1) / MOST
    assert (_loss(ROWS, found, even) < 0.85 * _loss(ROWS, widest, even)).all()
    for share in np.linspace(0.2, 1.2, 400):
        assert (_loss(ROWS, found, even) <= 1.02 * _loss(ROWS, share * widest, even)).all()


def test_weights_count_as_their_inputs_do() -> None:
    square = DICE.random((1, 400)) ** 8 * 100
    even, weighted = (best_steps(ROWS, one, per_tensor=False) for one in (np.ones((1, 400)), square))
    assert (_loss(ROWS, weighted, square) <= _loss(ROWS, even, square)).all()
    assert (_loss(ROWS, weighted, square) < _loss(ROWS, even, square)).any()


def test_one_step_for_a_tensor_and_none_for_a_channel_of_zeros() -> None:
    (one,) = best_steps(ROWS, np.ones((1, 400)), per_tensor=True)
    assert 0.3 * np.abs(ROWS).max() / MOST <= one <= np.abs(ROWS).max() / MOST
    rows = np.where(np.arange(6)[:, None] == 2, 0.0, ROWS)
    assert (best_steps(rows, np.ones((1, 400)), per_tensor=False) == 0).tolist() == [one == 2 for one in range(6)]


def test_a_kernel_of_millions_is_taken_in_parts_with_the_same_steps() -> None:
    rows = DICE.normal(size=(40, 60_000)).astype(np.float32)
    square = DICE.random((40, 60_000))
    whole = best_steps(rows, square, per_tensor=False)
    alone = [best_steps(rows[i : i + 1], square[i : i + 1], per_tensor=False)[0] for i in (0, 17, 39)]
    assert whole[[0, 17, 39]].tolist() == alone


def _node(kind: str, layer: str) -> Node:
    return Node(kind, True, "x", (layer,), ("int8",), "int8", 1)


def test_layers_that_were_named_and_trained() -> None:
    assert narrow_layers(recipes.parse("int8")) is None
    assert narrow_layers(recipes.parse("qat:weight_bits=4+int4")) is None
    assert narrow_layers(recipes.parse("int4:layers=b/a")) == ("a", "b")
    assert narrow_layers(recipes.parse("qat:weight_bits=4,layers=b/c+int4:layers=a/b")) == ("b",)


def test_what_no_kernel_runs_is_refused_where_it_was_named_and_left_where_not() -> None:
    nodes = [_node("CONV_2D", "one"), _node("TRANSPOSE_CONV", "up"), _node("DEPTHWISE_CONV_2D", "deep")]
    everything = Wanted(None, per_tensor=False)
    check_able(nodes, everything)
    assert [everything.has(node) for node in nodes] == [True, False, False]
    assert everything.why_not(nodes[1]) == "8 bits, since LiteRT has no int4 kernel for TRANSPOSE_CONV"
    named = Wanted(frozenset({"deep", "up"}), per_tensor=False)
    assert [named.has(node) for node in nodes] == [False, False, True]
    with pytest.raises(UnreachableError, match=r"layer 'up' cannot have 4 bits.*TRANSPOSE_CONV"):
        check_able(nodes, named)


def test_a_layer_must_be_there_and_not_be_skipped() -> None:
    job = ExportJob(recipes.parse("int4:layers=dense_1"), Path("none.npy"), skip_layers=("dense_1",))
    with pytest.raises(UnreachableError, match="did you mean dense"):
        wanted_layers(job, ("dense", "conv"))
    with pytest.raises(UnreachableError, match="--skip-layer"):
        wanted_layers(job, ("dense_1", "conv"))
