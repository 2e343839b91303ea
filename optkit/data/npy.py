"""``.npy`` files: a folder of arrays by their usual names, or a pair of files; mapped, not read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optkit.data import _arrays, _assemble
from optkit.data._assemble import Given, Raw

if TYPE_CHECKING:
    from optkit.data import Dataset, DataSpec

SUMMARY = "FOLDER with x_train.npy, y_train.npy, x_test.npy, y_test.npy; or IMAGES.npy,LABELS.npy, which are split"
SOURCE = "numpy.save; mapped from disk, not read as a whole"
LAYOUT = (
    "give a folder with x_train.npy, y_train.npy, x_test.npy and y_test.npy, or --data IMAGES.npy,LABELS.npy to have "
    "them split"
)
_NAMES = {name for pairs in (_arrays.TRAIN, _arrays.VALIDATION, _arrays.TEST, _arrays.WHOLE) for name, _ in pairs}


def accepts(path: Path) -> bool:
    """Whether this source reads the path."""
    if path.suffix == ".npy":
        return True
    if not path.is_dir():
        return False
    # Of several inputs each has a file of its own, x_test.NAME.npy.
    return any((path / f"{name}.npy").is_file() or any(path.glob(f"{name}.*.npy")) for name in _NAMES)


def read(spec: DataSpec) -> Raw:
    """The arrays, mapped.

    Raises:
        InputError: A file cannot be read.
    """
    path = Path(spec.source)
    if path.is_dir():
        files = {one.stem: one for one in path.iterdir() if one.suffix == ".npy"}
        return _arrays.named_parts(path.resolve().name, files.keys(), lambda name: _arrays.Mapped(files[name]), LAYOUT)
    images, _, labels = spec.source.partition(".npy,")
    if not labels:
        return Raw(path.name, LAYOUT, whole=Given(str(path), _arrays.Mapped(path), None))
    images_path, labels_path = Path(f"{images}.npy"), Path(labels)
    whole = Given(str(images_path), _arrays.Mapped(images_path), _arrays.in_memory(_arrays.Mapped(labels_path)))
    return Raw(images_path.name, LAYOUT, whole=whole)


def load(spec: DataSpec) -> Dataset:
    """Map, split where needed, and check.

    Raises:
        InputError: The data cannot be used.
    """
    return _assemble.dataset(read(spec), spec)
