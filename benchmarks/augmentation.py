"""What random changes of the images cost: epochs of ``lenet5`` with and without them, in turns in one process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks._result import Figure, write

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = 7
SAMPLES = 20_000
MOST_ADDED = 0.30
KINDS = {
    "shift, rotation and zoom": {"shift": 0.1, "rotation": 10, "zoom": 0.1},
    "all with elastic, cutout and mixup": {
        "shift": 0.1,
        "rotation": 10,
        "zoom": 0.1,
        "elastic": 1,
        "cutout": 0.3,
        "mixup": 0.2,
    },
}
# In a process of its own: TensorFlow's threads are set once.
_SCRIPT = """
import json, os, sys
from optkit import data
from optkit.pipeline import building
from optkit.pipeline.train_settings import resolve_training
from optkit.training import configure_tensorflow, train
kinds, pairs, samples = json.loads(sys.argv[1])
configure_tensorflow(0, threads=len(os.sched_getaffinity(0)))
dataset = data.load("mnist", train_samples=samples)
def seconds(changes):
    # The first epoch traces the function.
    settings = resolve_training({"epochs": 2, **changes})
    model, task = building.build(settings, dataset)
    return train(model, dataset, settings.plan, task=task, seed=0, tell=lambda _: None)[1].seconds
found = {name: [] for name in kinds}
for turn in range(pairs):
    for name, changes in kinds.items():
        # Neither of the two is always the first.
        order = [{}, changes][:: -1 if turn % 2 else 1]
        found[name].append([seconds(one) for one in order][:: -1 if turn % 2 else 1])
print(json.dumps(found))
"""


def run(results: Path, _: list[str]) -> list[str]:
    """Write ``augmentation.json``."""
    command = [sys.executable, "-c", _SCRIPT, json.dumps([KINDS, PAIRS, SAMPLES])]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    figures = [
        Figure(
            f"an epoch with {name}, against one without, less 1",
            statistics.median(changed / plain for plain, changed in pairs) - 1,
            "<=",
            MOST_ADDED,
            "relative",
        )
        for name, pairs in found.items()
    ]
    return write(results, "augmentation", figures, {"kinds": KINDS, "samples": SAMPLES, "seconds": found})
