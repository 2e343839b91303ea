"""Techniques that change a model's graph: split layers, folded normalization, factors that move, other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

NAMES = ("full_rank", "planted", "equalized", "renamed", "as_exported", "several_inputs")
# Sums of some thousand float32 products; what is cut off differs by hundreds of times that.
ROUNDING = 2e-5


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, tmp_path_factory.mktemp("log") / "log.txt") as pool:
        found = pool.run([Job(name, f"graph_jobs:{name}", {}) for name in NAMES], cores=2, on_event=lambda *_: None)
    for name, result in found.items():
        assert not isinstance(result, Failure), f"{name}: {result}"
    return found


def test_split_at_full_rank_every_model_answers_the_same(results: dict[str, Any]) -> None:
    found = results["full_rank"]
    assert len(found) == 6
    for name, result in found.items():
        assert result["difference"] < ROUNDING, name
        assert result["difference_when_cut"] > 100 * ROUNDING, name
        assert result["splits"] == result["layers_more"] >= 1, name
        assert result["same_ports"], name
    # All but the grouped one; those of one column or row have no spatial layout.
    assert found["functional, channel"]["splits"] == 7
    assert found["functional, spatial"]["splits"] == 4


def test_a_layer_of_low_rank_is_split_there_and_the_others_are_left_with_the_reason(results: dict[str, Any]) -> None:
    found = results["planted"]
    assert found["ranks"] == 3
    assert found["difference"] < ROUNDING
    assert found["failed"] == []
    assert found["checks"] == 3
    notes = found["notes"]
    assert notes["dense"][0]
    assert "split at rank 3 of 40 (channel), which keeps 100.0%" in notes["dense"][1]
    assert notes["dense_factor"] == [True, "the first factor of dense"]
    assert not notes["first"][0]
    assert "keeping 1 of its energy takes rank 25 (channel), which pays up to 12 of 25 and rank 5" in notes["first"][1]
    assert notes["logits"] == [False, "two layers would not save 512 weights at any rank, what a further layer costs"]
    assert found["activations"] == ["linear", "relu"]
    assert found["biased"] == [False, True]
    assert found["refusal"].startswith("no layer can be split (dense: named in --skip-layer; first: keeping 1 of its")


def test_equalizing_evens_out_every_pair_and_leaves_the_outputs(results: dict[str, Any]) -> None:
    found = results["equalized"]
    assert found["difference"] < 1e-4
    assert found["failed"] == []
    assert found["same_ports"]
    assert "BatchNormalization" not in found["kinds"]
    assert found["pairs"] == [
        ["conv", "depthwise"],
        ["depthwise", "pointwise"],
        ["pointwise", "separable"],
        ["separable", "transposed"],
        ["transposed", "dense"],
    ]
    assert len(found["checks"]) == len(found["pairs"]) + 1
    notes = found["notes"]
    assert notes["conv_norm"] == [True, "folded into conv"]
    assert notes["depthwise"] == [True, "channel ranges evened out with pointwise and conv"]
    assert notes["bounded"][1] == "its activation, relu6, does not pass a factor on"
    assert notes["linear"][1] == "a factor does not pass through add (Add)" or "several inputs" in notes["linear"][1]
    assert notes["probabilities"][0] is False


def test_layers_that_are_to_be_skipped_stay_as_they_are(results: dict[str, Any]) -> None:
    found = results["equalized"]
    assert found["part_difference"] < 1e-4
    assert found["skipped_unchanged"]
    assert {"norm", "depthwise_norm"} <= set(found["part_layers"])
    assert "conv_norm" not in found["part_layers"]


def test_layers_get_other_names_and_nothing_else(results: dict[str, Any]) -> None:
    found = results["renamed"]
    assert found["difference"] == 0
    assert found["inputs"] == ["picture"]
    assert found["outputs"] == ["one"]
    # The layer that was called so gave way.
    assert "one_2" in found["names"]
    assert found["names"].index("strided") < found["names"].index("first")


def test_bias_correction_goes_by_the_weights_that_int8_files_have(results: dict[str, Any]) -> None:
    assert set(results["as_exported"]) == {"onnx", "tflite"}
    for file_format, found in results["as_exported"].items():
        assert found.pop("rounding") > 1e-4
        assert len(found) == 10
        # A step that is off by rounding of its scale; another scheme would be off by half a step and more.
        assert max(found.values()) < 0.01, (file_format, found)


def test_a_model_with_several_inputs_is_split_and_by_the_others_refused(results: dict[str, Any]) -> None:
    found = results["several_inputs"]
    assert found.pop("factorize") is None
    assert len(found) == 3
    for reason in found.values():
        assert reason.startswith("the model has 2 inputs")
