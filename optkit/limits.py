"""What a process that opens a stranger's file may take: memory, bytes that it writes, and time.

A file of a few bytes can ask for any amount of each. The kernel enforces memory and written bytes (``setrlimit(2)``):
an allocation beyond the limit fails inside of the process, as it would on a full machine. Time is watched by the
process that asked: only time in which the other one computed or slept counts, since waiting for a core or for the
disk says nothing about the file.
"""

from __future__ import annotations

import math
import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "OPTKIT_MEMORY_LIMIT"
"""Takes the place of the memory limit, such as ``16G``, where an honest file needs more."""

SURROUNDINGS = {"KERAS_HOME": os.devnull, "KERAS_BACKEND": "tensorflow"}
"""For the environment of such processes: Keras reads settings from the user's home folder, which would change what
comes out, and leaves a file there. In a place that is no folder it finds and leaves nothing."""

# TensorFlow with a small model keeps 0.6 GiB of data, the other runtimes a tenth of it.
_LEAST_MEMORY_BYTES = 3 << 30
# A runtime keeps weights as they are in the file, unpacked, packed for its kernels, and copied while it optimizes.
_COPIES_OF_A_MODEL = 8
_COPIES_OF_IMAGES = 3
# Activations grow with the batch: so many images come with the least limit.
_IMAGES_IN_LEAST = 64
# What a runtime writes: its profile, and the graph that it made of the file.
_LEAST_WRITTEN_BYTES = 1 << 30
# Opening a file of some kilobytes takes milliseconds, and one of MobileNet's 14 MB some seconds in Keras.
_LEAST_SECONDS = 6.0
# Keras itself takes five seconds to import.
_KERAS_SECONDS = 9.0
_SMALL_RUNTIMES = {".tflite", ".onnx"}
_SECONDS_PER_MEGABYTE = 1.0
_SECONDS_PER_IMAGE = 0.05
# Some hundred examples through a network whose weights take a megabyte: about a second on one core. Convolutions do
# work for every pixel, however few weights they have.
_IMPORT_SECONDS = 11.0
_IMPORT_SECONDS_PER_MEGABYTE = 3.0
_IMPORT_SECONDS_PER_VALUE = 4e-4
_NO_MEMORY = re.compile(
    r"bad_?\W?alloc|out of memory|memoryerror|unable to allocate|failed to allocate|OOM|resource.?exhausted",
    re.IGNORECASE,
)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# States of a process that wants to go on and cannot: it waits for a core (or computes), or for the disk.
_WAITS = {"R", "D"}


class Limits(NamedTuple):
    """Bytes of memory that a process may write to (``RLIMIT_DATA``), and of any one file that it writes.

    ``processor_seconds`` is the time that its threads may compute together, ``None`` for any.
    """

    memory_bytes: int
    written_bytes: int
    processor_seconds: int | None = None


def for_files(models: Iterable[Path], *, images: Path | None = None, batch: int = 1) -> Limits:
    """Limits for a process that runs these model files.

    Args:
        models: The files; what is not there counts as empty. Of a folder everything in it counts.
        images: Its inputs, as .npy.
        batch: Images in a call.

    Raises:
        InputError: ``OPTKIT_MEMORY_LIMIT`` is no number of bytes.
    """
    weights = sum(_bytes(path) for path in models)
    inputs = 0 if images is None else _bytes(images)
    memory = _LEAST_MEMORY_BYTES * max(1, math.ceil(batch / _IMAGES_IN_LEAST))
    memory += _COPIES_OF_A_MODEL * weights + _COPIES_OF_IMAGES * inputs
    written = _LEAST_WRITTEN_BYTES + _COPIES_OF_A_MODEL * weights + inputs
    return Limits(_from_environment() or memory, written)


def for_job(job: dict[str, Any]) -> Limits:
    """Limits for a worker's job, which names what it opens: ``file``, or ``sessions`` with a ``path`` each; ``images``.

    Raises:
        InputError: ``OPTKIT_MEMORY_LIMIT`` is no number of bytes.
    """
    sessions = job.get("sessions", [])
    models = {str(session["path"]) for session in sessions} | ({str(job["file"])} if "file" in job else set())
    batches = [int(one.get("batch", 1)) for one in (job, *sessions)]
    images = job.get("images")
    return for_files(map(Path, models), images=None if images is None else Path(images), batch=max(batches))


def patience_seconds(path: Path, *, batch: int = 1) -> float:
    """How long a process may be busy with one step of a file (opening it, or one call) before it is held to hang."""
    start = 0.0 if path.suffix.lower() in _SMALL_RUNTIMES else _KERAS_SECONDS
    return start + _LEAST_SECONDS + _SECONDS_PER_MEGABYTE * _bytes(path) / 1e6 + _SECONDS_PER_IMAGE * (batch - 1)


def for_import(model: Path, *, example_values: int) -> Limits:
    """Limits for a process that takes a model into Keras and runs some hundred examples through it.

    Args:
        model: File or folder.
        example_values: Numbers in one example.

    Raises:
        InputError: ``OPTKIT_MEMORY_LIMIT`` is no number of bytes.
    """
    seconds = _IMPORT_SECONDS + _IMPORT_SECONDS_PER_MEGABYTE * _bytes(model) / 1e6
    seconds += _IMPORT_SECONDS_PER_VALUE * example_values
    return for_files([model])._replace(processor_seconds=math.ceil(seconds))


def beyond_now(limits: Limits) -> Limits:
    """The same limits, where memory that this process has already does not count: what it was forked with."""
    return limits._replace(memory_bytes=limits.memory_bytes + _data_bytes())


def set_for(pid: int, limits: Limits) -> None:
    """Limit a process that this one may limit, or this one itself with ``pid`` 0; never more than it has already."""
    wanted_of = {
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.written_bytes,
        # A crash is told by its signal; a file with gigabytes of memory in it helps nobody.
        resource.RLIMIT_CORE: 0,
    }
    if limits.processor_seconds is not None:
        wanted_of[resource.RLIMIT_CPU] = limits.processor_seconds
    for kind, wanted in wanted_of.items():
        _, hard = resource.prlimit(pid, kind)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # At the soft limit the kernel sends SIGXCPU, which says what it was; at the hard one SIGKILL.
        last = most + 1 if kind == resource.RLIMIT_CPU and most == wanted else most
        resource.prlimit(pid, kind, (most, last))


def explained(reason: str, limits: Limits) -> str:
    """A runtime's reason for a failure, with a word on the limit where it says that memory ran out."""
    if not out_of_memory(reason):
        return reason
    return f"{reason} (it had {limits.memory_bytes / 2**30:.1f} GiB; set {VARIABLE}, such as 16G, to give it more)"


def out_of_memory(reason: str) -> bool:
    """Whether a runtime's words say that it got no memory."""
    return _NO_MEMORY.search(reason) is not None


class Patience:
    """Counts the time that another process spent on its own account since it last gave a sign of life.

    Args:
        pid: The process.
        seconds: How long that may be.
    """

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid, self._seconds = pid, seconds
        self._spent = 0.0
        self._processor = self._processor_seconds()

    def sign_of_life(self) -> None:
        """Begin anew."""
        self._spent = 0.0
        self._processor = self._processor_seconds()

    def ended_after(self, waited_seconds: float) -> bool:
        """Count a time in which nothing was heard; ``True`` when there is no patience left."""
        processor = self._processor_seconds()
        computed, self._processor = processor - self._processor, processor
        # Several threads at once are no reason to wait less.
        slept = waited_seconds if not _WAITS.intersection(self._states()) else 0.0
        self._spent += min(waited_seconds, max(computed, slept))
        return self._spent >= self._seconds

    def _states(self) -> set[str]:
        found = set()
        for thread in Path(f"/proc/{self._pid}/task").glob("*/stat"):
            try:
                found.add(thread.read_text().rpartition(")")[2].split()[0])
            except OSError:
                continue
        return found

    def _processor_seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _from_environment() -> int | None:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,15})([kmg]?)(i?b)?", text.lower())
    if match is None or int(match[1]) == 0:
        raise InputError(f"{VARIABLE} expects a number of bytes such as 16G, found {text!r}; set it so or not at all")
    return int(match[1]) * _UNITS[match[2]]


def _data_bytes() -> int:
    """What this process has of the memory that ``RLIMIT_DATA`` counts."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder; 0 for what is not there."""
    try:
        if path.is_dir():
            return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
        return path.stat().st_size
    except OSError:
        return 0
