"""Every technique found keeps the contract, and the runner refuses a broken copy of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from technique_jobs import trains

from optkit import registry, workers
from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

NAMES = registry.names("techniques")
BREAKAGES = ("changes_its_input", "leaves_a_layer_out", "gives_no_reason", "promises_nothing_kept")
# Techniques whose result is measured: copies of them that do nothing must fail their own checks.
MEASURED = tuple(name for name in NAMES if name != "finetune")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each technique, and each broken copy of it, did in a worker."""
    jobs = [Job(name, "technique_jobs:run", {"name": name, "breakage": None}) for name in NAMES]
    jobs += [
        Job(f"{name} {breakage}", "technique_jobs:run", {"name": name, "breakage": breakage})
        for name in NAMES
        for breakage in BREAKAGES
        if breakage != "promises_nothing_kept" or name in MEASURED
    ]
    jobs.append(Job("ranges", "technique_jobs:ranges", {}))
    jobs += [
        Job(label, "technique_jobs:run", {"name": "qat", "params": {"weight_bits": 4} | params} | others)
        for label, params, others in (
            ("4 bits", {}, {"breakage": None}),
            ("4 bits named", {"layers": "conv_2", "granularity": "tensor"}, {"breakage": None}),
            ("4 bits of nothing", {}, {"breakage": "promises_nothing_kept"}),
            ("4 bits unknown", {"layers": "conv_3"}, {"breakage": None}),
            ("4 bits clustered", {}, {"breakage": None, "history": ("cluster",)}),
        )
    ]
    jobs.append(Job("before ReLU", "technique_jobs:before_relu", {}))
    jobs.append(Job("4 bits learned", "technique_jobs:learn_steps", {}))

    jobs += [
        Job(f"pruned {clusters}", "technique_jobs:cluster_the_pruned", {"clusters": clusters})
        for clusters in (2, 11, 12)
    ]
    jobs += [
        Job(f"offset {offset:g}", "technique_jobs:qat_with_rescaling", {"offset": offset}) for offset in (0.0, -1.0)
    ]
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, tmp_path_factory.mktemp("log") / "log.txt") as pool:
        return pool.run(jobs, cores=2, on_event=lambda *_: None)


@pytest.mark.parametrize("name", NAMES)
def test_keeps_its_promises_and_leaves_its_input_alone(results: dict[str, Any], name: str) -> None:
    result = results[name]
    assert not isinstance(result, Failure), result
    assert result["input_unchanged"]
    assert result["layers_reported"]
    assert result["layers_are_the_models"]
    assert result["failed_checks"] == []
    assert result["epochs"] == (1 if trains(name) else 0)
    assert result["weights_differ"]


@pytest.mark.parametrize("name", NAMES)
def test_all_parameters_have_defaults_and_docs(name: str) -> None:
    module = registry.load("techniques", name)
    defaults = msgspec.to_builtins(module.Params())
    told = " ".join(kind.__doc__ or "" for kind in module.Params.__mro__)
    assert all(field in told for field in defaults)
    assert module.SUMMARY
    assert module.SOURCE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        ("changes_its_input", "changed the model that it was given"),
        ("leaves_a_layer_out", "must report every layer once"),
        ("gives_no_reason", "without a reason"),
    ],
)
def test_a_broken_copy_is_refused(results: dict[str, Any], name: str, breakage: str, message: str) -> None:
    failure = results[f"{name} {breakage}"]
    assert isinstance(failure, Failure)
    assert message in failure.message
    assert failure.kind == "InternalError"
    assert isinstance(workers.as_error(name, failure), Exception)


@pytest.mark.parametrize("name", MEASURED)
def test_a_copy_that_does_nothing_fails_its_own_checks(results: dict[str, Any], name: str) -> None:
    result = results[f"{name} promises_nothing_kept"]
    assert not isinstance(result, Failure), result
    assert result["failed_checks"]


def test_quantization_aware_training_starts_with_ranges_of_real_data(results: dict[str, Any]) -> None:
    told = results["ranges"]
    assert not isinstance(told, Failure), told
    for wanted, own in told["found"].values():
        # Weights are rounded to 8 bits already, which moves an activation by a per cent or two.
        assert own == [pytest.approx(wanted, rel=0.05)]
    assert told["changed"]
    assert all(name.partition(":")[0].endswith(("_min", "_max")) for name in told["changed"])
    assert set(told["rates"]) == {0.2}


def test_a_kernel_of_which_pruning_left_fewer_weights_than_clusters_is_left_as_it_is(results: dict[str, Any]) -> None:
    few, enough = results["pruned 12"], results["pruned 11"]
    assert not isinstance(few, Failure), few
    assert few["reasons"]["conv_1"] == "has only 10 weights left after pruning for 12 clusters, zero one of them"
    assert "conv_2" in few["changed"]
    assert "conv_1" in enough["changed"]
    assert few["failed_checks"] == enough["failed_checks"] == []
    # What pruning zeroed stays zero, in the layer that no cluster guards as well, which later steps may train.
    assert few["left"] == enough["left"] == 10
    assert few["frozen"] == []


def test_two_clusters_after_pruning_are_refused_in_words(results: dict[str, Any]) -> None:
    assert results["pruned 2"].kind == "InputError"
    assert "needs at least clusters=3 after prune" in results["pruned 2"].message


def test_a_layer_that_only_multiplies_is_trained_with_rounding_and_becomes_integer(results: dict[str, Any]) -> None:
    assert not isinstance(results["offset 0"], Failure), results["offset 0"]
    assert "rescaling" in results["offset 0"]["changed"]


def test_a_layer_that_the_scheme_does_not_know_is_named(results: dict[str, Any]) -> None:
    refused = results["offset -1"]
    assert refused.kind == "InputError"
    assert "does not know a Rescaling as it stands here (rescaling)" in refused.message


def test_4_bits_leave_15_values_and_8_the_rest_alone(results: dict[str, Any]) -> None:
    told, named = results["4 bits"], results["4 bits named"]
    for one in (told, named):
        assert not isinstance(one, Failure), one
        assert one["failed_checks"] == []
        assert one["input_unchanged"]
    assert told["promised"] == {"conv_1": 15, "conv_2": 15, "probabilities": 15}
    assert told["reasons"]["conv_1"] == "weights rounded to 4 bits and activations to int8 in training"
    assert named["promised"] == {"conv_2": 15}
    assert named["reasons"]["conv_1"] == "weights and activations rounded to int8 in training"


def test_4_bits_are_refused_where_they_cannot_be_had(results: dict[str, Any]) -> None:
    assert "values of conv_1" in results["4 bits of nothing"]["failed_checks"]
    assert results["4 bits unknown"].kind == "UnreachableError"
    assert "did you mean conv_2 or conv_1" in results["4 bits unknown"].message
    assert "cannot keep clusters" in results["4 bits clustered"].message


def test_steps_are_learned_as_in_the_paper_and_settled_exactly(results: dict[str, Any]) -> None:
    told = results["4 bits learned"]
    assert not isinstance(told, Failure), told
    for one in told["layers"].values():
        assert one["gradient"] == pytest.approx(one["equation 3"], rel=1e-4)
        assert one["within"] == [0.0, 1.0]
        assert one["zeros kept"]
        assert one["largest difference"] < 1e-6
    assert told["outputs"] < 1e-5


def test_kernels_before_a_relu_layer_are_rounded_in_training(results: dict[str, Any]) -> None:
    """Left to itself tensorflow-model-optimization keeps them in float, and nothing says so."""
    told = results["before ReLU"]
    assert not isinstance(told, Failure), told
    assert {name: told["rounded"][name] for name in ("conv", "deep", "dense")} == {"conv": 1, "deep": 1, "dense": 1}
    assert told["between"] == []
    assert told["sound"] == [True]
    assert told["float"] == [[False, 4]]
