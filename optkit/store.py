"""The run folder on disk: atomic writes, content hashes, the lock, and cached stage results.

A file is written under a temporary name in the same folder, flushed and renamed, so a reader sees the whole of
it or nothing of it. A stage's result is a small JSON record that names its output files with their SHA-256; it is
used again only while every one of them is there and intact.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from optkit.errors import EnvironmentFailedError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

TEMPORARY_PREFIX = ".optkit-tmp-"
LOCK_NAME = ".lock"
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}
# Less than one block of most file systems: the write failed for want of room, whatever it says.
LEAST_FREE_BYTES = 4096
FOLDERS = ("artifacts", "models", "cache")
# What each command leaves behind when it has come to its end; a run that has not is known by its lock.
RESULTS = {
    "train": ("train.json",),
    "tune": ("tune.json",),
    "compress": ("report.json", "manifest.json"),
    "benchmark": ("report.json",),
}


class Produced(msgspec.Struct, frozen=True):
    """A file that a stage wrote; ``path`` is relative to the run folder, with ``/``."""

    path: str
    sha256: str


class StageRecord(msgspec.Struct, frozen=True):
    """What a stage made: files, and a result that is small enough for JSON."""

    key: str
    stage: str
    files: list[Produced]
    result: dict[str, Any]
    seconds: float


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_path(path: Path) -> str:
    """SHA-256 of a file's bytes, or of all files of a folder with their names, in hexadecimal.

    Raises:
        InputError: It is neither, or cannot be read.
    """
    try:
        if path.is_file():
            return sha256_file(path)
        if path.is_dir():
            files = sorted(one for one in path.rglob("*") if one.is_file())
            return digest([[one.relative_to(path).as_posix(), sha256_file(one)] for one in files])
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
    found = "a pipe or a device" if path.exists() else "nothing"
    raise InputError(f"expected a file or folder at {path}, found {found}; check the path")


def digest(value: object) -> str:
    """SHA-256 of a JSON-able value in canonical form (sorted keys, no spaces)."""
    plain = msgspec.to_builtins(value)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def source_digest(sources: Sequence[str]) -> str:
    """SHA-256 over parts of the package's own code, so that a changed optkit does not serve an older one's results.

    Args:
        sources: Files and folders, relative to the package.
    """
    root = Path(__file__).parent
    hasher = hashlib.sha256()
    for source in sources:
        for path in sorted((root / source).rglob("*.py")) if (root / source).is_dir() else [root / source]:
            hasher.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


def write_atomically(destination: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``destination``, flush it and rename it into place.

    The temporary file keeps the suffix, since some libraries choose the format by it.

    Raises:
        EnvironmentFailedError: The disk is full, or the folder has become unwritable.
    """
    temporary = destination.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{destination.name}")
    try:
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(destination)
        _sync_folder(destination.parent)
    except Exception as error:
        if not _disk_failed(error, destination.parent):
            raise
        # HDF5's messages go over several lines.
        reason = " ".join(str(error).split())
        raise EnvironmentFailedError(
            f"cannot write {destination}: {reason}; free space or mend the folder, then run the same command again"
        ) from error
    finally:
        # A folder that has become read-only keeps it; why it did is told above.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _disk_failed(error: Exception, folder: Path) -> bool:
    """Whether the disk is to blame; libraries report a full one in many ways, HDF5 and NumPy without its number."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return True
    return os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(folder).free < LEAST_FREE_BYTES


def write_bytes(destination: Path, data: bytes) -> None:
    """Write bytes atomically."""
    write_atomically(destination, lambda path: path.write_bytes(data))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare_folder(folder: Path, names: Sequence[str] = FOLDERS) -> None:
    """Make the run folder with its sub-folders and check that files can be written there.

    Args:
        folder: The run folder.
        names: Of the sub-folders.

    Raises:
        InputError: It is a file, or cannot be written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out expects a folder, found a file: {folder}; choose another --out")
        for name in names:
            (folder / name).mkdir(parents=True, exist_ok=True)
        probe = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"--out expects a folder that can be written, found {folder}: {error.strerror}; choose another --out"
        ) from error


def check_can_write(file: Path, option: str, inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Stop before any work when a file that is to be written in the end cannot be, or must not.

    Args:
        file: The file, whose folder must be there.
        option: What the user gave it with.
        inputs: What the command reads.

    Raises:
        InputError: It is a folder, a device or an input, or its folder is missing or cannot be written.
    """
    folder = file.absolute().parent
    try:
        found = "a folder" if file.is_dir() else "" if folder.is_dir() else "no such folder"
        if not found and file.exists():
            # A file takes the place of what is there: of a device too, where the user may do that.
            found = "" if file.is_file() else "a pipe or a device (- is the screen)"
            if any(os.path.exists(one) and file.samefile(one) for one in inputs):  # noqa: PTH110
                found = "what is to be read"
        if not found:
            probe = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-probe"
            probe.write_bytes(b"")
            probe.unlink()
    except OSError as error:
        found = error.strerror or str(error)
    if found:
        shown = str(file) if len(str(file)) < 200 else f"{str(file)[:200]}…"
        raise InputError(
            f"{option} expects a file in a folder that can be written, found {shown}: {found}; choose another"
        )


def check_own(folder: Path, command: str) -> None:
    """Refuse the folder of another command, whose files would be mixed with this one's.

    Args:
        folder: The run folder, which need not be there.
        command: That is to run in it, such as ``train``.

    Raises:
        InputError: Another command has run there.
    """
    owner = _owner(folder)
    if owner not in {None, command}:
        raise InputError(
            f"--out expects a folder for optkit {command}, found {folder}, which holds a run of optkit {owner}; choose "
            "another --out"
        )


def _owner(folder: Path) -> str | None:
    """The command whose run a folder holds, also one that was killed; ``None`` where there is none."""
    try:
        noted = (folder / LOCK_NAME).read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        noted = []
    if len(noted) == 2:
        return noted[1]
    # os.path.exists is false, and does not raise, for a name that is too long.
    there = {name for names in RESULTS.values() for name in names if os.path.exists(folder / name)}  # noqa: PTH110
    return next((owner for owner, names in RESULTS.items() if there.issuperset(names)), None)


def check_apart(folder: Path, inputs: Mapping[str, str | None]) -> None:
    """Refuse a run folder in which the run would write over what it reads, or read what it writes.

    Args:
        folder: The run folder, which need not be there.
        inputs: Paths that the run reads, by what the user gave them as; a name that is no path is passed over.

    Raises:
        InputError: The folder is one of them, or one of them lies where the run keeps its own files.
    """
    out = os.path.realpath(folder)
    for given, path in inputs.items():
        if path is None or not os.path.exists(path):  # noqa: PTH110  # a name that is too long raises in Path
            continue
        there = os.path.realpath(path)
        if there == out or any(there.startswith(f"{out}{os.sep}{name}{os.sep}") for name in FOLDERS):
            raise InputError(
                f"--out expects a folder apart from what the run reads, found {folder} for {given} {path}; choose "
                "another --out"
            )


@contextmanager
def locked(folder: Path, command: str) -> Iterator[None]:
    """Hold the run folder; the lock goes with the process, so a killed run leaves none behind.

    Args:
        folder: The run folder.
        command: That runs in it, which stays noted there.

    Raises:
        InputError: Another run holds it.
    """
    import fcntl

    with (folder / LOCK_NAME).open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            holder = (stream.read().split() or ["unknown"])[0]
            raise InputError(
                f"--out {folder} is in use by another run (process {holder}); wait for it or choose another --out"
            ) from error
        stream.truncate(0)
        stream.write(f"{os.getpid()} {command}")
        stream.flush()
        for left in list(folder.rglob(f"{TEMPORARY_PREFIX}*")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        yield


@contextmanager
def folder_in_the_making(out: Path) -> Iterator[Path]:
    """A new folder beside ``out``, to be filled and renamed to it; gone in the end where it was not renamed.

    Those that killed processes left for the same ``out`` are removed first. A folder is somebody's while its process
    is there, or, in another container's numbering, while it is locked; the lock goes with the process.

    Raises:
        OSError: It cannot be made.
    """
    import fcntl

    for left in out.absolute().parent.glob(f"{TEMPORARY_PREFIX}*-{glob.escape(out.name)}"):
        if _is_left(left, out.name):
            shutil.rmtree(left, ignore_errors=True)
    folder = out.absolute().with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{out.name}")
    folder.mkdir()
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _is_left(folder: Path, name: str) -> bool:
    """Whether nobody fills a folder in the making any more."""
    import fcntl

    process = folder.name.removeprefix(TEMPORARY_PREFIX).removesuffix(f"-{name}")
    if not process.isdecimal() or Path(f"/proc/{process}").exists():
        return False
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(held)
    return True


def is_locked(folder: Path) -> bool:
    """Whether another run holds the folder now."""
    import fcntl

    try:
        with (folder / LOCK_NAME).open("r") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def describe_file(folder: Path, path: Path) -> Produced:
    """A file of the run folder with its content hash."""
    return Produced(path.relative_to(folder).as_posix(), sha256_file(path))


def save_stage(folder: Path, record: StageRecord) -> None:
    """Store a stage's result; its files must be in place already."""
    content = msgspec.json.encode({"record": record, "sha256": digest(record)})
    write_bytes(folder / "cache" / f"{record.key}.json", msgspec.json.format(content))


def load_stage(folder: Path, key: str) -> StageRecord | None:
    """A stored result, or ``None`` when it is missing, unreadable, or any of its files is missing or damaged."""
    path = folder / "cache" / f"{key}.json"
    try:
        content = msgspec.json.decode(path.read_bytes())
        record = msgspec.convert(content["record"], StageRecord)
        if content["sha256"] != digest(record) or record.key != key:
            return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return None
    for made in record.files:
        file = folder / made.path
        if not file.is_file() or sha256_file(file) != made.sha256:
            return None
    return record
