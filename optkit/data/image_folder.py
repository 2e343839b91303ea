"""Folders of pictures: ``train/CLASS/*.png`` and ``test/CLASS/*.png``, or ``CLASS/*.png``; read as they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optkit import store
from optkit.data import _assemble
from optkit.data._assemble import Given, Raw
from optkit.data._pictures import SUFFIXES, Pictures
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.data import Dataset, DataSpec
    from optkit.problem import Preprocessing

SUMMARY = "FOLDER with train/CLASS/*.png and test/CLASS/*.png, perhaps val/CLASS; or CLASS/*.png, which is split"
SOURCE = f"pictures ({', '.join(SUFFIXES)}), decoded by Pillow when they are needed; classes in sorted order"
LAYOUT = "lay it out as train/CLASS/*.png and test/CLASS/*.png, or as CLASS/*.png to have it split"
_TABLES = (".npy", ".npz", ".csv", ".tsv")
_VALIDATION = ("val", "validation", "valid")


def accepts(path: Path) -> bool:
    """Whether this source reads the path."""
    return path.is_dir() and not any(one.suffix in _TABLES for one in path.iterdir())


def read(spec: DataSpec) -> Raw:
    """The pictures' paths, sorted by class and name, so that the file system's order does not matter.

    Raises:
        InputError: The folder holds no pictures, or the first of a part cannot be read.
    """
    root = Path(spec.source)
    # A run folder beside the classes, as --data . makes one, is no class.
    folders = {one.name: one for one in _entries(root) if one.is_dir() and not (one / store.LOCK_NAME).is_file()}
    declared = [name for name in ("train", "test", *_VALIDATION) if name in folders and _has_folders(folders[name])]
    left_out: list[str] = []
    if not declared:
        names = tuple(sorted(folders))
        whole = _part(root, names, spec.preprocessing, left_out)
        if whole is None:
            raise InputError(f"expected folders of pictures ({', '.join(SUFFIXES)}) in {root}, found none; {LAYOUT}")
        return Raw(root.resolve().name, LAYOUT, whole=whole, class_names=names, warnings=_left_out(left_out))
    names = tuple(sorted({one.name for part in declared for one in _entries(folders[part]) if one.is_dir()}))
    parts = {part: _part(folders[part], names, spec.preprocessing, left_out) for part in declared}
    validation = next((parts[name] for name in _VALIDATION if parts.get(name) is not None), None)
    found = Raw(
        root.resolve().name,
        LAYOUT,
        train=parts.get("train"),
        validation=validation,
        test=parts.get("test"),
        class_names=names,
        warnings=_left_out(left_out),
    )
    if not (found.train or found.validation or found.test):
        raise InputError(f"expected pictures ({', '.join(SUFFIXES)}) in the class folders of {root}, found none")
    return found


def flat(spec: DataSpec) -> Raw | None:
    """The pictures that lie in the folder itself, without classes: enough to measure and to calibrate with.

    Returns:
        ``None`` where there are none, or folders beside them.
    """
    root = Path(spec.source)
    names = [one.name for one in _entries(root) if _is_picture(one)]
    if not names or _has_folders(root):
        return None
    whole = Given(str(root), Pictures(root, names, spec.preprocessing), None)
    return Raw(root.resolve().name, LAYOUT, whole=whole)


def load(spec: DataSpec) -> Dataset:
    """List, split where needed, and check; every picture is decoded once for that, and none is kept.

    Raises:
        InputError: The data cannot be used.
    """
    return _assemble.dataset(read(spec), spec)


def _part(
    folder: Path, names: tuple[str, ...], preprocessing: Preprocessing | None, left_out: list[str]
) -> Given | None:
    """The pictures of each class folder that is there."""
    found: list[str] = []
    counts = []
    for name in names:
        before = len(found)
        for one in _entries(folder / name):
            if _is_picture(one):
                found.append(f"{name}/{one.name}")
            else:
                left_out.append(f"{folder.name}/{name}/{one.name}")
        counts.append(len(found) - before)
    if not found:
        return None
    return Given(str(folder), Pictures(folder, found, preprocessing), np.repeat(np.arange(len(names)), counts))


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, less hidden files; nothing where there is no such folder.

    Raises:
        InputError: It cannot be listed.
    """
    try:
        return sorted((one for one in folder.iterdir() if not one.name.startswith(".")), key=lambda one: one.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"cannot list the folder {folder}: {error.strerror}; check its permissions") from error


def _has_folders(folder: Path) -> bool:
    return any(one.is_dir() for one in _entries(folder))


def _is_picture(path: Path) -> bool:
    # is_file follows links, and is false for pipes, devices and links that lead in a circle.
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _left_out(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    shown = ", ".join(names[:3]) + ("…" if len(names) > 3 else "")
    return (f"{len(names)} entries of class folders are no pictures and were left out: {shown}",)
