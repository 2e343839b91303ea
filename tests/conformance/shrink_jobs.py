"""A job that runs in a worker: shrunk models of one kind of layer, exported, against what is promised of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import test_shrink_channels as kinds

from optkit import readback, registry
from optkit.exporters import ExportJob
from optkit.schema import Recipe, Step
from optkit.techniques._shrink import promises, rebuilding
from optkit.techniques._shrink.follow import follow
from optkit.verify import kernels

if TYPE_CHECKING:
    from optkit.workers import Tell


def run(tell: Tell, *, kind: str, folder: str) -> dict[str, Any]:  # noqa: ARG001  # a job's signature
    """Checks that fail, by format: of the promises, and of those that the whole model would make."""
    model = kinds.randomize(kinds.FOLLOWED[kind][0]())
    followed = follow(model)
    smaller = rebuilding.rebuild(model, followed, kinds.some_gone(followed, 0))
    found: dict[str, Any] = {}
    for file_format in registry.formats():
        job = ExportJob(recipe=Recipe("fp32", (Step("fp32"),)), calibration=np.zeros((0, *model.input_shape[1:])))
        path = Path(folder) / f"{kind.replace(' ', '_')}.{file_format}"
        registry.by_format("exporters", file_format).export(job, smaller, path)
        facts = readback.read(path)
        found[file_format] = [
            [check.name for check in kernels.checks(facts, tuple(promises.kernels(made, ()))) if not check.passed]
            for made in (smaller, model)
        ]
    return found
