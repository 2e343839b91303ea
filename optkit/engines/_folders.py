"""Parts of a run folder on their way between machines: every file by its SHA-256, and refused where it differs."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from optkit import store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class DamagedError(Exception):
    """What came is not what was sent; the message says what differs."""


class Entry(NamedTuple):
    """A file: its path in the folder, with ``/``, and the SHA-256 of its bytes."""

    path: str
    sha256: str


def stages(folder: Path, keys: Iterable[str]) -> list[Entry]:
    """The files of stages and their records, the records last: who has one has all that it names.

    Raises:
        DamagedError: A stage is not there as a whole.
    """
    files: dict[str, Entry] = {}
    records = []
    for key in keys:
        record = store.load_stage(folder, key)
        if record is None:
            raise DamagedError(f"the stage {key} is not there, or one of its files differs")
        files |= {made.path: Entry(made.path, made.sha256) for made in record.files}
        path = f"cache/{key}.json"
        records.append(Entry(path, store.sha256_file(folder / path)))
    return [*files.values(), *records]


def described(folder: Path, paths: Iterable[Path]) -> list[Entry]:
    """Files of a folder."""
    return [Entry(path.relative_to(folder).as_posix(), store.sha256_file(path)) for path in paths]


def unpack(folder: Path, entries: Sequence[Entry], contents: Sequence[bytes]) -> None:
    """Write files that came from another machine, each whole or not at all, in their order.

    Raises:
        DamagedError: A file has other bytes than its entry says, or one is missing; nothing is written then.
    """
    if len(entries) != len(contents):
        raise DamagedError(f"expected {len(entries)} files, found {len(contents)}")
    for entry, content in zip(entries, contents, strict=True):
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts:
            raise DamagedError(f"a path that leaves the folder, {entry.path!r}")
        found = hashlib.sha256(content).hexdigest()
        if found != entry.sha256:
            raise DamagedError(f"{entry.path} has the SHA-256 {found[:12]}…, expected {entry.sha256[:12]}…")
    for entry, content in zip(entries, contents, strict=True):
        path_here = folder / entry.path
        path_here.parent.mkdir(parents=True, exist_ok=True)
        store.write_bytes(path_here, content)


def unpack_stages(folder: Path, entries: Sequence[Entry], contents: Sequence[bytes], keys: Iterable[str]) -> None:
    """As ``unpack``, for whole stages.

    Raises:
        DamagedError: As ``unpack``, or a stage is not there as a whole.
    """
    unpack(folder, entries, contents)
    for key in keys:
        if store.load_stage(folder, key) is None:
            raise DamagedError(f"the stage {key} did not come as a whole")


def read(folder: Path, entries: Iterable[Entry]) -> list[bytes]:
    """Contents of files of a folder."""
    return [(folder / entry.path).read_bytes() for entry in entries]


def of_paths(given: str) -> tuple[str, list[Path], list[Entry]]:
    """A file or folder of the user's own, or two ``.npy`` files with a comma between.

    Returns:
        What takes its place in a folder with the entries, the files, and their entries.
    """
    first, comma, second = given.partition(".npy,")
    pair = comma and not Path(given).exists()
    named: list[str] = []
    files: list[Path] = []
    entries: list[Entry] = []
    for place, words in enumerate([f"{first}.npy", second] if pair else [given]):
        # Absolute, for a folder that is given as ``.``; resolving would follow links, whose names count.
        path = Path(words).absolute()
        own = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
        files += own
        for one in own:
            relative = PurePosixPath(str(place), path.name, one.relative_to(path).as_posix())
            entries.append(Entry(str(relative), store.sha256_file(one)))
        named.append(f"{place}/{path.name}")
    return ",".join(named), files, entries


def in_folder(named: str, folder: Path) -> str:
    """What ``of_paths`` has named, in the folder that has its entries."""
    return ",".join(str(folder / one) for one in named.split(","))
