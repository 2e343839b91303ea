"""How many trials fit in memory: by what is free, and by what the largest so far has taken."""

from __future__ import annotations

from pathlib import Path

# Until a trial has shown what it needs: three times what training a perceptron on MNIST takes, TensorFlow included.
FIRST_BYTES = 1_500_000_000
# What is free is not all for trials: the asking process has the data and what files answered.
USABLE = 0.9
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int:
    """Memory that processes started now may take: what the kernel says is available, in a container at most its rest.

    Args:
        meminfo: The kernel's account of memory.
        cgroup: The control group's folder (version 2), which need not be there.
    """
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    free = int(fields["MemAvailable"].split()[0]) * 1024
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        # The page cache counts as used, and goes when memory is wanted.
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        used -= int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - used))


def fitting(free: int, a_trial: int) -> int:
    """How many trials fit, at least one."""
    return max(1, int(free * USABLE) // a_trial)


def in_words(count: int) -> str:
    """Bytes in GB."""
    return f"{count / 1e9:.1f} GB"
