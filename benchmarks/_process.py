"""Runs a command to its end and watches what it costs as a whole: wall time and memory of all its processes."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """Exit code, output, wall time and the largest proportional set size of the process tree."""

    exit_code: int
    output: str
    wall_seconds: float
    peak_memory_bytes: int


def watch(command: list[str], cwd: Path | None = None) -> Cost:
    """Run a command; memory is sampled once a second.

    Forked processes share pages: the proportional set size (Linux, smaps_rollup) counts each page once over all
    of them, where the sum of resident sets would count it in each.
    """
    started = time.monotonic()
    peak = 0
    done = threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cwd) as process:

        def sample() -> None:
            nonlocal peak
            while not done.wait(1.0):
                peak = max(peak, tree_memory_bytes(process.pid))

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        output, _ = process.communicate()
        done.set()
        sampler.join()
    return Cost(process.returncode, output, time.monotonic() - started, peak)


def tree_memory_bytes(root: int) -> int:
    """Proportional set size of a process and all its descendants, in bytes."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
