"""Networks in words: each knob is really there, and whatever is built can be trained and goes out everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from network_jobs import NETWORKS

from optkit.networks import Activation
from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

pytestmark = pytest.mark.slow
NAMES = list(NETWORKS)
# TensorFlow writes them as exponentials, sums and logarithms, each rounded to 256 steps of its own wide range.
ROUGH_IN_INT8 = ("selu", "softplus")
HIDDEN = ("conv_1", "depthwise_1", "conv_2", "dense_1", "dense_2")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("networks")
    jobs = [Job(f"{turn}", "network_jobs:go_out", {"names": NAMES[turn::4], "folder": str(out)}) for turn in range(4)]
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, out / "log.txt") as pool:
        for found in pool.run(jobs, cores=2, on_event=lambda *_: None).values():
            assert not isinstance(found, Failure), found
    return {name: json.loads((out / f"{name}.json").read_text()) for name in NAMES}


def layers(results: dict[str, Any], name: str) -> list[str]:
    found: list[str] = results[name]["layers"]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_goes_out_with_the_same_answers(results: dict[str, Any], name: str) -> None:
    found = results[name]
    assert found["all moved"], "one training epoch changes every variable"
    assert found["range"] > 0.1, "a network that answers a constant proves nothing"
    for kind in ("tflite fp32", "onnx fp32", "keras 3"):
        assert found[kind] < 1e-5, kind
    if name == "elu":
        # The file would be an integer one in part only, and the exporter says so.
        assert "TensorFlow's quantizer left ELU" in found["tflite int8"]
    else:
        limit = 0.6 if name in ROUGH_IN_INT8 else 0.12
        assert 0 < found["tflite int8"] < limit, "as a share of the distance to answers to other images"


@pytest.mark.parametrize("name", [word for word in get_args(Activation) if word not in {"leaky-relu", "maxout"}])
def test_the_activation_is_in_every_hidden_layer(results: dict[str, Any], name: str) -> None:
    kinds = ("Conv2D conv_1", "DepthwiseConv2D depthwise_1", "Conv2D conv_2", "Dense dense_1", "Dense dense_2")
    found = [line for line in layers(results, name) if line.startswith(kinds)]
    assert [line.split()[2] for line in found] == [name] * 5
    assert layers(results, name)[-1] == "Dense probabilities softmax 10"


def test_leaky_relus_are_layers_with_their_slope(results: dict[str, Any]) -> None:
    for name in ("leaky-relu", "leaky-relu normalized"):
        found = layers(results, name)
        slopes = [line for line in found if line.startswith("LeakyReLU")]
        assert [line.split()[1] for line in slopes] == [f"{layer}_leaky_relu" for layer in HIDDEN]
        assert all(float(line.split()[2]) == pytest.approx(0.1) for line in slopes)
        assert sum(" linear " in line for line in found) == 5


def test_maxout_takes_the_larger_of_two_affine_maps(results: dict[str, Any]) -> None:
    found = layers(results, "maxout")
    assert [line for line in found if line.startswith("Maximum")] == [f"Maximum {layer}_maxout" for layer in HIDDEN]
    affine = [line.split() for line in found if " linear " in line]
    assert [line[1] for line in affine] == [f"{layer}_{piece}" for layer in HIDDEN for piece in (1, 2)]


def test_normalization_is_between_each_layer_and_its_activation(results: dict[str, Any]) -> None:
    found = [line.split()[0] for line in layers(results, "normalized")]
    after = [
        found[i + 1 : i + 3] for i, kind in enumerate(found[:-1]) if kind in {"Conv2D", "DepthwiseConv2D", "Dense"}
    ]
    assert after == [["BatchNormalization", "Activation"]] * 5
    assert sum("relu" in line and line.startswith("Activation") for line in layers(results, "normalized")) == 5


@pytest.mark.parametrize(
    ("place", "hidden"),
    [("last", HIDDEN[-1:]), ("dense", HIDDEN[3:]), ("conv", HIDDEN[:3]), ("all", HIDDEN), (None, ())],
)
def test_dropout_is_where_it_was_asked_for(results: dict[str, Any], place: str | None, hidden: tuple[str, ...]) -> None:
    found = [line.split() for line in layers(results, f"dropout {place}" if place else "relu")]
    dropped = [found[i - 1][1] for i, line in enumerate(found) if line[0] == "Dropout"]
    assert dropped == list(hidden)
    assert all(line[2] == "0.3" for line in found if line[0] == "Dropout")


def test_penalties_are_on_hidden_kernels_and_in_the_loss(results: dict[str, Any]) -> None:
    marked = [line.split()[1] for line in layers(results, "penalties") if line.endswith("[0.001, 0.01]")]
    assert marked == list(HIDDEN)
    _, validation, penalty = results["penalties"]["loss"]
    assert 0.1 < penalty < validation
    assert results["relu"]["loss"][2] == 0
    assert not any("[" in line for line in layers(results, "relu"))


def test_pooling_and_own_words(results: dict[str, Any]) -> None:
    assert [line.split()[0] for line in layers(results, "average and global")] == [
        *("InputLayer", "Conv2D", "AveragePooling2D", "DepthwiseConv2D", "AveragePooling2D"),
        *("GlobalAveragePooling2D", "Dense"),
    ]
    assert "AveragePooling2D pool_1 (4, 4) (4, 4) valid" in layers(results, "average and global")
    assert "AveragePooling2D pool_2 (2, 2) (2, 2) same" in layers(results, "average and global")
    assert "DepthwiseConv2D depthwise_1 relu None (3, 3) (2, 2) valid" in layers(results, "average and global")
    found = layers(results, "own words")
    assert found[1] == "Conv2D conv_1 relu 6 (3, 3) (3, 3) valid"
    assert [line.split()[0] for line in found[2:]] == [
        *("BatchNormalization", "Dropout", "Flatten", "Dropout", "Dense", "Dense"),
    ]
    assert [line.split()[2] for line in found if line.startswith("Dropout")] == ["0.25", "0.5"]


def test_a_dense_layer_takes_a_picture_as_a_whole(results: dict[str, Any]) -> None:
    kinds = [line.split()[0] for line in layers(results, "dense at once")]
    assert kinds == ["InputLayer", "Conv2D", "Flatten", "Dense", "Flatten", "Dense", "Dense"]
