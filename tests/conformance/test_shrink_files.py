"""What a shrunk model promises of its kernels holds in the exported file, and is more than the whole model's holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optkit import registry
from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

# Kernels that converters lay out in ways of their own.
KINDS = (
    "dense of a series",
    "conv1d",
    "conv2d dilation",
    "conv2d groups",
    "conv2d a group for each channel",
    "conv3d transpose",
    "conv1d transpose",
    "conv2d transpose",
    "depthwise 2d",
    "separable 2d",
    "inverted residual",
    "squeeze and excite",
    "nested twice",
    "shared layer",
    "sequential",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("files")
    jobs = [Job(kind, "shrink_jobs:run", {"kind": kind, "folder": str(folder)}) for kind in KINDS]
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, folder / "log.txt") as pool:
        return pool.run(jobs, cores=2, on_event=lambda *_: None)


@pytest.mark.parametrize("kind", KINDS)
def test_promises_hold_in_the_file(results: dict[str, Any], kind: str) -> None:
    result = results[kind]
    assert not isinstance(result, Failure), result
    for file_format in registry.formats():
        own, of_the_whole_model = result[file_format]
        assert own == []
        assert of_the_whole_model
