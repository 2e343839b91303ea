"""What the front has reached: one look at the test images for each delivered file, times beside LeNet-5, the record."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks._files import folder_of
from benchmarks._result import Figure
from benchmarks._result import write as write_figures
from benchmarks.pareto.choose import Place, file_name
from benchmarks.pareto.plan import NETS, QAT_EPOCHS, ROWS, TASK, TEACHERS, Column
from optkit import data
from optkit.measure import accuracy
from optkit.measure.latency import measure_latency
from optkit.measure.latency_figures import summarize, until_narrow
from optkit.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.pareto.finish import Finished
    from benchmarks.pareto.jobs import Made

# Times faster than LeNet-5 in float.
FASTER = {6_144: 12.0, 12_288: 9.0}
TIMED_SECONDS = 90
TIMED_IMAGES = 256


class Look(Struct, frozen=True):
    """One look at the test images: of which file, when, and how many of the 10,000 answers were right."""

    sha256: str
    date: str
    correct: int


class Delivered(Struct, frozen=True):
    """A place of the front and its file.

    Attributes:
        most_bytes: The row.
        column: Whether kernels of 4 bits are allowed.
        file: Its name.
        file_bytes: Its size.
        net: Its network.
        layers: In words.
        parameters: Kernels and biases.
        bits: Of its kernels.
        seed: Of its weights.
        correct: Right answers on the 10,000 test images.
        ci95: Wilson interval of their share.
        must: What is promised.
        aim: What is aimed at.
        validation: Share of right answers on the 5,000 validation images.
        augmented: The same on their augmented copies.
        seeds: Scores, by which files are chosen, of the same network and column with every seed.
        mean: Of ``seeds``.
        spread: Standard deviation of ``seeds``; ``None`` of one.
        p50_us: Median time of a call.
        faster: Times faster than LeNet-5 fp32, and its interval.
        recipe: What made it.
    """

    most_bytes: int
    column: Column
    file: str
    file_bytes: int
    net: str
    layers: tuple[str, ...]
    parameters: int
    bits: int
    seed: int
    correct: int
    ci95: tuple[float, float]
    must: int
    aim: int
    validation: float
    augmented: float
    seeds: list[float]
    mean: float
    spread: float | None
    p50_us: float
    faster: tuple[float, float, float]
    recipe: str


def write(folder: Path, chosen: dict[Place, Finished], made: Made) -> list[str]:
    """Look, time, and write ``results.json``.

    Args:
        folder: With the delivered files in ``files``.
        chosen: What they are.
        made: All that was made.

    Returns:
        A line for each promise that was not kept.
    """
    log = _log(folder / "results.json")
    looks = {one.sha256: one for one in log}
    for place, known in chosen.items():
        if known.sha256 not in looks:
            look = Look(known.sha256, dt.datetime.now(dt.UTC).date().isoformat(), _correct(folder, place))
            looks[known.sha256] = look
            log.append(look)
    everything = [known for _, known in made.files]
    times = _times([folder / "files" / file_name(place) for place in chosen])
    rows = [_delivered(place, known, looks[known.sha256], everything, times) for place, known in chosen.items()]
    figures = []
    for one in rows:
        name = f"{one.most_bytes:,} bytes, {one.column}"
        figures.append(Figure(f"{name}: correct", one.correct, ">=", one.must, "of 10,000"))
        figures.append(Figure(f"{name}: bytes", one.file_bytes, "<=", one.most_bytes, "bytes"))
        if one.column == "int8" and one.most_bytes in FASTER:
            figures.append(Figure(f"{name}: times faster", one.faster[0], ">=", FASTER[one.most_bytes], ""))
    more: dict[str, object] = {
        "rows": msgspec.to_builtins(rows),
        "looks": msgspec.to_builtins(log),
        "teachers": {
            name: msgspec.to_builtins(known) | {"layers": TEACHERS[name].layers, "epochs": TEACHERS[name].epochs}
            for name, known in made.teachers.items()
        },
        "candidates": msgspec.to_builtins(everything),
    }
    return write_figures(folder, "results", figures, more)


def read(folder: Path) -> list[Delivered]:
    """The places of a written record."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return msgspec.convert(found["rows"], list[Delivered])


def _log(path: Path) -> list[Look]:
    """Every look so far: those at files that are no longer delivered stay."""
    if not path.is_file():
        return []
    return msgspec.convert(json.loads(path.read_text(encoding="utf-8"))["looks"], list[Look])


def _correct(folder: Path, place: Place) -> int:
    test = data.load("mnist").test
    images = data.load("mnist").real(test.images[:], (28, 28, 1))
    answers = accuracy.answers(folder / "files" / file_name(place), images, task=TASK)
    return int((answers == test.labels).sum())


def _times(files: Sequence[Path]) -> dict[str, tuple[float, tuple[float, float, float]]]:
    """For each file its median time in µs and the speed-up over LeNet-5 fp32, all in the same interleaved run."""
    baseline = folder_of("lenet5", "fp32") / "fp32.tflite"
    dataset = data.load("mnist")
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch) / "images.npy"
        np.save(images, dataset.real(dataset.validation.images[:TIMED_IMAGES], (28, 28, 1)), allow_pickle=False)
        result = measure_latency(
            list(files), baseline, images, log=Path(scratch) / "log.txt", go_on=until_narrow(0.03, TIMED_SECONDS)
        )
    found = {}
    for path in files:
        told = summarize(result, path)
        if told.speedup is None:
            raise RuntimeError(f"{path.name} was not timed: {result.failures}")
        found[path.name] = told.p50_us, (told.speedup.ratio, *told.speedup.ci95)
    return found


def _delivered(
    place: Place,
    known: Finished,
    look: Look,
    everything: Sequence[Finished],
    times: dict[str, tuple[float, tuple[float, float, float]]],
) -> Delivered:
    net, row = NETS[known.net], next(one for one in ROWS if one.most_bytes == place.most_bytes)
    scores = [one.score for one in everything if (one.net, one.column) == (known.net, known.column)]
    recipe = f"distill for {net.epochs} epochs, one scale for each kernel, slim"
    if known.column == "int4":
        recipe = f"distill for {net.epochs} epochs, qat to 4 bits for {QAT_EPOCHS}, slim"
    name = file_name(place)
    return Delivered(
        most_bytes=place.most_bytes,
        column=place.column,
        file=name,
        file_bytes=known.file_bytes,
        net=known.net,
        layers=net.layers,
        parameters=known.parameters,
        bits=4 if known.column == "int4" else 8,
        seed=known.seed,
        correct=look.correct,
        ci95=wilson_interval(look.correct, 10_000),
        must=row.must[place.column],
        aim=row.aim[place.column],
        validation=known.correct / known.total,
        augmented=known.augmented / known.augmented_total,
        seeds=scores,
        mean=mean(scores),
        spread=stdev(scores) if len(scores) > 1 else None,
        p50_us=times[name][0],
        faster=times[name][1],
        recipe=recipe,
    )
