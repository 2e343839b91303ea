"""Small file systems in memory that can be filled and made read-only; they take the right to mount."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def disk(place: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes.

    Raises:
        OSError: This user may mount nothing.
    """
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        _do("umount", "--lazy", str(place))
        place.rmdir()


@contextmanager
def no_new_files(folder: Path) -> Iterator[None]:
    """Lay read-only views over the folders that a run writes to: the file system itself stays in use by its log."""
    covered = [folder / name for name in ("artifacts", "models", "cache")]
    for one in covered:
        mount("--bind", str(one), str(one))
        mount("-o", "remount,ro,bind", str(one))
    try:
        yield
    finally:
        for one in covered:
            _do("umount", "--lazy", str(one))


def mount(*arguments: str) -> None:
    """Run ``mount``.

    Raises:
        OSError: It was refused.
    """
    _do("mount", *arguments)


def _do(name: str, *arguments: str) -> None:
    program = shutil.which(name)
    if program is None:
        raise OSError(f"{name} is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{name} {' '.join(arguments)}: {done.stderr.strip()}")
