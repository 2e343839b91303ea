"""Opens and runs one file in this process and tells the resident set: started fresh by ``memory``.

Only the runtime is imported, nothing else of optkit: what is resident here should be what a device needs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from pathlib import Path
from typing import Any

from optkit.measure.one_answer import answer

# Some kernels allocate their scratch memory in the first runs.
RUNS = 10
# Linux: this value, written to clear_refs, sets the peak back to what is resident now
# (proc_pid_clear_refs(5)).
_RESET_PEAK = "5"


def status_bytes(field: str) -> int:
    """A figure of this process from /proc: VmHWM is the peak of its resident set, VmRSS what is resident now.

    Not getrusage: its ru_maxrss survives the start of a program, so a large parent would be in it.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def peak_from_here() -> int:
    """Count the peak anew from here; returns what is resident, or the peak so far where that is forbidden."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return status_bytes("VmHWM")
    return status_bytes("VmRSS")


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Import the runtime, then open the file and run it.

    Returns:
        ``alone_bytes`` with the runtime alone, ``peak_bytes`` with the file, and the modules that opening
        imported.
    """
    import numpy as np

    from optkit import runtimes
    from optkit.runtimes import _ports

    for name in job["modules"]:
        # Some modules are made by others and cannot be imported by their name.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    given = None if job["images"] is None else np.array(np.load(job["images"], mmap_mode="r")[: job["batch"]])
    known = set(sys.modules)
    alone_bytes = peak_from_here()
    session = runtimes.open_model(Path(job["file"]), threads=job["threads"], runtime=job["runtime"])
    images = _ports.generated(session.inputs, job["batch"]) if given is None else given
    session.feed(session.to_native(images))
    for _ in range(RUNS):
        session.invoke()
    session.fetch()
    peak_bytes = status_bytes("VmHWM")
    return {
        "alone_bytes": alone_bytes,
        "peak_bytes": peak_bytes,
        "modules": [name for name in sys.modules if name not in known],
    }


if __name__ == "__main__":
    answer(run)
