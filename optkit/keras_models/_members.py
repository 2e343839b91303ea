"""Opens a member of a Keras archive where it lies, so that HDF5 can jump about in it without unpacking."""

from __future__ import annotations

import io
import os
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 1 << 20
_HEADER_BYTES = 30


class _Window(io.RawIOBase):
    """Part of an open file as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._place = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any writable buffer
        count = max(0, min(len(buffer), self._size - self._place))
        self._file.seek(self._start + self._place)
        content = self._file.read(count)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


@contextmanager
def open_member(archive: zipfile.ZipFile, path: Path, name: str) -> Iterator[BinaryIO]:
    """A member as a file that can be read from any place.

    Python's own reader starts again at the beginning for every step backwards. A compressed member is read as a whole.

    Args:
        archive: The open archive, whose sizes were looked at.
        path: Its file.
        name: The member.
    """
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        yield io.BytesIO(archive.read(name))
        return
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_HEADER_BYTES)
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        yield _Window(file, member.header_offset + _HEADER_BYTES + lengths, member.file_size)  # type: ignore[misc]


def check_sum(archive: zipfile.ZipFile, name: str) -> None:
    """Read a member to its end, where zipfile compares its checksum.

    Raises:
        zipfile.BadZipFile: It differs.
    """
    with archive.open(name) as stream:
        while stream.read(_CHUNK):
            pass
