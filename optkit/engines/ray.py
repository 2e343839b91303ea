"""A Ray cluster: each trial is a task, whose files come back by their SHA-256 and which is run again where it is lost.

The driver, which is this process, runs on a node of the cluster. Contents go through Ray's object store: what a trial
reads is put there once and fetched once a node, what it makes is fetched by the driver alone. A task is a generator: it
yields what its jobs tell while it is at work, and its files at last. Ray itself repeats nothing (``max_retries=0``), so
that each attempt is seen here.
"""

from __future__ import annotations

import logging
import math
import os
import time
from typing import TYPE_CHECKING, Any, Self

from optkit import workers
from optkit.engines import _folders, _here, _memory, _node, _ray_cluster, _trials
from optkit.engines._folders import DamagedError, Entry
from optkit.engines._ray_account import Account, Cost
from optkit.engines._ray_messages import LostError, following
from optkit.errors import EnvironmentFailedError, InputError, InternalError
from optkit.workers import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from optkit.engines import OnMessage, Surroundings, Wishes
    from optkit.engines._trials import Trial
    from optkit.workers import Job

LOG = logging.getLogger("optkit")

SUMMARY = "a Ray cluster, as many trials at once as its nodes have cores and memory for"
SOURCE = "Moritz et al., Ray: A Distributed Framework for Emerging AI Applications, OSDI 2018; https://docs.ray.io"
OPTIONS = ("address", "trial_memory_bytes", "latency_node")

# A trial that is lost so often is to blame itself, or the cluster is of no use.
MOST_ATTEMPTS = 5
LOOK_SECONDS = 1.0
# How long no node may be able to run what waits: one that was lost may be started again.
PATIENCE_SECONDS = 60.0
# What a trial took is measured on another machine, or on another recipe.
MARGIN = 1.25
# Ends a process whose memory is wanted elsewhere.
_KILLED = "SIGKILL"


def check(wishes: Wishes) -> None:
    """See ``optkit.engines``."""
    _ray_cluster.check(wishes.address)


class _Attempt:
    """A trial that was given to Ray."""

    def __init__(self, trial: Trial, number: int, cores: int, memory: int, sent: list[Entry]) -> None:
        self.trial, self.number, self.cores, self.memory, self.sent = trial, number, cores, memory, sent
        self.node: str | None = None


def _that_say_something(asked: list[Any]) -> list[Any]:
    """Those of some generators that have something to say, within ``LOOK_SECONDS``."""
    import ray

    try:
        heard, _ = ray.wait(asked, timeout=LOOK_SECONDS)
        if heard:
            # The others that have something to say by now, in one go.
            heard, _ = ray.wait(asked, num_returns=len(asked), timeout=0)
    except SystemError as error:
        # What a signal raises while Ray's own code waits comes out of it as the cause of this.
        raise error.__cause__ or error from None
    return list(heard)


class Cluster:
    """See ``optkit.engines.Engine``.

    Args:
        surroundings: What jobs need.
        wishes: What the user asks.
        task: ``module:function`` that runs a trial on a node, as ``optkit.engines._node:run_trial`` does.
    """

    def __init__(
        self, surroundings: Surroundings, wishes: Wishes, task: str = "optkit.engines._node:run_trial"
    ) -> None:
        self._around, self._wishes, self._task = surroundings, wishes, task
        self.timed_on: str | None = None
        self._account = Account()
        self._here = _here.pool(surroundings)
        self._running: dict[Any, _Attempt] = {}
        self._refs: dict[str, Any] = {}
        self._reads: tuple[list[dict[str, Any]], list[list[Any]]] = ([], [])
        self._peak = 0
        self._none_fits_since: float | None = None
        self._remote_task: Any = None
        self._seen: tuple[float, list[_ray_cluster.Node]] = (-math.inf, [])
        self._timing: _ray_cluster.Node | None = None

    def __enter__(self) -> Self:
        _ray_cluster.connect(self._wishes.address, self._around.log)
        try:
            self._timing = _ray_cluster.timing_node(self._wishes.latency_node)
            self.timed_on = self._timing.name
            self._reads = self._read_files()
        except BaseException:
            self.__exit__()
            raise
        found = _ray_cluster.nodes()
        cores, memory = sum(one.cores for one in found), sum(one.memory for one in found)
        self._around.say(
            f"Ray cluster: {len(found)} node{'s' if len(found) > 1 else ''}, {cores:g} cores, "
            f"{_memory.in_words(memory)} of memory for trials; files are timed on {self.timed_on}."
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        _ray_cluster.leave(self._around.log)

    def _remote(self) -> Any:
        """Ray's form of ``_ray_cluster.task``; made once, since each is stored in the cluster."""
        import ray

        if self._remote_task is None:
            self._remote_task = ray.remote(_ray_cluster.task)
        return self._remote_task

    def _read_files(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """The user's files that jobs read, in the object store."""
        import ray

        described, contents = [], []
        for given in self._around.reads:
            named, files, entries = _folders.of_paths(given)
            described.append({"path": given, "named": named, "files": [list(one) for one in entries]})
            contents.append([ray.put(path.read_bytes()) for path in files])
        return described, contents

    def run(self, jobs: Iterable[Job], *, on_event: OnMessage) -> dict[str, Any]:
        """See ``optkit.engines.Engine``."""
        waiting = [(trial, 1) for trial in _trials.group(jobs)]
        results: dict[str, Any] = {}
        while waiting or self._running:
            ready = [one for one in waiting if not one[0].after - results.keys()]
            waiting = [one for one in waiting if one not in ready]
            for trial, number in ready:
                results |= self._begin(trial, number, results, on_event)
            if not self._running:
                continue
            asked = list(self._running)
            heard = _that_say_something(asked)
            for generator in heard:
                try:
                    results |= self._heard(generator, on_event)
                except LostError as error:
                    waiting.append(self._again(self._running.pop(generator), str(error)))
            if not heard:
                waiting += self._stranded()
        return results

    def _begin(self, trial: Trial, number: int, results: dict[str, Any], on_event: OnMessage) -> dict[str, Any]:
        """Begin what waits for no other; results of what needs no cluster."""
        failed = next((results[name] for name in trial.after if isinstance(results[name], Failure)), None)
        if failed is not None:
            return {job.name: failed for job in trial.jobs}
        if trial.opens:
            return self._opened_here(trial, on_event)
        self._give(trial, number)
        return {}

    def _opened_here(self, trial: Trial, on_event: OnMessage) -> dict[str, Any]:
        """A stranger's file is opened on this machine alone, under its limits; the server's memory is given back."""
        own = {job.name for job in trial.jobs}
        jobs = [job._replace(after=tuple(own.intersection(job.after))) for job in trial.jobs]
        try:
            return self._here.run(jobs, cores=len(os.sched_getaffinity(0)), on_event=on_event)
        finally:
            self._here.stop()

    def _give(self, trial: Trial, number: int) -> None:
        """Give a trial to Ray, with the cores and the memory that it needs."""
        cost = Cost()
        found = self._nodes()
        most_cores, most_memory = (
            max((getattr(one, what) for one in found), default=0) for what in ("cores", "memory")
        )
        # With more threads than cores it takes longer, and makes the same; where none is large enough, as much as any.
        cores = max(1, min(trial.cores, int(most_cores)))
        memory = self._trial_memory() * 2 ** (number - 1)
        memory = min(memory, most_memory)
        try:
            sent = _folders.stages(self._around.folder, trial.needs)
        except DamagedError as error:
            raise InputError(
                f"files in {self._around.folder} were changed during the run ({error}); run the command again"
            ) from error
        described, contents = self._reads
        spec = {
            **self._common(sent),
            "name": trial.name,
            "jobs": [job._asdict() for job in trial.jobs],
            "reads": described,
            "preload": list(self._around.preload),
            "preload_argument": self._around.preload_argument,
            "environment": dict(self._around.environment),
            "cores": cores,
        }
        task = self._remote().options(
            name=trial.name, num_cpus=cores, memory=memory, max_retries=0, scheduling_strategy="SPREAD"
        )
        generator = task.remote(self._task, spec, contents, _ray_cluster.fetch, *self._contents(sent))
        self._running[generator] = _Attempt(trial, number, cores, memory, sent)
        self._account.sent(trial.name, sum(self._size(one) for one in sent), cost)

    def _nodes(self) -> list[_ray_cluster.Node]:
        """Nodes that are alive, as they were a moment ago: many trials are given at once."""
        asked, found = self._seen
        if time.monotonic() - asked > LOOK_SECONDS:
            found = _ray_cluster.nodes()
            self._seen = time.monotonic(), found
        return found

    def _common(self, sent: Sequence[Entry]) -> dict[str, Any]:
        return {
            "folder": str(self._around.folder),
            "files": [list(one) for one in sent],
            "same": _node.same(),
            "variables": {_node.THREADS_VARIABLE: os.environ.get(_node.THREADS_VARIABLE)},
        }

    def _trial_memory(self) -> int:
        """What a trial is declared to need: what the largest so far has taken and a margin, at first what was said."""
        measured = int(self._peak * MARGIN)
        return max(measured, self._wishes.trial_memory_bytes or (0 if measured else _memory.FIRST_BYTES))

    def _contents(self, entries: Iterable[Entry]) -> list[Any]:
        """Contents of files of the run folder in the object store, where each is once."""
        import ray

        for entry in entries:
            if entry.sha256 not in self._refs:
                self._refs[entry.sha256] = ray.put((self._around.folder / entry.path).read_bytes())
        return [self._refs[entry.sha256] for entry in entries]

    def _size(self, entry: Entry) -> int:
        return (self._around.folder / entry.path).stat().st_size

    def _heard(self, generator: Any, on_event: OnMessage) -> dict[str, Any]:
        """Take in one message of an attempt; its results once it has ended.

        Raises:
            LostError: It came to nothing: its node is gone, or what came back is damaged.
            EnvironmentFailedError: Its node has other packages.
        """
        attempt, message = self._running[generator], following(generator)
        jobs = {job.name: job for job in attempt.trial.jobs}
        match message["event"]:
            case "began":
                attempt.node = message["node"]
                self._account.began(attempt.trial.name, message["node"], message["cpu_model"])
            case "started":
                on_event(jobs[message["job"]], {**message, "place": attempt.node})
            case "progress":
                on_event(jobs[message["job"]], message)
            case "done":
                results = self._done(attempt, message, on_event)
                del self._running[generator]
                return results
        return {}

    def _done(self, attempt: _Attempt, message: dict[str, Any], on_event: OnMessage) -> dict[str, Any]:
        cost = Cost()
        results = {
            name: Failure(*one["failure"]) if "failure" in one else one["value"]
            for name, one in message["results"].items()
        }
        for one in results.values():
            if isinstance(one, Failure) and one.kind == "Crash" and _KILLED in one.message:
                raise LostError(f"a process was killed ({one.message}), perhaps for want of memory")
        good = [job.arguments["key"] for job in attempt.trial.jobs if not isinstance(results[job.name], Failure)]
        try:
            entries = [Entry(*one) for one in message["entries"]]
            _folders.unpack_stages(self._around.folder, entries, message["contents"], good)
        except DamagedError as error:
            raise LostError(f"what came back is damaged: {error}") from error
        self._peak = max(self._peak, message["peak_bytes"])
        if message["log"].strip():
            with self._around.log.open("a", encoding="utf-8") as log:
                log.write(f"--- {attempt.trial.name} on {attempt.node}\n{message['log'].rstrip()}\n---\n")
        received = sum(len(content) for content in message["contents"])
        LOG.info("%s", self._account.done(attempt.trial.name, received, cost))
        for job in attempt.trial.jobs:
            one = results[job.name]
            told = {"event": "failed", **one._asdict()} if isinstance(one, Failure) else {"event": "returned"}
            on_event(job, {**told, "job": job.name})
        return results

    def _again(self, attempt: _Attempt, reason: str) -> tuple[Trial, int]:
        """A lost trial goes back among those that wait.

        Raises:
            EnvironmentFailedError: It was lost too often.
        """
        name, where = attempt.trial.name, f" on {attempt.node}" if attempt.node else ""
        LOG.warning("trial %s: lost%s, attempt %d: %s", name, where, attempt.number, reason)
        self._account.lost(name, attempt.node)
        if attempt.number >= MOST_ATTEMPTS:
            raise EnvironmentFailedError(
                f"the trial {name} was lost {attempt.number} times, the last time{where}: {reason}; see that the nodes "
                "have memory for it (--trial-memory), then run the same command again: finished trials are kept"
            )
        self._around.say(f"Lost: {name}{where} ({reason}). It is run again.")
        return attempt.trial, attempt.number + 1

    def _stranded(self) -> list[tuple[Trial, int]]:
        """Trials that no node can run any more, since the largest is gone: they are asked for again, as they fit.

        Raises:
            EnvironmentFailedError: No node can run a trial for longer than one takes to start.
        """
        found = _ray_cluster.nodes()
        able = [one for one in found if one.cores >= 1]
        stranded = {
            generator: attempt
            for generator, attempt in self._running.items()
            if attempt.node is None
            and not any(one.cores >= attempt.cores and one.memory >= attempt.memory for one in found)
        }
        if not stranded:
            self._none_fits_since = None
            return []
        if not able:
            self._none_fits_since = self._none_fits_since or time.monotonic()
            if time.monotonic() - self._none_fits_since < PATIENCE_SECONDS:
                return []
            raise EnvironmentFailedError(
                "no node of the Ray cluster has a core left for trials; start some (ray start --address …), then run "
                "the same command again: finished trials are kept"
            )
        for generator in stranded:
            _ray_cluster.cancel(generator)
            del self._running[generator]
        return [(attempt.trial, attempt.number) for attempt in stranded.values()]

    def alone(self, job: Job, files: Sequence[Path], on_event: OnMessage) -> Any:
        """See ``optkit.engines.Engine``; it takes all cores of the node, so that Ray puts nothing beside it."""
        import ray

        entries = _folders.described(self._around.folder, files)
        spec = {**self._common(entries), "job": job._asdict()}
        node = self._timing
        if node is None:
            raise InternalError("the cluster was not joined")
        task = self._remote().options(
            name=job.name, num_cpus=node.cores, max_retries=0, scheduling_strategy=_ray_cluster.on(node)
        )
        contents = _folders.read(self._around.folder, entries)
        generator = task.remote("optkit.engines._node:run_alone", spec, *(ray.put(content) for content in contents))
        try:
            while (message := following(generator))["event"] not in {"returned", "failed"}:
                on_event(job, message)
        except LostError as error:
            raise EnvironmentFailedError(
                f"the node {node.name}, on which files are timed, is gone ({error}): start it again, or name another "
                "with --latency-node; then run the same command again: finished trials are kept"
            ) from error
        except BaseException:
            _ray_cluster.cancel(generator)
            raise
        if message["event"] == "failed":
            raise workers.as_error(job.name, Failure(message["kind"], message["message"], message["exit_code"]))
        return message["value"]

    def stop(self) -> None:
        """See ``optkit.engines.Engine``."""
        for generator in self._running:
            _ray_cluster.cancel(generator)
        self._running.clear()
        self._here.stop()

    def facts(self) -> list[str]:
        """See ``optkit.engines.Engine``."""
        return self._account.words()


def open_engine(surroundings: Surroundings, wishes: Wishes) -> Cluster:
    """See ``optkit.engines``."""
    return Cluster(surroundings, wishes)
