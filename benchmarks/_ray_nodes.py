"""A Ray cluster whose nodes are all on this machine: its own port, token and folder, and nothing left running."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

# Of a node, for trials; less than a machine has, since several share one.
MEMORY_BYTES = 4_000_000_000
STORE_BYTES = 100_000_000


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def descendants(root: int) -> list[int]:
    """A process and all that it has started, children first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found[::-1]


class Cluster:
    """Nodes with a core each, of which the first is the head; use as a context manager.

    Args:
        names: Of the nodes.
        modules: A folder whose modules tasks can import.
    """

    def __init__(self, names: tuple[str, ...] = ("one", "two"), modules: str | None = None) -> None:
        self._names = names
        # Paths of sockets may have 107 characters, of which Ray takes 60.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.address = f"127.0.0.1:{_free_port()}"
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            # By default Ray runs tasks at nice 15: beside anything else they stand still.
            "RAY_worker_niceness": "0",
            "TMPDIR": str(self.folder),
        }
        self._path = os.pathsep.join(filter(None, [modules, os.environ.get("PYTHONPATH")]))
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def surroundings(self) -> dict[str, str]:
        """The environment of a driver."""
        return {**os.environ, **self.environment}

    def __enter__(self) -> Self:
        try:
            head = ("--head", "--port", self.address.rpartition(":")[2], "--temp-dir", str(self.folder))
            for count, name in enumerate(self._names, start=1):
                self._start(
                    name, *((*head, "--include-dashboard=false") if count == 1 else ("--address", self.address))
                )
                self._wait_until(count)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._nodes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.txt").open("wb") as log:
            self._nodes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-name", name),
                    *("--node-ip-address", "127.0.0.1", "--num-cpus", "1", "--memory", str(MEMORY_BYTES)),
                    *("--object-store-memory", str(STORE_BYTES), *arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.surroundings, "PYTHONPATH": self._path},
                start_new_session=True,
            )

    def _wait_until(self, count: int) -> None:
        """Until so many nodes have said that they run."""
        for _ in range(3_000):
            texts = [(self.folder / f"{name}.txt").read_text(errors="replace") for name in self._nodes]
            if sum("Ray runtime started" in text for text in texts) >= count:
                return
            if any(node.poll() is not None for node in self._nodes.values()):
                break
            time.sleep(0.1)
        said = [(self.folder / f"{name}.txt").read_text(errors="replace") for name in self._nodes]
        raise RuntimeError(f"no cluster of {count} nodes: {said}")

    def kill(self, name: str) -> None:
        """End a node at once, as a power cut does: every process of it."""
        node = self._nodes.pop(name)
        for pid in reversed(descendants(node.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        node.wait()
