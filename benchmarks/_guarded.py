"""Runs a command in surroundings of its own and says what it did that no input may make it do."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._process import tree_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPTKIT = (sys.executable, "-P", "-m", "optkit.cli.main")
MOST_SECONDS = 20.0
MOST_BYTES = 4 << 30
GOOD_CODES = (0, 2, 4)
_SAMPLE_SECONDS = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Control characters would steer the terminal of who reads the output; a carriage return or a tab does no harm.
_STEERING = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Outcome(NamedTuple):
    """How a command ended; ``faults`` are what it must not do, empty when all is well."""

    exit_code: int
    seconds: float
    peak_bytes: int
    stdout: str
    stderr: str
    faults: list[str]


class Place(NamedTuple):
    """Surroundings: the working folder, the run folder that a command may write to, and what it must leave alone."""

    root: Path
    work: Path
    out: Path


@contextmanager
def place(parent: Path) -> Iterator[Place]:
    """New surroundings under a folder, gone afterwards."""
    with tempfile.TemporaryDirectory(dir=parent, prefix="place-") as name:
        root = Path(name)
        for folder in ("home", "tmp", "work", "work/beside"):
            (root / folder).mkdir()
        for file in ("home/.profile", "work/mine.txt", "work/beside/model.keras"):
            (root / file).write_text("the user's own\n", encoding="utf-8")
        yield Place(root, root / "work", root / "work" / "out")


def run(arguments: Sequence[str], at: Place, watched: Sequence[Path] = (), *, seconds: float = MOST_SECONDS) -> Outcome:
    """Run ``optkit`` with these arguments.

    Args:
        arguments: After the command's name.
        at: Where it runs; HOME and TMPDIR are in it.
        watched: Further folders that it must not change.
        seconds: After which it is held to hang.
    """
    before = listing(at, watched)
    started = time.monotonic()
    environment = {**os.environ, "HOME": str(at.root / "home"), "TMPDIR": str(at.root / "tmp")}
    # Not a package that optkit brings along; where it is installed, Keras imports it, and it makes a list of fonts.
    environment |= {"MPLCONFIGDIR": str(at.root.parent / "matplotlib")}
    out, err = at.root / "stdout", at.root / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [*OPTKIT, *arguments], cwd=at.work, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        peak, hangs = _watch(process, started + seconds)
    took = time.monotonic() - started
    left = end_all(at.root)
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
    for path in (out, err):
        path.unlink()
    faults = _faults(process.returncode, texts, hangs=hangs)
    if peak > MOST_BYTES:
        faults.append(f"took {peak / 2**30:.1f} GiB of memory")
    if left and not hangs:
        faults.append(f"left {left} processes")
    if not hangs:
        faults += changes(before, listing(at, watched))
    return Outcome(process.returncode, took, peak, *texts, faults)


def _watch(process: subprocess.Popen[bytes], end: float) -> tuple[int, bool]:
    """Wait for a process; the peak memory of its tree in bytes, and whether it had to be ended."""
    peak = 0
    while process.poll() is None:
        # Resident sets count shared pages in each process: only where that is much, pages are counted once.
        resident = _resident_bytes(process.pid)
        if resident > peak:
            peak = max(peak, tree_memory_bytes(process.pid) if resident > MOST_BYTES // 2 else resident)
        if time.monotonic() > end:
            process.kill()
            process.wait()
            return peak, True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SAMPLE_SECONDS)
    return peak, False


def _resident_bytes(root: int) -> int:
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except (OSError, IndexError):
            continue
    return total


def end_all(root: Path) -> int:
    """End every process that was started in these surroundings (they carry it as HOME); how many there were."""
    count = 0
    mark = f"HOME={root}/home".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        pid = int(environ.parent.name)
        try:
            if pid != os.getpid() and mark in environ.read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                count += 1
        except OSError:
            continue
    return count


def _faults(code: int, texts: list[str], *, hangs: bool) -> list[str]:
    if hangs:
        return ["hangs"]
    faults = [] if code in GOOD_CODES else [f"exit code {code}: {texts[1].strip()[-300:]}"]
    if "Traceback (most recent call last)" in texts[0] + texts[1]:
        faults.append("a traceback on the screen")
    lines = [line for line in texts[1].splitlines() if line.strip()]
    if len(lines) > 1:
        faults.append(f"{len(lines)} lines of errors: {lines[0][:120]} … {lines[-1][:120]}")
    if code and not lines:
        faults.append("no word on what is wrong")
    if _STEERING.search(texts[0] + texts[1]):
        faults.append("control characters on the screen")
    return faults


def listing(at: Place, watched: Sequence[Path]) -> dict[str, str]:
    """Every file that a command must leave alone, with its hash; folders with their mode."""
    found = {}
    for root in (at.root, *watched):
        for path in sorted(root.rglob("*")):
            # What was asked for: the run folder, or a file in its place.
            if (
                path.with_suffix("") == at.out
                or at.out in path.parents
                or path in {at.root / "stdout", at.root / "stderr"}
            ):
                continue
            found[str(path)] = _told(path)
    return found


def _told(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_dir():
        return f"folder {path.stat().st_mode:o}"
    # Large inputs are told by size and time: hashing them for every command would be most of the work.
    status = path.stat()
    if status.st_size > 1 << 20:
        return f"{status.st_size} bytes of {status.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What differs between two listings."""
    new = [f"left {path}" for path in after if path not in before]
    gone = [f"removed {path}" for path in before if path not in after]
    return [*new, *gone, *(f"changed {path}" for path in before if path in after and before[path] != after[path])]
