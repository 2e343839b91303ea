"""Measures the finished files of a run: latency per format, interleaved, then each file's memory and operators.

Runs after the workers are gone, in the asking process or on the one machine of a cluster that files are timed on, so
that nothing of the run competes with what is timed.
"""

from __future__ import annotations

import io
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from optkit import store
from optkit.data._inputs import form_in, size_of
from optkit.errors import InputError
from optkit.measure.latency import LatencyResult
from optkit.measure.latency_figures import doubts, noise_floor, scaling, stopping, summarize
from optkit.pipeline.plan import MEASURE_SOURCES, RUNTIME_PACKAGES, FileStage, Plan, versions
from optkit.pipeline.timing import Inspected, Timer
from optkit.store import StageRecord, digest, source_digest

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.data import Dataset, Part
    from optkit.pipeline.progress import Schedule
    from optkit.quality import Interval
    from optkit.schema import Environment, Latency, NoiseFloor, Stopping

LOG = logging.getLogger("optkit")
PROCESSES = 3
# What a file costs in one process: warm-up of 0.5 s, its share of the measured second, opening.
SECONDS_PER_FILE = 1.0
TIMED_IMAGES = 256
# Fewer of large images: every measuring process has them in memory.
TIMED_BYTES = 64 << 20
MEMORY_SECONDS = 1.5


class Measured(NamedTuple):
    """Figures by (name, format), with the environment that they were taken in."""

    environment: Environment
    latency: dict[tuple[str, str], Latency]
    inspected: dict[tuple[str, str], Inspected]
    noise_floor: list[NoiseFloor]
    failures: dict[tuple[str, str], str]
    warnings: list[str]
    stopping: list[Stopping]


def expected_seconds(plan: Plan) -> dict[tuple[str, str], float]:
    """Expected cost of measuring, by stage."""
    expected = {}
    for file_format in plan.settings.formats:
        count = sum(file.format == file_format for file in plan.files)
        expected["measure", f"latency of {file_format} files"] = (count + 1) * PROCESSES * 0.9
        expected["measure", f"memory of {file_format} files"] = count * MEMORY_SECONDS
    return expected


def measure_files(
    plan: Plan,
    files: list[FileStage],
    folder: Path,
    dataset: Dataset,
    schedule: Schedule,
    *,
    timer: Timer | None = None,
) -> Measured:
    """Measure every file that was made; what was measured before and is still the same file is kept.

    ``timer`` is where; in this process by default.
    """
    timer = timer or Timer(folder)
    before = timer.describe()
    latency: dict[tuple[str, str], Latency] = {}
    inspected: dict[tuple[str, str], Inspected] = {}
    floors, failures, warnings, stops = [], {}, [], []
    images = _timed_images(folder, dataset)
    for file_format in plan.settings.formats:
        of_format = [file for file in files if file.format == file_format]
        if not of_format:
            continue
        result = _latency(plan, of_format, folder, images, schedule, timer=timer)
        floor = noise_floor(result)
        floors += [floor] if floor else []
        stops.append(stopping(result, None))
        warnings += [f"{file_format}: {doubt}" for doubt in doubts(result)]
        for file in of_format:
            path = str(_path(folder, file))
            if path in result.failures:
                failures[file.name, file_format] = result.failures[path]
            else:
                latency[file.name, file_format] = summarize(result, path)
        still = [file for file in of_format if (file.name, file_format) not in failures]
        inspected |= _inspected(plan, still, folder, images, schedule, timer=timer)
    after = msgspec.structs.replace(before, load_average_after=timer.describe().load_average_before)
    return Measured(after, latency, inspected, floors, failures, warnings, stops)


def time_files(
    plan: Plan, files: list[FileStage], folder: Path, examples: Path, schedule: Schedule, *, timer: Timer | None = None
) -> dict[tuple[str, str], tuple[float, Interval] | str]:
    """Time files of any formats, each format's in an interleaved run of its own with its fp32 file.

    Args:
        plan: What they are of.
        files: The files.
        folder: The run folder.
        examples: Real examples to time them with, as .npy.
        schedule: Receives progress.
        timer: Where; in this process by default.

    Returns:
        By (name, format) the p50 in µs with its 95 % interval, or the reason why there is none.
    """
    found: dict[tuple[str, str], tuple[float, Interval] | str] = {}
    for file_format in plan.settings.formats:
        of_format = [file for file in files if file.format == file_format]
        if not of_format:
            continue
        result = _latency(plan, of_format, folder, examples, schedule, timer=timer or Timer(folder))
        for file in of_format:
            path = str(_path(folder, file))
            slot = (file.name, file_format)
            if path in result.failures:
                found[slot] = result.failures[path]
                continue
            figures = scaling(result, path)[0]
            low, high = figures.ci95
            # Of one example a call: the time is the reciprocal of the examples per second.
            least, most = 1e6 / high, 1e6 / low
            found[slot] = figures.p50_us, (min(least, figures.p50_us), max(most, figures.p50_us))
    return found


def _path(folder: Path, file: FileStage) -> Path:
    return folder / "artifacts" / f"{file.name}.{file.format}"


def _timed_images(folder: Path, dataset: Dataset) -> Path:
    """Real test images for timing; only their values matter, no answer is looked at."""
    return timed_examples(folder / "cache" / "timed-images.npy", dataset, dataset.test)


def timed_examples(path: Path, dataset: Dataset, part: Part) -> Path:
    """Write some real examples of a part where the measuring processes read them."""
    import numpy as np

    count = max(1, min(TIMED_IMAGES, TIMED_BYTES // (4 * size_of(form_in(part.images)))))
    real = dataset.real(part.images[:count])
    content = io.BytesIO()
    np.save(content, real, allow_pickle=False)
    if not path.is_file() or path.read_bytes() != content.getvalue():
        store.write_bytes(path, content.getvalue())
    return path


def _latency(
    plan: Plan, files: list[FileStage], folder: Path, images: Path, schedule: Schedule, *, timer: Timer
) -> LatencyResult:
    """Times of all files of one format, from one interleaved run."""
    name = f"latency of {files[0].format} files"
    key = digest(
        {
            "stage": "latency",
            "files": {file.name: store.sha256_file(_path(folder, file)) for file in files},
            "folder": str(folder.resolve()),
            "threads": plan.settings.threads,
            "processes": PROCESSES,
            "seed": plan.settings.seed,
            "packages": versions(RUNTIME_PACKAGES),
            "code": source_digest(MEASURE_SOURCES),
            **({} if timer.place is None else {"place": timer.place}),
        }
    )
    kept = store.load_stage(folder, key)
    if kept is not None:
        schedule.keep("measure", name)
        return msgspec.convert(kept.result, LatencyResult)
    LOG.info("measure %s: started", name)
    if timer.place is not None:
        LOG.info("measure %s: on %s", name, timer.place)
    schedule.advance("measure", name, 0.0)
    here = timer.place is None
    baseline = next((file for file in files if file.recipe.name == "fp32"), files[0])
    result = timer.latency(
        [_path(folder, file) for file in files],
        _path(folder, baseline),
        images,
        threads=plan.settings.threads,
        processes=PROCESSES,
        seconds_per_file=SECONDS_PER_FILE,
        seed=plan.settings.seed,
        on_progress=lambda done: schedule.advance("measure", name, done, "" if here else f"on {timer.place}"),
    )
    schedule.advance("measure", name, 1.0)
    store.save_stage(folder, StageRecord(key, name, [], msgspec.to_builtins(result), 0.0))
    return result


def _inspected(
    plan: Plan, files: list[FileStage], folder: Path, images: Path, schedule: Schedule, *, timer: Timer
) -> dict[tuple[str, str], Inspected]:
    """Memory and operators of all files of one format; none where they cannot be told."""
    found: dict[tuple[str, str], Inspected] = {}
    if not files:
        return found
    name = f"memory of {files[0].format} files"

    def one(file: FileStage) -> Inspected | None:
        path = _path(folder, file)
        key = digest(
            {
                "stage": "inspect",
                "file": store.sha256_file(path),
                "threads": plan.settings.threads,
                "packages": versions(RUNTIME_PACKAGES),
                "code": source_digest(MEASURE_SOURCES),
                **({} if timer.place is None else {"place": timer.place}),
            }
        )
        kept = store.load_stage(folder, key)
        if kept is not None:
            return msgspec.convert(kept.result, Inspected)
        try:
            inspected = timer.inspect(path, images, threads=plan.settings.threads)
        except InputError as error:
            LOG.warning("memory and operators of %s were not measured: %s", path.name, error)
            return None
        store.save_stage(folder, StageRecord(key, name, [], msgspec.to_builtins(inspected), 0.0))
        return inspected

    # A peak, and an operator's share, are not disturbed by what runs beside them, as a time is.
    # Elsewhere one after the other: there nothing else may be.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if timer.place is None else 1) as pool:
        for index, (file, inspected) in enumerate(zip(files, pool.map(one, files), strict=True), start=1):
            schedule.advance("measure", name, index / len(files), file.name)
            if inspected is not None:
                found[file.name, file.format] = inspected
    schedule.advance("measure", name, 1.0)
    return found
