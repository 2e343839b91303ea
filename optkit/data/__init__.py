"""Data sets, and how their examples are fed to a model."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from optkit import registry
from optkit.data._inputs import parts, together
from optkit.data._views import Chosen, First, chunks
from optkit.errors import InputError, nearest
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import numpy as np

    from optkit.data._inputs import Form


class Examples(Protocol):
    """Raw inputs [n, …] in memory, mapped from a file, or read when asked for; a NumPy array is one.

    ``shape`` is that of all examples, ``dtype`` what they are stored as: for several inputs a structure with a field
    for each, see ``_inputs``. Taking some by a slice or an array of positions gives a NumPy array of its own.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """All axes, examples first."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the raw values."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray: ...


class DataSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which data, and how raw values become real inputs.

    Attributes:
        source: Name of a data set of the package, or a path (see ``optkit.data`` plug-ins with ``accepts``).
        preprocessing: As declared; ``None`` where nothing was, then data of the package have their own and others are
            used as they are.
        target: Column of a table that holds the labels; the last when ``None``.
        calibration: Path of other data for the representative data set; from the training part when ``None``.
    """

    source: str = "mnist"
    preprocessing: Preprocessing | None = None
    target: str | None = None
    calibration: str | None = None


@dataclass(frozen=True)
class Part:
    """``images`` raw values [n, …], and ``labels`` int64 [n] (class numbers) or float32 [n] (values to predict)."""

    images: Examples
    labels: np.ndarray

    def first(self, count: int) -> Part:
        """The first ``count`` examples."""
        return Part(First(self.images, count), self.labels[:count])


@dataclass(frozen=True)
class Dataset:
    """A data set with its fixed split.

    Attributes:
        name: For the report.
        sha256: Over all content.
        classes: Number of classes, 0 where labels are values.
        class_names: Names in the order of the class numbers; empty where there are none.
        train: Training part.
        validation: Validation part, on which choices are made.
        test: Test part; read once per finished file.
        calibration: Positions in ``train`` in a fixed, seeded order: the first n of them are the representative
            data set of size n.
        calibration_images: Raw images [n, …] that take their place, where the user gave some.
        preprocessing: How raw values become real inputs.
        warnings: What is doubtful about the data, for the report.
    """

    name: str
    sha256: str
    classes: int
    class_names: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    calibration: np.ndarray
    calibration_images: Examples | None
    preprocessing: Preprocessing
    warnings: tuple[str, ...] = ()

    def real(self, raw: np.ndarray, form: Form | None = None) -> np.ndarray:
        """Real inputs of raw values, see ``to_real``."""
        return to_real(raw, self.preprocessing, form)


def load(spec: DataSpec | str, *, train_samples: int | None = None) -> Dataset:
    """Load data.

    Args:
        spec: Which; a text is the source alone.
        train_samples: Keep only so many training examples; all of them when ``None``.

    Raises:
        InputError: There are no such data, or they cannot be used.
    """
    import numpy as np

    wanted = DataSpec(spec) if isinstance(spec, str) else spec
    dataset = _whole(wanted, _stamp(wanted))
    if train_samples is None or train_samples >= len(dataset.train.labels):
        return dataset
    order = np.random.default_rng(0).permutation(train_samples)
    return replace(dataset, train=dataset.train.first(train_samples), calibration=order)


def preload(spec_json: str) -> None:
    """Load the data of a spec in JSON, so that forked workers inherit what is kept in memory."""
    spec = msgspec.json.decode(spec_json, type=DataSpec)
    _whole(spec, _stamp(spec))


def _stamp(spec: DataSpec) -> tuple[int, int] | None:
    """What changes when a file is written anew, so that what is kept in memory is read again; ``None`` without one."""
    try:
        there = os.stat(spec.source)  # noqa: PTH116  # a name that is no path raises in Path
    except (OSError, ValueError):
        return None
    return there.st_mtime_ns, there.st_size


@functools.cache
def _whole(spec: DataSpec, _: tuple[int, int] | None) -> Dataset:
    import numpy as np

    from optkit.data import _checks

    module = source(spec.source)
    check_target(spec, module)
    dataset: Dataset = module.load(spec)
    _checks.check_preprocessing(dataset.train.images, dataset.preprocessing)
    if spec.calibration is not None:
        dataset = replace(dataset, calibration_images=_calibration_images(spec, dataset))
    # One copy serves everyone in this process and in its forked workers.
    for part in (dataset.train, dataset.validation, dataset.test):
        for array in (part.images, part.labels):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
    dataset.calibration.flags.writeable = False
    return dataset


def is_built_in(name: str) -> bool:
    """Whether that is a data set of the package, and no path."""
    return name in registry.names("data") and not hasattr(registry.load("data", name), "accepts")


def source(name: str) -> ModuleType:
    """The plug-in that loads data: by its name, or the one that accepts the path.

    Raises:
        InputError: There is none, with what is there instead.
    """
    if is_built_in(name):
        return registry.load("data", name)
    modules = {known: registry.load("data", known) for known in registry.names("data")}
    files = [module for module in modules.values() if hasattr(module, "accepts")]
    built_in = [known for known, module in modules.items() if module not in files]
    path = Path(name)
    try:
        for module in files:
            if name and module.accepts(path):
                return module
        # Pairs of files have no path of their own; a path that is too long raises.
        folder = "a folder with none of x_train.npy, train.csv and folders of pictures"
        found = folder if path.is_dir() else "a file of another kind" if path.exists() else "nothing there"
    except (OSError, ValueError) as error:
        found = str(getattr(error, "strerror", None) or error)
    raise InputError(
        f"--data expects a data set or your own file or folder (.npz, .npy, .csv, pictures), found {name[:200]!r}, "
        f"{found}: {nearest(name[:200], built_in)}"
    )


def check_target(spec: DataSpec, module: ModuleType) -> None:
    """Refuse a column of labels where the source has no columns.

    Raises:
        InputError: As said.
    """
    if spec.target is not None and not getattr(module, "HAS_COLUMNS", False):
        raise InputError(
            f"--target names a column of a table, and --data {spec.source[:200]} is none (.csv, or a folder with "
            "train.csv and test.csv); leave it out"
        )


def _calibration_images(spec: DataSpec, dataset: Dataset) -> Examples:
    """The user's own examples for the representative data set, which must be like those of training.

    Raises:
        InputError: They cannot be read or are not.
    """
    import numpy as np

    from optkit.data import _checks
    from optkit.data._assemble import examples_of

    where = f"the calibration data {spec.calibration}"
    images = examples_of(msgspec.structs.replace(spec, source=spec.calibration, calibration=None), where)
    _checks.check_numbers(images, None, where)
    _checks.check_alike({f"the training data {spec.source}": dataset.train.images, where: images})
    return Chosen(images, np.arange(len(images)), _checks.scan(images, where))


def check_outputs(dataset: Dataset, outputs: int) -> None:
    """Refuse labels that a model has no output for.

    Args:
        dataset: Labels that are values are not looked at.
        outputs: Classes that the model tells apart.

    Raises:
        InputError: Some label is ``outputs`` or more.
    """
    if not dataset.classes:
        return
    for name, part in (("training", dataset.train), ("validation", dataset.validation), ("test", dataset.test)):
        beyond = int((part.labels >= outputs).sum())
        if beyond:
            raise InputError(
                f"{beyond} of {len(part.labels)} {name} labels of {dataset.name} are outside the model's outputs: they "
                f"go up to {int(part.labels.max())}, the model has {outputs} (0 to {outputs - 1}); give the data that "
                "it was trained for"
            )


def to_real(raw: np.ndarray, preprocessing: Preprocessing, form: Form | None = None) -> np.ndarray:
    """Real values, see ``Preprocessing``.

    Args:
        raw: [n, …], any numbers; channels last. Of several inputs a structure [n] with a field for each.
        preprocessing: Scale, mean and standard deviation; pictures already have their size and channels.
        form: The model's input shape without the batch axis, such as (28, 28, 1), (28, 28) or (784,), or of several
            inputs each one's by its name; that of the raw values when ``None``. -1 takes what is left.

    Returns:
        float32 [n, *form], or a structure [n] of such fields, in the order of ``form``.
    """
    from optkit.device.ports import rescale

    if raw.dtype.names:
        forms = form if isinstance(form, Mapping) else dict.fromkeys(raw.dtype.names)
        inputs = parts(raw)
        return together({name: to_real(inputs[name], preprocessing, shape) for name, shape in forms.items()})
    real = rescale(raw, preprocessing.scale, preprocessing.mean, preprocessing.std)
    if form is None:
        return real
    return real.reshape(len(raw), *form)


def overlap(first: Examples, second: Examples) -> int:
    """How many examples of ``first`` are also in ``second``, by hash of their raw content.

    Args:
        first: Raw values [n, …].
        second: Raw values [m, …].
    """
    known = set(digests(second))
    return sum(digest in known for digest in digests(first))


def digests(examples: Examples) -> Iterator[bytes]:
    """A hash of the raw content of each example, in order."""
    import numpy as np

    known: np.ndarray | None = getattr(examples, "digests", None)
    if known is not None:
        # Of the file sources, whose examples were all looked at when they were loaded.
        yield from (one.tobytes() for one in known)
        return
    for chunk in chunks(examples):
        for one in chunk:
            yield hashlib.blake2b(np.ascontiguousarray(one).tobytes(), digest_size=16).digest()
