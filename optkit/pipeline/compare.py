"""Compares two reports from disk, and measures their files again, interleaved, where that is asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from optkit import data, environment, limits, registry, store
from optkit.errors import EnvironmentFailedError, InputError
from optkit.measure.latency import LatencyResult, measure_latency
from optkit.measure.latency_figures import doubts, noise_floor, summarize, until_narrow
from optkit.report import json_file
from optkit.report.compare import ReportComparison, compare_reports, to_json
from optkit.report.compare_changes import Remeasured, same_file
from optkit.report.compare_conditions import parse_conditions
from optkit.report.plausible import check_plausible
from optkit.statistics import compare_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from optkit.data import Dataset
    from optkit.schema import Comparison, Report, Variant

REPORT_NAME = "report.json"
TIMED_IMAGES = 256
# As a run measures: at least three processes, and on until the interval is narrow or the time of one pair is up.
PROCESSES = 3
SECONDS_PER_FILE = 1.0
WANTED_WIDTH = 0.02
MOST_SECONDS = 30.0
# Beyond what any deployment runs, and within what a machine has memory for.
MOST_BATCH = 65_536


class _Source(NamedTuple):
    report: Report
    path: Path


def compare(
    old: Path | str,
    new: Path | str,
    *,
    fail_on: Sequence[str] = (),
    remeasure: bool = False,
    strict: bool = False,
    json_out: Path | str | None = None,
    on_pair: Callable[[str], object] | None = None,
) -> ReportComparison:
    """Hold two reports side by side.

    Args:
        old: Run folder or report.json to compare with.
        new: Run folder or report.json to judge.
        fail_on: Conditions, see ``optkit.report.compare_conditions``.
        remeasure: Time the files of both again, old and new interleaved, and answer the test set again.
        strict: Whether what is in doubt or cannot be judged counts as broken.
        json_out: Where the comparison is written as JSON.
        on_pair: Gets the name of each file that is about to be measured again.

    Returns:
        The comparison; ``exit_code`` is 1 when a condition is broken.

    Raises:
        InputError: A report or a condition cannot be read, or there is nothing to judge.
        EnvironmentFailedError: The measuring process failed, or the JSON could not be written.
    """
    conditions = parse_conditions(fail_on)
    if strict and not conditions:
        raise InputError("--strict says what becomes of conditions that cannot be decided; give --fail-on with it")
    if json_out is not None:
        reports = (one / "report.json" if one.is_dir() else one for one in (Path(old), Path(new)))
        store.check_can_write(Path(json_out), "--json", reports)
    before, after = _load(Path(old), "OLD"), _load(Path(new), "NEW")
    again: dict[tuple[str, str], Remeasured] = {}
    warnings: list[str] = []
    if remeasure:
        again, warnings = _measure_again(before, after, on_pair or (lambda _: None))
    comparison = compare_reports(
        before.report,
        after.report,
        paths=(str(before.path), str(after.path)),
        conditions=conditions,
        remeasured=again,
        measured_in=environment.describe() if again else None,
        warnings=warnings,
        strict=strict,
    )
    if conditions and not comparison.pairs and not comparison.exit_code:
        raise InputError(
            "--fail-on expects two reports that share a file by name and format, found none; compare runs of one model"
        )
    if json_out is not None:
        store.write_bytes(Path(json_out), to_json(comparison))
    return comparison


def _load(path: Path, label: str) -> _Source:
    """Read a report from its run folder or its file.

    Raises:
        InputError: It is not there or not such a report, or a figure in it cannot be.
    """
    file = path / REPORT_NAME if path.is_dir() else path
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{label} expects a run folder or its {REPORT_NAME}, found {path}: {reason}; give the --out of a run"
        ) from error
    try:
        report = json_file.from_json(content)
        check_plausible(report)
    except InputError as error:
        raise InputError(f"{label} {file}: {error}") from error
    return _Source(report, file)


def _measure_again(
    old: _Source, new: _Source, on_pair: Callable[[str], object]
) -> tuple[dict[tuple[str, str], Remeasured], list[str]]:
    """Every pair of files, by (name, format), and what makes the figures less sure."""
    found: dict[tuple[str, str], Remeasured] = {}
    warnings: list[str] = []
    known = {(variant.name, variant.format): variant for variant in new.report.variants}
    dataset = _dataset(old.report, new.report)
    with _work_folder() as folder:
        images = None if dataset is None else _timed_images(folder, dataset)
        for variant in old.report.variants:
            key = variant.name, variant.format
            if key not in known:
                continue
            name = f"{variant.name}.{variant.format}"
            if same_file(variant, known[key]):
                # The same bytes in one runtime: nothing to measure.
                found[key] = Remeasured()
                continue
            files = _intact(variant, old), _intact(known[key], new)
            failure = "; ".join(one for one in files if isinstance(one, str))
            if failure:
                found[key] = Remeasured(failure=failure)
                continue
            on_pair(name)
            paths = tuple(one for one in files if isinstance(one, Path))
            found[key], doubtful = _pair(
                paths[0], paths[1], known[key], dataset=dataset, images=images, log=folder / "log.txt"
            )
            warnings += [f"{name}, measured again: {doubt}" for doubt in doubtful]
    return found, warnings


def _dataset(old: Report, new: Report) -> Dataset | None:
    """The data set of both reports, where optkit has the very same one."""
    facts = [report.data for report in (old, new)]
    if facts[0] is None or facts[1] is None or facts[0].name not in registry.names("data"):
        return None
    dataset = data.load(facts[0].name)
    return dataset if facts[0].sha256 == facts[1].sha256 == dataset.sha256 else None


def _timed_images(folder: Path, dataset: Dataset) -> Path:
    import numpy as np

    path = folder / "images.npy"
    np.save(path, dataset.real(dataset.test.images[:TIMED_IMAGES]), allow_pickle=False)
    return path


def _intact(variant: Variant, source: _Source) -> Path | str:
    """The file on disk, or why it is not the one that the report speaks of."""
    path = source.path.parent / variant.path
    if variant.sha256 is None:
        return f"{source.path} gives no SHA-256 for it"
    try:
        # A report may name anything; some devices can be read without end.
        if path.exists() and not path.is_file():
            return f"{path}: it is no file"
        found = store.sha256_file(path)
    except (OSError, ValueError) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    if found != variant.sha256:
        return f"{path} has changed since its report (SHA-256 {found[:8]}…, not {variant.sha256[:8]}…)"
    return path


def _pair(
    old: Path, new: Path, variant: Variant, *, dataset: Dataset | None, images: Path | None, log: Path
) -> tuple[Remeasured, list[str]]:
    """Times of the two, interleaved, and their answers to the test set where there is one."""
    threads, batch = 1, 1
    if variant.latency is not None:
        threads, batch = variant.latency.threads, variant.latency.batch
    if not (1 <= threads <= most_threads() and 1 <= batch <= MOST_BATCH):
        return Remeasured(failure=f"its report says {threads} threads and batch {batch}, which cannot run here"), []
    result = _time_pair(old, new, images, threads=threads, batch=batch, log=log)
    failed = [f"{path}: {reason}" for path, reason in result.failures.items()]
    if failed:
        return Remeasured(failure="; ".join(failed)), []
    floor = noise_floor(result)
    before, after = summarize(result, old), summarize(result, new)
    versus, reason = (None, "") if dataset is None else _answers(old, new, dataset, threads=threads, log=log)
    again = Remeasured(
        speedup=after.speedup,
        noise=None if floor is None else (floor.low, floor.high),
        old_p50_us=before.p50_us,
        new_p50_us=after.p50_us,
        inputs="generated inputs" if dataset is None else f"{dataset.name} test images",
        answers=versus,
        total=None if dataset is None or versus is None else len(dataset.test.labels),
    )
    return again, [*doubts(result), *([reason] if reason else [])]


def most_threads() -> int:
    """More than cores only wait for each other."""
    return max(8, 2 * len(os.sched_getaffinity(0)))


def _time_pair(old: Path, new: Path, images: Path | None, *, threads: int, batch: int, log: Path) -> LatencyResult:
    """The one call of the harness: the old file is the baseline, and measured against itself as well."""
    return measure_latency(
        files=[old, new],
        baseline=old,
        images_npy=images,
        log=log,
        threads=threads,
        batch=batch,
        processes=PROCESSES,
        seconds_per_file=SECONDS_PER_FILE,
        silence_seconds=max(limits.patience_seconds(path, batch=batch) for path in (old, new)),
        go_on=until_narrow(WANTED_WIDTH, MOST_SECONDS),
    )


def _answers(old: Path, new: Path, dataset: Dataset, *, threads: int, log: Path) -> tuple[Comparison | None, str]:
    """Paired answers of the two files, or why there are none."""
    import numpy as np

    from optkit.measure.accuracy import fresh_answers

    images = log.with_name("test.npy")
    np.save(images, dataset.real(dataset.test.images[:]), allow_pickle=False)
    try:
        found = [fresh_answers(path, images, log=log, threads=threads)[0] for path in (old, new)]
    except InputError as error:
        return None, f"no answers: {error}"
    return compare_answers(dataset.test.labels, found[0], found[1]), ""


@contextmanager
def _work_folder() -> Iterator[Path]:
    """A folder for images and the log; it stays when measuring failed, as the message names the log in it."""
    folder = Path(tempfile.mkdtemp(prefix="optkit-compare-"))
    keep = False
    try:
        yield folder
    except EnvironmentFailedError:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
