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
