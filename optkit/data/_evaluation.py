"""Images and labels to judge finished files with: a data set of the package, or the user's own file."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from optkit import data, registry
from optkit.errors import InputError, nearest

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".npz", ".npy")
# Names under which people keep these arrays, in the order in which they are looked for.
TEST_NAMES = (("x_test", "y_test"), ("images", "labels"), ("x", "y"), ("X", "y"))
VALIDATION_NAMES = (("x_val", "y_val"), ("x_valid", "y_valid"), ("x_validation", "y_validation"))


class Labelled(NamedTuple):
    """``images`` float32 [n, …] as the model takes them, ``labels`` int64 [n] or ``None``."""

    images: np.ndarray
    labels: np.ndarray | None


class Evaluation(NamedTuple):
    """What files are judged with; ``validation`` is there when choices may be made on it."""

    name: str
    sha256: str
    test: Labelled
    validation: Labelled | None


def load_evaluation(source: str, *, scale: float | None = None) -> Evaluation:
    """Load what files are judged with.

    Args:
        source: A data set of the package (``mnist``), or the path of a ``.npz`` file with images and labels
            (``x_test`` and ``y_test``, or ``images`` and ``labels``; ``x_val`` and ``y_val`` as well if there are
            any), or of a ``.npy`` file with images alone. Images are [n, height, width, channels], [n, height,
            width], [n, channels, height, width] or [n, values].
        scale: Multiplies the images of a file, which are otherwise used as they are.

    Raises:
        InputError: No such data, or they cannot be used.
    """
    path = Path(source)
    if path.suffix not in SUFFIXES:
        if source in registry.names("data"):
            if scale is not None:
                raise InputError(f"--scale is for data files; {source} comes as real values from 0 to 1")
            return _packaged(source)
        hint = nearest(source, list(registry.names("data")))
        raise InputError(
            f"--data expects a data set or your own file, which ends in .npz or .npy, found {source!r}: {hint}"
        )
    if scale is not None and not (math.isfinite(scale) and scale != 0):
        raise InputError(f"--scale expects a number other than 0, found {scale:g}")
    arrays, digest = _read(path)
    if path.suffix == ".npy":
        return Evaluation(path.name, digest, Labelled(_images(arrays["images"], path, scale), None), None)
    test = _pair(arrays, TEST_NAMES, path, scale)
    if test is None:
        wanted = " or ".join(f"{images!r} and {labels!r}" for images, labels in TEST_NAMES[:2])
        raise InputError(
            f"expected arrays {wanted} in {path}, found {', '.join(sorted(arrays)) or 'none'}; name them so"
        )
    return Evaluation(path.name, digest, test, _pair(arrays, VALIDATION_NAMES, path, scale))


def _packaged(name: str) -> Evaluation:
    dataset = data.load(name)
    parts = []
    for part in (dataset.test, dataset.validation):
        shape = (*part.images.shape[1:], 1)
        parts.append(Labelled(data.to_real(part.images, shape), part.labels))
    return Evaluation(name, dataset.sha256, parts[0], parts[1])


def _read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    import io
    import zipfile

    import numpy as np

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the data file {path}: {error.strerror}; check the path given to --data"
        ) from error
    try:
        loaded = np.load(io.BytesIO(raw), allow_pickle=False)
        arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"expected NumPy arrays in {path}, found something else ({' '.join(str(error).split())[:120]}); "
            "write it with numpy.savez, without Python objects"
        ) from error
    return arrays, hashlib.sha256(raw).hexdigest()


def _pair(
    arrays: dict[str, np.ndarray], names: tuple[tuple[str, str], ...], path: Path, scale: float | None
) -> Labelled | None:
    for images, labels in names:
        if images in arrays:
            given = _images(arrays[images], path, scale)
            return Labelled(given, _labels(arrays[labels], len(given), path) if labels in arrays else None)
    return None


def _images(raw: np.ndarray, path: Path, scale: float | None) -> np.ndarray:
    import numpy as np

    if raw.ndim < 2 or not len(raw) or raw.dtype.kind not in "uifb":
        raise InputError(
            f"expected numbers [images, …] in {path}, found {raw.dtype} of shape {list(raw.shape)}; "
            "one image is an array of its own"
        )
    images = np.ascontiguousarray(raw, np.float32)
    if not np.isfinite(images).all():
        raise InputError(f"expected finite numbers in {path}, found NaN or infinity; clean the data")
    return images if scale is None else images * np.float32(scale)


def _labels(raw: np.ndarray, count: int, path: Path) -> np.ndarray:
    import numpy as np

    labels = raw
    if labels.ndim == 2:
        # One column, or one-hot rows.
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    whole = labels.dtype.kind in "uib" or (labels.dtype.kind == "f" and bool((labels == np.rint(labels)).all()))
    if labels.shape == (count,) and whole and count and labels.min() < 0:
        raise InputError(f"expected labels from 0 on in {path}, found {int(labels.min())}; number the classes from 0")
    if labels.shape != (count,) or not whole:
        raise InputError(
            f"expected {count} labels from 0 on in {path}, found {raw.dtype} of shape {list(raw.shape)}; "
            "labels are class numbers, or one-hot rows"
        )
    return labels.astype(np.int64)
