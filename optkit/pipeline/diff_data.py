"""The data that two files are compared on, written once where the processes that run them read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from optkit import data
from optkit.data._inputs import form_in, real_dtype
from optkit.errors import InputError
from optkit.pipeline.diff import Data

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.data import DataSpec

# Raw images are turned into real values so many at a time.
_CHUNK = 500


def write(spec: DataSpec, folder: Path, part: Literal["validation", "test"] = "test") -> Data:
    """Load a part of the data and write its real values.

    Args:
        spec: Which data, and how raw values become real ones.
        folder: Where the .npy file is written.
        part: Which part; what is chosen is chosen on validation data.

    Raises:
        InputError: There are no such data, or they cannot be used.
    """
    dataset = data.load(spec)
    chosen = dataset.test if part == "test" else dataset.validation
    images = chosen.images
    if not len(images):
        raise InputError(f"expected {part} images in {spec.source}, found none")
    path = folder / "images.npy"
    dtype, shape = real_dtype(form_in(images))
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(len(images), *shape))
    for start in range(0, len(images), _CHUNK):
        mapped[start : start + _CHUNK] = dataset.real(images[start : start + _CHUNK])
    mapped.flush()
    labels = np.asarray(chosen.labels)
    return Data(dataset.name, dataset.sha256, path, labels if len(labels) == len(images) else None)
