"""What a runtime makes of a file, and how long each of its operators takes where the runtime says so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from optkit.errors import InputError
from optkit.measure.fresh_process import SILENCE_SECONDS, WorkerDiedError, converse
from optkit.schema import OperatorFigures, RuntimeFacts

if TYPE_CHECKING:
    from pathlib import Path

_WORKER = "optkit.measure.operators_worker"


def measure_operators(
    path: Path,
    images_npy: Path | None,
    *,
    log: Path,
    threads: int = 1,
    batch: int = 1,
    seconds: float = 0.5,
    silence_seconds: float = SILENCE_SECONDS,
    runtime: str | None = None,
) -> tuple[list[OperatorFigures], RuntimeFacts]:
    """Run a file with the runtime's own profile in a fresh process.

    Args:
        path: The file.
        images_npy: Real images float32 [n, …] as .npy; the first ``batch`` are run. ``None`` for generated inputs of
            the file's own shape.
        log: Gets what the runtime prints.
        threads: Threads of the runtime.
        batch: Images in a call.
        seconds: How long calls are profiled, after a warm-up.
        silence_seconds: When a process that says nothing is held to hang.
        runtime: As in ``runtimes.open_model``.

    Returns:
        The operators and what the runtime made of the file. Where the runtime gives times (ONNX Runtime), the
        operators are the nodes that ran, in the order of running, and their times are those of a call of ``batch``
        images; else they are the file's, without times. ``macs`` and ``weight_bytes`` are the file's either way.

    Raises:
        InputError: The file cannot be read, opened, fed or run, or crashes the process.
    """
    for name, value in (("threads", threads), ("batch", batch)):
        if value < 1:
            raise InputError(f"expected {name} of at least 1, found {value}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"expected a time to measure over 0 s, found {seconds:g}")
    job = {
        "file": str(path),
        "images": None if images_npy is None else str(images_npy),
        "threads": threads,
        "batch": batch,
        "seconds": seconds,
        "runtime": runtime,
    }
    try:
        answers = list(converse(_WORKER, job, log, silence_seconds))
    except WorkerDiedError as error:
        raise InputError(f"{path} cannot be profiled: {error}; see {log}") from error
    if not answers or answers[-1]["event"] != "done":
        reason = answers[-1]["reason"] if answers else "it said nothing"
        raise InputError(f"{path} cannot be profiled: {reason}")
    operators = msgspec.convert(answers[-1]["operators"], list[OperatorFigures])
    return operators, msgspec.convert(answers[-1]["facts"], RuntimeFacts)
