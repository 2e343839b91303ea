"""Times and examines finished files, as jobs: on this machine, or on the one of a cluster that is for that.

The functions have the signature of a job (``optkit.workers``) and take paths relative to the folder, so that an engine
can run them elsewhere with copies of the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from optkit import environment, workers
from optkit.engines import _here
from optkit.measure.latency import LatencyResult, measure_latency
from optkit.measure.memory import measure_memory
from optkit.measure.operators import measure_operators
from optkit.schema import Environment, Memory, OperatorFigures, RuntimeFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.engines import Engine
    from optkit.workers import Tell


class Inspected(Struct, frozen=True):
    """What a file needs and is made of in its runtime."""

    memory: Memory
    operators: list[OperatorFigures]
    runtime_facts: RuntimeFacts


def describe(tell: Tell) -> dict[str, Any]:  # noqa: ARG001  # a job's signature
    """The machine, see ``optkit.environment``."""
    found: dict[str, Any] = msgspec.to_builtins(environment.describe())
    return found


def latency(
    tell: Tell,
    *,
    folder: str,
    files: list[str],
    baseline: str,
    images: str,
    seconds_per_file: float,
    threads: int,
    processes: int,
    seed: int,
) -> dict[str, Any]:
    """Times of files of one format, see ``measure_latency``; paths in the result are as they were given."""
    root = Path(folder)
    result = measure_latency(
        [root / file for file in files],
        root / baseline,
        root / images,
        log=root / "log.txt",
        seconds_per_file=seconds_per_file,
        threads=threads,
        processes=processes,
        seed=seed,
        on_progress=lambda done: tell({"done": done, "total": 1.0}),
    )
    found: dict[str, Any] = msgspec.to_builtins(_with_paths(result, lambda path: str(Path(path).relative_to(root))))
    return found


def inspect(tell: Tell, *, folder: str, file: str, images: str, threads: int) -> dict[str, Any]:  # noqa: ARG001
    """Memory and operators of a file.

    Raises:
        InputError: They cannot be told.
    """
    root = Path(folder)
    memory = measure_memory(root / file, root / images, threads=threads, log=root / "log.txt")
    operators, runtime_facts = measure_operators(root / file, root / images, threads=threads, log=root / "log.txt")
    found: dict[str, Any] = msgspec.to_builtins(Inspected(memory, operators, runtime_facts))
    return found


def _with_paths(result: LatencyResult, changed: Callable[[str], str]) -> LatencyResult:
    return msgspec.structs.replace(
        result,
        baseline=changed(result.baseline),
        times={changed(path): times for path, times in result.times.items()},
        failures={changed(path): reason for path, reason in result.failures.items()},
    )


class Timer:
    """Runs these jobs where an engine times files, or in this process.

    Args:
        folder: The run folder.
        engine: ``None`` for this process.
    """

    def __init__(self, folder: Path, engine: Engine | None = None) -> None:
        self._folder, self._engine = folder, engine
        self.place = None if engine is None else engine.timed_on

    def describe(self) -> Environment:
        """The machine as it is now."""
        return msgspec.convert(self._run("describe", {}, []), Environment)

    def latency(
        self,
        files: Sequence[Path],
        baseline: Path,
        images: Path,
        *,
        seconds_per_file: float,
        on_progress: Callable[[float], object],
        **settings: int,
    ) -> LatencyResult:
        """Times of files of the run folder; paths as they were given."""
        given = {str(self._relative(path)): str(path) for path in (*files, baseline)}
        arguments = {
            "folder": str(self._folder),
            "files": [str(self._relative(path)) for path in files],
            "baseline": str(self._relative(baseline)),
            "images": str(self._relative(images)),
            "seconds_per_file": seconds_per_file,
        }
        found = self._run("latency", arguments | settings, [*files, baseline, images], on_progress)
        return _with_paths(msgspec.convert(found, LatencyResult), lambda path: given[path])

    def inspect(self, path: Path, images: Path, *, threads: int) -> Inspected:
        """Memory and operators of a file of the run folder.

        Raises:
            InputError: They cannot be told.
        """
        arguments = {
            "folder": str(self._folder),
            "file": str(self._relative(path)),
            "images": str(self._relative(images)),
            "threads": threads,
        }
        return msgspec.convert(self._run("inspect", arguments, [path, images]), Inspected)

    def _relative(self, path: Path) -> Path:
        return path.relative_to(self._folder)

    def _run(
        self,
        function: str,
        arguments: dict[str, Any],
        files: Sequence[Path],
        on_progress: Callable[[float], object] = lambda _: None,
    ) -> Any:
        job = workers.Job(f"measure {function}", f"{__name__}:{function}", arguments)

        def on_event(_: workers.Job, message: dict[str, Any]) -> None:
            if message["event"] == "progress":
                on_progress(message["done"])

        if self._engine is None:
            return _here.alone(job, on_event)
        return self._engine.alone(job, list(dict.fromkeys(files)), on_event)
