"""Where the stages of a run are made: one small interface, and one plug-in file for each kind of place.

An engine gets jobs (see ``optkit.workers``) and runs each after the jobs that it names. Whatever decides what a stage
makes (seeds, threads, the order of drawing) is in the jobs, and an engine changes none of it: on processors of one kind
every engine makes the same files. Files come into being in the run folder, each under its key, so that what one engine
has made is there for another.

A plug-in defines ``OPTIONS``, the fields of ``Wishes`` that it takes, and ``open_engine(surroundings, wishes)``, which
gives the engine, a context manager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path  # noqa: TC003  # a record's annotations are looked at
from typing import Any, NamedTuple, Protocol, Self

from optkit import registry
from optkit.errors import InputError
from optkit.workers import Job

OnMessage = Callable[[Job, dict[str, Any]], None]

# Options of the command line, by field of ``Wishes``.
OPTION_NAMES = {
    "workers": "--workers",
    "trial_memory_bytes": "--trial-memory",
    "address": "--address",
    "latency_node": "--latency-node",
}


class Wishes(NamedTuple):
    """What the user asks of an engine; ``None`` for what was not asked.

    Attributes:
        workers: Trials at once.
        trial_memory_bytes: Memory that a trial is held to need until one has shown that it needs more.
        address: Of a cluster that is there.
        latency_node: The machine of it on which files are timed.
    """

    workers: int | None = None
    trial_memory_bytes: int | None = None
    address: str | None = None
    latency_node: str | None = None


class Surroundings(NamedTuple):
    """What jobs need around them.

    Attributes:
        folder: The run folder.
        preload: Modules that are imported once; with ``:function``, that is called as well, with ``preload_argument``.
        preload_argument: JSON.
        environment: Variables that are set before that.
        reads: Paths of the user's own that jobs read, as they stand in jobs' arguments and in ``preload_argument``.
        say: Gets sentences for the screen.
    """

    folder: Path
    preload: tuple[str, ...]
    preload_argument: str
    environment: Mapping[str, str]
    reads: tuple[str, ...] = ()
    say: Callable[[str], object] = lambda _: None

    @property
    def log(self) -> Path:
        """The run's log."""
        return self.folder / "log.txt"


class Engine(Protocol):
    """Something that runs jobs.

    Attributes:
        timed_on: Name of the machine on which files are timed; ``None`` for this one.
    """

    timed_on: str | None

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, jobs: Iterable[Job], *, on_event: OnMessage) -> dict[str, Any]:
        """Run jobs, what they make comes into the run folder.

        Args:
            jobs: Parents need not come before children; a job named in ``after`` that is not among them is done.
            on_event: Receives what ``optkit.workers`` tells; ``started`` has a ``place`` where there are several.

        Returns:
            For each job's name what its function returned, or a ``Failure``.

        Raises:
            EnvironmentFailedError: It cannot go on.
            InputError: What it runs on cannot be used.
        """

    def alone(self, job: Job, files: Sequence[Path], on_event: OnMessage) -> Any:
        """Run a job that times something, on the one machine for that, while nothing else of the run is on it.

        Args:
            job: Its argument ``folder`` is the run folder; of that it reads ``files`` alone, and it writes nothing.
            files: Files of the run folder.
            on_event: As for ``run``.

        Returns:
            What its function returned.

        Raises:
            OptkitError: What it raised.
            EnvironmentFailedError: The machine is gone.
        """

    def stop(self) -> None:
        """End what is running; the engine can be used again."""

    def facts(self) -> list[str]:
        """Sentences for the report: where jobs ran, as far as they did."""


def open_engine(name: str, surroundings: Surroundings, wishes: Wishes) -> Engine:
    """The engine of that name.

    Raises:
        InputError: There is none, it does not take what was asked, or what it needs is missing.
    """
    check_wishes(name, wishes)
    engine: Engine = registry.load("engines", name).open_engine(surroundings, wishes)
    return engine


def check_wishes(name: str, wishes: Wishes) -> None:
    """Refuse what an engine does not take.

    Raises:
        InputError: There is no such engine, or something was asked that is for another.
    """
    module = registry.load("engines", name)
    for field, value in wishes._asdict().items():
        if value is None or field in module.OPTIONS:
            continue
        takers = [one for one in registry.names("engines") if field in registry.load("engines", one).OPTIONS]
        raise InputError(
            f"{OPTION_NAMES[field]} is for --engine {' and '.join(takers)}, found --engine {name}; leave it out"
        )
    # Before any work is done.
    getattr(module, "check", lambda _: None)(wishes)
