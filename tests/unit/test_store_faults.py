"""A disk that fails while a file is written: one line that says what to do, and nothing half in place."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from optkit import store
from optkit.errors import EnvironmentFailedError


def test_a_reason_over_several_lines_becomes_one(tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.ENOSPC, "can't close file\n  (file write failed: no space)")

    with pytest.raises(EnvironmentFailedError) as caught:
        store.write_atomically(tmp_path / "model.h5", fail)
    assert "\n" not in str(caught.value)
    assert "free space" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_has_become_read_only_is_told_although_nothing_can_be_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *, missing_ok: bool = False) -> None:  # noqa: ARG001  # Path.unlink's signature
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    def fail(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(EnvironmentFailedError, match="mend the folder"):
        store.write_atomically(tmp_path / "record.json", fail)
