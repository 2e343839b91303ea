"""``.npz`` files: the arrays of a data set by their usual names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optkit.data import _arrays, _assemble

if TYPE_CHECKING:
    from optkit.data import Dataset, DataSpec
    from optkit.data._assemble import Raw

SUMMARY = (
    "FILE.npz with x_train, y_train, x_test, y_test and perhaps x_val, y_val; or images, labels, which are split; "
    "x_train.NAME, … for each input NAME of a model with several"
)
SOURCE = "numpy.savez; read in memory, without pickle"
LAYOUT = "name the arrays x_train, y_train, x_test and y_test, or images and labels to have them split"


def accepts(path: Path) -> bool:
    """Whether this source reads the path."""
    return path.suffix.lower() == ".npz"


def read(spec: DataSpec) -> Raw:
    """The arrays as they are.

    Raises:
        InputError: The file cannot be read, or holds none of the known names.
    """
    path = Path(spec.source)
    archive = _arrays.Archive(path)
    return _arrays.named_parts(path.name, archive.names, archive.read, LAYOUT)


def load(spec: DataSpec) -> Dataset:
    """Load, split where needed, and check.

    Raises:
        InputError: The data cannot be used.
    """
    return _assemble.dataset(read(spec), spec)
