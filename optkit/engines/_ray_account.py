"""What the trials of a cluster have cost: bytes that went and came, the driver's time, and where they ran."""

from __future__ import annotations

import collections
import time


class Cost:
    """What this thread takes from now on: wall time, which has waiting for the disk in it, and processor time."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.thread_time()

    def seconds(self) -> tuple[float, float]:
        """Wall and processor seconds since it was made."""
        return time.perf_counter() - self._wall, time.thread_time() - self._processor


class Account:
    """Kept by the driver."""

    def __init__(self) -> None:
        self._on: dict[str, str] = {}
        self._sent: dict[str, tuple[int, tuple[float, float]]] = {}
        self._ran: collections.Counter[str] = collections.Counter()
        self._models: dict[str, str] = {}
        self._again = 0

    def sent(self, trial: str, count: int, cost: Cost) -> None:
        """A trial was given to the cluster, with so many bytes to read."""
        self._sent[trial] = (count, cost.seconds())

    def began(self, trial: str, node: str, cpu_model: str) -> None:
        """It runs on a node."""
        self._on[trial] = node
        self._models[node] = cpu_model

    def lost(self, trial: str, node: str | None) -> None:  # noqa: ARG002  # the log has them
        """An attempt came to nothing."""
        self._again += 1

    def done(self, trial: str, received: int, cost: Cost) -> str:
        """Its files are in the run folder; what it cost, in words for the log."""
        node = self._on[trial]
        self._ran[node] += 1
        count, before = self._sent[trial]
        wall, processor = (1000 * (one + other) for one, other in zip(before, cost.seconds(), strict=True))
        return (
            f"trial {trial}: on {node}, {count} bytes to read, {received} bytes came back, the driver took "
            f"{wall:.1f} ms, {processor:.1f} ms of its core"
        )

    def words(self) -> list[str]:
        """Sentences for the report."""
        if not self._ran:
            return []
        each = ", ".join(f"{node} {count}" for node, count in sorted(self._ran.items()))
        total = sum(self._ran.values())
        where = f"{len(self._ran)} node{'s' if len(self._ran) > 1 else ''} of a Ray cluster"
        told = [f"{total} tasks ran on {where} ({each})."]
        if self._again:
            times = "task was" if self._again == 1 else "tasks were"
            told.append(f"{self._again} {times} lost with what ran it, and run again.")
        models = sorted(set(self._models.values()))
        if len(models) > 1:
            told.append(
                f"Nodes have different processors ({', '.join(models)}): the last bits of what they train may differ."
            )
        return told
