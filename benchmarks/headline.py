"""The convolutional network with dropout against the smallest file of the front that is not measurably worse.

Which file that is, is decided on validation images; the test images then say what was lost. Energy is not measured:
multiply-accumulates stand for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._files import test_images
from benchmarks._result import Figure, write
from optkit import data
from optkit.measure import accuracy
from optkit.measure.latency import measure_latency
from optkit.measure.latency_figures import summarize, until_narrow
from optkit.statistics import compare_answers

if TYPE_CHECKING:
    import numpy as np

    from optkit.data import Dataset, Part

BASELINE = "cnn-dropout"
SECONDS = 60


def run(results: Path, _: list[str]) -> list[str]:
    """Train the large one, choose the small one, compare; write ``headline.json``."""
    front = sorted((results.parent / "pareto" / "files").glob("*-int8.tflite"), key=lambda path: path.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="optkit-bench-") as scratch:
        folder = Path(scratch)
        _optkit("compress", "--baseline", BASELINE, "--recipe", "fp32", "--formats", "tflite", "--out", f"{folder}/run")
        large = folder / "run" / "artifacts" / "fp32.tflite"
        dataset = data.load("mnist")
        parts = {"validation": dataset.validation, "test": dataset.test}
        right = {name: _answers(large, dataset, part) for name, part in parts.items()}
        for small in front:
            answers = _answers(small, dataset, dataset.validation)
            judged = compare_answers(dataset.validation.labels, right["validation"], answers)
            if judged.verdict != "worse":
                break
        else:
            raise SystemExit("every file of the front is measurably worse")
        found = compare_answers(dataset.test.labels, right["test"], _answers(small, dataset, dataset.test))
        timed = measure_latency(
            [small], large, test_images(), log=folder / "log.txt", go_on=until_narrow(0.03, SECONDS)
        )
        macs = {path: _macs(path, folder) for path in (large, small)}
        sizes = {path: path.stat().st_size for path in (large, small)}
    told = summarize(timed, small)
    if told.speedup is None:
        raise SystemExit(f"not timed: {timed.failures}")
    correct = int((right["test"] == dataset.test.labels).sum())
    figures = [
        Figure("times smaller", sizes[large] / sizes[small], ">=", 1000, ""),
        Figure("times faster", told.speedup.ratio, ">=", 20, ""),
        Figure("times fewer multiply-accumulates", macs[large] / macs[small], ">=", None, ""),
        Figure("bytes of the large file", sizes[large], "<=", None, "bytes"),
        Figure("bytes of the small file", sizes[small], "<=", None, "bytes"),
        Figure("large file, test images right", correct, ">=", None, "of 10,000"),
        Figure("small file, test images right", correct + found.gained - found.lost, ">=", None, "of 10,000"),
    ]
    more: dict[str, object] = {
        "small": small.name,
        "versus": {"lost": found.lost, "gained": found.gained, "verdict": found.verdict},
        "difference_ci95": found.difference_ci95,
        "speedup_ci95": told.speedup.ci95,
        "p50_us": [summarize(timed, large).p50_us, told.p50_us],
        "macs": list(macs.values()),
    }
    return write(results, "headline", figures, more)


def _optkit(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "optkit", *arguments], check=True, stdout=subprocess.DEVNULL)


def _answers(path: Path, dataset: Dataset, part: Part) -> np.ndarray:
    return accuracy.answers(path, dataset.real(part.images[:], (28, 28, 1)))


def _macs(path: Path, folder: Path) -> int:
    told = folder / "told.json"
    _optkit("inspect", str(path), "--json", str(told))
    return int(json.loads(told.read_text(encoding="utf-8"))["totals"]["macs"])
