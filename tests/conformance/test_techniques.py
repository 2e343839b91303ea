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
    assert all(field in (module.Params.__doc__ or "") for field in defaults)
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
