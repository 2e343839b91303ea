"""The trainings and files of the front in their order, two at a time on one thread each; what is finished is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchmarks._screen import Screen
from benchmarks.pareto import finish
from benchmarks.pareto.plan import COPIES, NETS, QAT_EPOCHS, TEACHERS, Column
from benchmarks.pareto.train import Trained
from optkit import store
from optkit.pipeline.progress import Schedule
from optkit.pipeline.stages import WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.pareto.finish import Finished

CORES = 2
# Seconds of an epoch on one thread, beside another training: only their ratios matter, for the time that is left.
TEACHER_EPOCH, ASKED_COPY, SMALL_EPOCH, PER_1000_PARAMETERS = 30.0, 15.0, 4.0, 0.15
FINISHED_SECONDS = 30.0
MODULE = "benchmarks.pareto"


class Network(NamedTuple):
    """A network that is to be trained: what it is, where it goes, and from which it is made ready for a column."""

    net: str
    seed: int
    column: Column
    path: Path

    @property
    def name(self) -> str:
        """Among the jobs."""
        return f"{self.net}-{self.seed}-{self.column}"

    @property
    def is_delivered(self) -> bool:
        """Whether a file is made of it; else it is only what one of 4 bits starts from."""
        return self.column in NETS[self.net].columns


class Made(NamedTuple):
    """What there is in the end."""

    teachers: dict[str, Trained]
    files: list[tuple[Path, Finished]]


def make_all(folder: Path, seeds: Iterable[int]) -> Made:
    """Train and finish whatever is not there.

    Networks are known by what they are trained from, not by the code: a changed training does not train the front
    anew; for this, remove the folder.

    Args:
        folder: Where networks, files and teachers' answers are kept.
        seeds: One network of each kind is trained for each.

    Raises:
        RuntimeError: A training failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    teachers = {name: folder / f"{name}-{_key(one, one.plan)}.h5" for name, one in TEACHERS.items()}
    networks = _networks(folder, teachers, tuple(seeds))
    jobs, seconds = _trainings(folder, teachers, networks)
    paths = {**teachers, **{one.name: one.path for one in networks}}
    done = {name for name, path in paths.items() if load(path) is not None}
    print(f"{len(paths)} trainings, {len(done)} of them kept from an earlier run")
    missing = [job for job in jobs if job.name not in done]
    if any(job.name in paths for job in missing):
        _run([job._replace(after=tuple(set(job.after) - done)) for job in missing], seconds, folder)
    finished = {one.path.with_suffix(".tflite"): one for one in networks if one.is_delivered}
    missing = [
        Job(
            one.name,
            f"{MODULE}.finish:finish",
            {"net": one.net, "seed": one.seed, "column": one.column, "source": str(one.path), "path": str(path)},
        )
        for path, one in finished.items()
        if finish.load(path) is None
    ]
    if missing:
        _run(missing, dict.fromkeys((job.name for job in missing), FINISHED_SECONDS), folder)
    files = [(path, known) for path in finished if (known := finish.load(path)) is not None]
    return Made({name: known for name, path in teachers.items() if (known := load(path)) is not None}, files)


def load(path: Path) -> Trained | None:
    """What is known of a kept network; ``None`` where there is none that can be read."""
    try:
        known = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Trained)
    except (OSError, msgspec.DecodeError):
        return None
    return known if path.is_file() else None


def _key(*decides: object) -> str:
    return store.digest(list(decides))[:12]


def _networks(folder: Path, teachers: Mapping[str, Path], seeds: Sequence[int]) -> list[Network]:
    """Every network, one that another starts from before it; all of a seed before the next."""
    found = []
    taught_by = [path.name for path in teachers.values()]
    for seed in seeds:
        for name, net in NETS.items():
            source = folder / f"{name}-{seed}-{_key(net, taught_by, seed)}.h5"
            found.append(Network(name, seed, "int8", source))
            if "int4" in net.columns:
                path = folder / f"{name}-{seed}-int4-{_key(source.name, QAT_EPOCHS)}.h5"
                found.append(Network(name, seed, "int4", path))
    return found


def _trainings(
    folder: Path, teachers: Mapping[str, Path], networks: Sequence[Network]
) -> tuple[list[Job], dict[str, float]]:
    """All jobs in the order in which they are done, and the expected seconds of each."""
    jobs = [
        Job(
            name,
            f"{MODULE}.train:train_teacher",
            {"teacher": msgspec.to_builtins(TEACHERS[name]), "path": str(path)},
        )
        for name, path in teachers.items()
    ]
    seconds = {name: one.epochs * TEACHER_EPOCH for name, one in TEACHERS.items()}
    taught_by = [str(path) for path in teachers.values()]
    asked = {"teachers": taught_by, "folder": str(folder), "threads": CORES}
    jobs.append(Job("ask", f"{MODULE}.train:ask_teachers", asked, tuple(teachers), CORES))
    seconds["ask"] = COPIES * ASKED_COPY
    source: Network | None = None
    for one in networks:
        net = NETS[one.net]
        epoch = SMALL_EPOCH + PER_1000_PARAMETERS * float(one.net.partition("k")[0])
        common: dict[str, Any] = {"teachers": taught_by, "seed": one.seed, "path": str(one.path)}
        if one.column == "int4" and source is not None:
            given = {**common, "source": str(source.path)}
            jobs.append(Job(one.name, f"{MODULE}.train:train_narrow", given, (source.name,)))
            seconds[one.name] = QAT_EPOCHS * epoch
        else:
            given = {**common, "net": msgspec.to_builtins(net)}
            jobs.append(Job(one.name, f"{MODULE}.train:train_net", given, ("ask",)))
            seconds[one.name] = net.epochs * epoch
            source = one
    return jobs, seconds


def _run(jobs: Sequence[Job], seconds: Mapping[str, float], folder: Path) -> None:
    """Run jobs two at a time.

    Raises:
        RuntimeError: One failed.
    """
    show = Screen(len(jobs))
    schedule = Schedule({("train", job.name): seconds[job.name] for job in jobs}, show.note)

    def on_event(job: Job, message: dict[str, Any]) -> None:
        if message["event"] == "progress":
            schedule.advance("train", job.name, message["done"] / message["total"])
        elif message["event"] in {"returned", "failed"}:
            schedule.advance("train", job.name, 1.0, job.name)

    with Workers(["tensorflow", "tf_keras"], WORKER_ENVIRONMENT, folder / "log.txt") as pool:
        results = pool.run(jobs, cores=CORES, on_event=on_event)
    failed = [f"{name}: {one.kind}: {one.message}" for name, one in results.items() if isinstance(one, Failure)]
    if failed:
        raise RuntimeError("; ".join(failed))
