"""Opens files that a stranger named or made: regular ones only, so that nothing hangs on a pipe or a device."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# What is read into memory as a whole: 16 GiB, or half of the machine's memory where that is less.
MOST_BYTES = 16 << 30


def memory_limit() -> int:
    """Bytes that data may take in memory."""
    return min(MOST_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


def open_regular(path: Path, *, what: str = "data file") -> BinaryIO:
    """Open a regular file to read bytes.

    Raises:
        InputError: It cannot be opened, or is no regular file.
    """
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the {what} {path}: {reason}; check the path") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"expected a {what} at {path}, found a folder, a pipe or a device; give a regular file")
    return os.fdopen(descriptor, "rb")
