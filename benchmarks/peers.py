"""optkit against its peers on the same float LeNet-5: accuracy, size, speed, wall time, lines to write."""

from __future__ import annotations

import gzip
import json
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from benchmarks import _peer_jobs as jobs
from benchmarks import _peer_table as table
from benchmarks._result import Figure, write
from optkit import data, environment, runtimes, store
from optkit.measure.accuracy import accuracy, answers
from optkit.measure.latency import measure_latency
from optkit.measure.latency_figures import doubts, noise_floor, summarize

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.schema import Accuracy, Environment, Latency

FORMATS = ("tflite", "onnx")


class Row(NamedTuple):
    """One file, or the failure to make it."""

    tool: str
    name: str
    format: str
    like: str
    lines: int | None
    done: jobs.Done
    figures: dict[str, Any]


def run(results: Path, names: list[str]) -> list[str]:
    """Make every file, measure all of one format in one interleaved run, write ``peers.json`` and ``peers.md``.

    Args:
        results: Where to write.
        names: Jobs that train and are to be done again although their files are cached.
    """
    before = environment.describe()
    jobs.make_float_model()
    rows = _make(names)
    traps = _traps(again=jobs.TRAPS.name in names)
    timing = {}
    for file_format in FORMATS:
        timing[file_format] = _measure([row for row in rows if row.format == file_format and row.done.file])
    described = environment.with_load_after(before)
    figures = [figure for file_format in FORMATS for figure in _figures(rows, file_format)]
    content: dict[str, object] = {
        "commands": {own.name: own.command for own in jobs.OWN},
        "files": [_as_json(row) for row in rows],
        "load_average_at_start": described.load_average_before,
        "load_average_at_end": described.load_average_after,
        "timing": timing,
        "traps": traps,
    }
    page = table.page([_as_json(row) for row in rows], timing, traps, _described(described))
    failed = write(results, "peers", figures, content)
    store.write_bytes(results / "peers.md", page.encode())
    print("\n" + page)
    return failed + [f"{row.name}: {row.done.error}" for row in rows if row.done.error]


def _make(names: list[str]) -> list[Row]:
    """Every file: the float ones, optkit's, the peers'."""
    version = environment.package_versions()["optkit"]
    nothing = jobs.Done(None, None, 0.0, same_twice=True, parts={}, load_average=0.0)
    rows = []
    for file_format in FORMATS:
        path = jobs.FLOAT / "artifacts" / f"fp32.{file_format}"
        rows.append(Row("float file", "fp32", file_format, "fp32", None, nothing._replace(file=path), {}))
    for own in jobs.OWN:
        print(f"running {own.command}")
        done = jobs.run_own(own, again=own.name in names)
        rows.append(Row(f"optkit {version}", own.name, own.format, own.like, 1, done, {}))
    for peer in jobs.PEERS:
        print(f"running {peer.name}")
        done = jobs.run_peer(peer, again=peer.name in names)
        tool = f"{peer.package} {jobs.version(peer)}"
        rows.append(Row(tool, peer.name, peer.format, peer.like, jobs.lines(peer), done, {}))
    return rows


def _measure(rows: list[Row]) -> dict[str, Any]:
    """Fill in the figures of the files of one format; the first of them is the float file.

    Returns:
        What the timing run says about itself.
    """
    files = [row.done.file for row in rows if row.done.file]
    dataset = data.load("mnist")
    images = dataset.real(dataset.test.images[:])
    timed = jobs.CACHE / "timed-images.npy"
    store.write_atomically(timed, lambda path: np.save(path, images[:256], allow_pickle=False))
    latency, about = _latency(files, timed)
    reference = None
    for row, file in zip(rows, files, strict=True):
        found = answers(file, images)
        right: Accuracy = accuracy(dataset.test.labels, found, reference)
        reference = found if reference is None else reference
        session = runtimes.open_model(file)
        content = file.read_bytes()
        row.figures.update(
            correct=right.correct,
            total=right.total,
            ci95=right.ci95,
            versus_fp32=msgspec.to_builtins(right.versus_baseline),
            file_bytes=len(content),
            gzip_bytes=len(gzip.compress(content, 9, mtime=0)),
            input_type=session.input.dtype,
            output_type=session.output.dtype,
            p50_us=latency[str(file)].p50_us,
            p50_with_conversion_us=latency[str(file)].p50_with_conversion_us,
            speedup=msgspec.to_builtins(latency[str(file)].speedup),
        )
    return about


def _latency(files: list[Path], timed: Path) -> tuple[dict[str, Latency], dict[str, Any]]:
    """All files of one format in one interleaved run, the first as the baseline."""
    result = measure_latency(files, files[0], timed, log=jobs.CACHE / "latency.log")
    if result.failures:
        raise RuntimeError(f"files that cannot be timed: {result.failures}")
    about = {"noise_floor": msgspec.to_builtins(noise_floor(result)), "doubts": doubts(result)}
    return {str(file): summarize(result, file) for file in files}, about


def _figures(rows: list[Row], file_format: str) -> list[Figure]:
    """The file of optkit against the peers' that do the same kind of thing in the same format."""
    figures = []
    for own in (row for row in rows if row.name.startswith("optkit") and row.format == file_format):
        made = [row for row in rows if row.like == own.like and row.format == own.format and row.figures]
        peers = [row.figures for row in made if row is not own]
        if not (peers and own.figures):
            continue
        file, mine = f"{own.like}.{own.format}", own.figures
        share = mine["file_bytes"] / min(peer["file_bytes"] for peer in peers)
        zipped = mine["gzip_bytes"] / min(peer["gzip_bytes"] for peer in peers)
        behind = (max(peer["correct"] for peer in peers) - mine["correct"]) / mine["total"] * 100
        faster = mine["speedup"]["ratio"] / max(peer["speedup"]["ratio"] for peer in peers)
        wall = median(row.done.wall_seconds for row in made if row is not own)
        figures += [
            Figure(f"{file}: bytes against the smallest peer", share, "<=", 1.01, ""),
            Figure(f"{file}: gzipped against the smallest peer", zipped, "<=", None, ""),
            Figure(f"{file}: accuracy behind the best peer", behind, "<=", 0.1, "points"),
            Figure(f"{file}: speed against the fastest peer", faster, ">=", None, ""),
            Figure(f"{file}: wall time against the median peer", own.done.wall_seconds / wall, "<=", None, ""),
        ]
    return figures


def _traps(*, again: bool) -> dict[str, Any]:
    """What the tutorials of tensorflow-model-optimization leave their reader to find out."""
    print(f"running {jobs.TRAPS.name}")
    done = jobs.run_peer(jobs.TRAPS, again=again)
    if done.file is None:
        return {"error": done.error}
    found: dict[str, Any] = json.loads(done.file.read_text(encoding="utf-8"))
    return found


def _as_json(row: Row) -> dict[str, Any]:
    done = row.done
    return {
        "tool": row.tool,
        "job": row.name,
        "format": row.format,
        "like": row.like,
        "lines": row.lines,
        "error": done.error,
        "wall_seconds": None if row.lines is None else round(done.wall_seconds, 2),
        "same_bytes_twice": done.same_twice if row.lines is not None else None,
        "seconds_by_stage": done.parts,
        "load_average_at_start": None if row.lines is None else done.load_average,
        **row.figures,
    }


def _described(found: Environment) -> str:
    load = [one[0] for one in (found.load_average_before, found.load_average_after) if one]
    before_after = " to ".join(f"{value:.1f}" for value in load)
    return f"{found.cpu_model}, {found.cores} cores, {found.os}, {found.python}; load average {before_after}"
