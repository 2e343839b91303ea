"""Memory that a file needs in its runtime: approximate, since the kernel counts resident sets in pages."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError
from optkit.measure.fresh_process import SILENCE_SECONDS, WorkerDiedError, converse
from optkit.schema import Memory

if TYPE_CHECKING:
    from pathlib import Path

_WORKER = "optkit.measure.memory_worker"
# What opening a file of a format imports, found by the first one and imported beforehand in all that are
# counted.
_modules: dict[str, list[str]] = {}


def measure_memory(
    path: Path,
    images_npy: Path | None,
    *,
    log: Path,
    threads: int = 1,
    batch: int = 1,
    runs: int = 2,
    silence_seconds: float = SILENCE_SECONDS,
    runtime: str | None = None,
) -> Memory:
    """Peak resident set of a fresh process that opens and runs a file, less that of the runtime alone.

    Args:
        path: The file.
        images_npy: Real images float32 [n, …] as .npy, of which the first ``batch`` are run; generated when ``None``.
        log: Gets what the runtime prints.
        threads: Threads of the runtime.
        batch: Images in a call.
        runs: Fresh processes; the median counts.
        silence_seconds: When a process that says nothing is held to hang.
        runtime: As in ``runtimes.open_model``.

    Raises:
        InputError: The file cannot be opened, fed or run, or crashes the process.
    """
    images = None if images_npy is None else str(images_npy)
    job = {"file": str(path), "images": images, "threads": threads, "batch": batch, "runtime": runtime}
    ending = f"{runtime or ''}{path.suffix.lower()}"
    if ending not in _modules:
        _modules[ending] = _one(path, {**job, "modules": []}, log, silence_seconds)["modules"]
    found = [_one(path, {**job, "modules": _modules[ending]}, log, silence_seconds) for _ in range(runs)]
    return Memory(round(median(one["peak_bytes"] - one["alone_bytes"] for one in found)))


def _one(path: Path, job: dict[str, Any], log: Path, silence_seconds: float) -> dict[str, Any]:
    try:
        answers = list(converse(_WORKER, job, log, silence_seconds))
    except WorkerDiedError as error:
        raise InputError(f"{path} cannot be run: {error}; see {log}") from error
    if not answers or answers[-1]["event"] != "done":
        reason = answers[-1]["reason"] if answers else "it said nothing"
        raise InputError(f"{path} cannot be run: {reason}")
    return answers[-1]
