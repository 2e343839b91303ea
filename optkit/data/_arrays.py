"""NumPy arrays of untrusted files: what a header declares is judged before anything is allocated, no pickle is read."""

from __future__ import annotations

import math
import mmap
import zipfile
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from optkit.data._assemble import Given, Raw
from optkit.data._files import memory_limit, open_regular
from optkit.data._inputs import Together
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path
    from types import EllipsisType

    from optkit.data import Examples

TRAIN = (("x_train", "y_train"),)
VALIDATION = (("x_val", "y_val"), ("x_valid", "y_valid"), ("x_validation", "y_validation"))
TEST = (("x_test", "y_test"),)
WHOLE = (("images", "labels"), ("x", "y"), ("X", "y"))
# All axes of a video in colour are five.
_MOST_AXES = 8
_MOST_TEXT_BYTES = 4096
# Deflate reaches 1,032 at most, on zeros; below a mebibyte nothing can be harmed.
_MOST_EXPANSION = 1000
_SMALL_BYTES = 1 << 20


class Header(NamedTuple):
    """What an .npy file says that it holds.

    Attributes:
        shape: Every axis 1 or more.
        fortran_order: Whether the first axis is the fastest.
        dtype: Numbers or text.
        offset: Bytes before the values.
    """

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    offset: int

    @property
    def value_bytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes], where: str) -> Header:
    """Read an .npy header.

    Raises:
        InputError: There is none, or what it declares is no array of numbers or text.
    """
    formats = np.lib.format
    try:
        version = formats.read_magic(stream)
        read = {(1, 0): formats.read_array_header_1_0, (2, 0): formats.read_array_header_2_0}[version]
        shape, fortran_order, dtype = read(stream)
    except Exception as error:
        # numpy, as zipfile below, raises whatever the damage makes it stumble over.
        raise _no_array(where, _short(error)) from error
    if dtype.hasobject or dtype.kind not in "buifUS" or not 0 < dtype.itemsize <= _MOST_TEXT_BYTES:
        raise _no_array(where, f"values of type {str(dtype)[:60]}")
    if len(shape) > _MOST_AXES or any(axis < 0 for axis in shape):
        raise _no_array(where, f"the shape {str(shape)[:60]}")
    return Header(shape, fortran_order, dtype, stream.tell())


class Mapped:
    """The array of an .npy file, of which no more is in memory than was asked for last.

    Args:
        path: The file.

    Raises:
        InputError: The file is no such array, or shorter than it says.
    """

    def __init__(self, path: Path) -> None:
        with open_regular(path) as file:
            header = read_header(file, str(path))
            size = file.seek(0, 2)
            declared = header.offset + header.value_bytes
            if size < declared:
                raise _no_array(str(path), f"{size} bytes where its header declares {declared}: it was cut")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.shape, self.dtype = header.shape, header.dtype
        order: Literal["C", "F"] = "F" if header.fortran_order else "C"
        self._array: np.ndarray = np.ndarray(self.shape, self.dtype, self._map, header.offset, order=order)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | np.ndarray | EllipsisType) -> np.ndarray:
        found = np.array(self._array[chosen], order="C")
        # What was read stays in the system's cache, but is no longer this process's memory.
        self._map.madvise(mmap.MADV_DONTNEED)
        return found


class Archive:
    """The arrays of an .npz file by name, each read when it is asked for; nothing is unpacked to disk.

    Args:
        path: The file.

    Raises:
        InputError: It is no such archive.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = memory_limit()
        with open_regular(path) as file:
            try:
                with zipfile.ZipFile(file) as archive:
                    members = archive.infolist()
            except Exception as error:
                raise _no_array(str(path), _short(error)) from error
        self._members = {one.filename.removesuffix(".npy"): one for one in members if one.filename.endswith(".npy")}

    @property
    def names(self) -> Collection[str]:
        """Names of the arrays."""
        return self._members.keys()

    def read(self, name: str) -> np.ndarray:
        """One array, in memory.

        Raises:
            InputError: It is damaged, or larger than it may be.
        """
        member, where = self._members[name], f"{name} in {self._path}"
        if member.file_size > _SMALL_BYTES and member.file_size > _MOST_EXPANSION * max(1, member.compress_size):
            raise InputError(
                f"{where} is {member.compress_size} bytes and would expand to {member.file_size}, over "
                f"{_MOST_EXPANSION} times as much; write it with numpy.savez, uncompressed, if it is meant so"
            )
        if member.file_size > self._left:
            raise InputError(
                f"{where} takes {member.file_size / 2**30:.1f} GiB in memory, {self._left / 2**30:.1f} are allowed; "
                "store the arrays as .npy files in a folder, which are read piece by piece"
            )
        self._left -= member.file_size
        with open_regular(self._path) as file:
            try:
                with zipfile.ZipFile(file) as archive, archive.open(member) as stream:
                    header = read_header(stream, where)
                    return _read_values(stream, header, member.file_size - header.offset, where)
            except InputError:
                raise
            except Exception as error:
                raise _no_array(where, _short(error)) from error


def _read_values(stream: IO[bytes], header: Header, declared: int, where: str) -> np.ndarray:
    """The values after a header, in pieces: a damaged archive may end long before what it declares."""
    if header.value_bytes != declared:
        raise _no_array(where, f"{declared} bytes of values where its header declares {header.value_bytes}")
    values = np.empty(header.value_bytes, np.uint8)
    have = 0
    while piece := stream.read(1 << 20):
        if have + len(piece) > len(values):
            raise _no_array(where, "more bytes than its header declares")
        values[have : have + len(piece)] = np.frombuffer(piece, np.uint8)
        have += len(piece)
    if have != len(values):
        raise _no_array(where, f"{have} bytes of {len(values)}")
    array = values.view(header.dtype)
    return array.reshape(header.shape, order="F" if header.fortran_order else "C")


def named_parts(name: str, names: Collection[str], read: Callable[[str], Examples], layout: str) -> Raw:
    """The parts that arrays of the usual names hold.

    Args:
        name: What the data are called in messages and in the report.
        names: Names that are there.
        read: Gives an array by its name.
        layout: What is expected, for messages.

    Raises:
        InputError: None of the names is known.
    """

    def part(pairs: tuple[tuple[str, str], ...]) -> Given | None:
        for images, labels in pairs:
            inputs = sorted(one for one in names if one.startswith(f"{images}."))
            if images in names and inputs:
                raise InputError(f"expected one array {images} or one for each input in {name}, found both: {inputs}")
            if images in names or inputs:
                examples = read(images) if images in names else _together(inputs, read, name)
                return Given(f"{images} of {name}", examples, in_memory(read(labels)) if labels in names else None)
        return None

    train, test = part(TRAIN), part(TEST)
    validation = part(VALIDATION)
    whole = None if train or test or validation else part(WHOLE)
    if not (train or test or validation or whole):
        found = ", ".join(sorted(names)[:10]) or "none"
        raise InputError(
            f"expected arrays 'x_test' and 'y_test' or 'images' and 'labels' in {name}, found {found}; {layout}"
        )
    return Raw(name, layout, train, validation, test, whole)


def _together(found: list[str], read: Callable[[str], Examples], name: str) -> Examples:
    """The arrays ``x_train.NAME`` of a part, each the input NAME of a model with several.

    Raises:
        InputError: They do not hold equally many examples, or one holds none.
    """
    inputs = {one.partition(".")[2]: read(one) for one in found}
    counts = {key: one.shape[0] if one.shape else 0 for key, one in inputs.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        listed = ", ".join(f"{one} {counts[one.partition('.')[2]]}" for one in found)
        raise InputError(f"expected equally many examples for each input in {name}, found {listed}")
    # One number for each example is a row of one value.
    rows = {key: one if len(one.shape) > 1 else in_memory(one)[:, None] for key, one in inputs.items()}
    return Together(rows) if len(rows) > 1 else next(iter(rows.values()))


def in_memory(examples: Examples) -> np.ndarray:
    """All of an array, as labels are."""
    return examples[...] if isinstance(examples, Mapped) else np.asarray(examples)


def _no_array(where: str, reason: str) -> InputError:
    return InputError(
        f"expected NumPy arrays in {where}, found something else ({reason}); write it with numpy.save or numpy.savez, "
        "without Python objects"
    )


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
