"""Labels as people keep them (class numbers, one-hot rows, text, values) brought to one form."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

# More than this are values that someone wrote without a decimal point, and would make huge tables.
_MOST_CLASSES = 100_000


class Labels(NamedTuple):
    """Labels of all parts.

    Attributes:
        parts: By part: int64 [n] class numbers, or float32 [n] values.
        classes: How many there are; 0 where labels are values.
        names: In the order of the class numbers; empty where there are none.
    """

    parts: dict[str, np.ndarray]
    classes: int
    names: tuple[str, ...]


def read_labels(raw: Mapping[str, np.ndarray], names: tuple[str, ...] = ()) -> Labels:
    """Bring labels to one form, the same for all parts.

    Whole numbers are classes, text becomes classes in sorted order, one-hot rows (exactly one 1) are counted by their
    columns. Numbers with a decimal point are values to predict, unless they are 0, 1, 2, … without a gap: then they
    are class numbers that were stored as floats.

    Args:
        raw: By the name that a message calls them by: [n], [n, 1] or one-hot [n, classes].
        names: Class names, where the source has them.

    Raises:
        InputError: They are none of these, or not the same in all parts.
    """
    columns = {where: _column(one, where) for where, one in raw.items()}
    kinds = {where: "text" if one.dtype.kind in "US" else "numbers" for where, (one, _) in columns.items()}
    if len(set(kinds.values())) > 1:
        raise InputError(
            f"labels must be of one kind, found {', '.join(f'{kind} in {where}' for where, kind in kinds.items())}"
        )
    if "text" in kinds.values():
        texts = {where: one.astype(str) for where, (one, _) in columns.items()}
        found = np.unique(np.concatenate([np.unique(one) for one in texts.values()]))
        parts = {where: np.searchsorted(found, one).astype(np.int64) for where, one in texts.items()}
        return Labels(parts, len(found), tuple(str(name) for name in found))
    numbers = {where: one for where, (one, _) in columns.items()}
    width = max(width for _, width in columns.values())
    if any(one.dtype.kind == "f" for one in numbers.values()):
        for where, one in numbers.items():
            if not np.isfinite(one).all():
                at = int(np.flatnonzero(~np.isfinite(one))[0])
                raise InputError(f"expected finite labels in {where}, found {one[at]} at position {at}; clean the data")
        if not _are_classes(numbers):
            return Labels({where: one.astype(np.float32) for where, one in numbers.items()}, 0, ())
    parts = {where: one.astype(np.int64) for where, one in numbers.items()}
    classes = len(names) or width or 1 + max(int(one.max()) for one in parts.values())
    _check_classes(parts, classes)
    return Labels(parts, classes, names)


def _check_classes(parts: Mapping[str, np.ndarray], classes: int) -> None:
    for where, one in parts.items():
        low, high = int(one.min()), int(one.max())
        if low < 0:
            raise InputError(f"expected labels from 0 on in {where}, found {low}; number the classes from 0")
        if high >= classes:
            raise InputError(
                f"expected labels from 0 to {classes - 1} in {where}, found {high}; one-hot labels of another part "
                f"have {classes} columns"
            )
    if classes > _MOST_CLASSES:
        raise InputError(
            f"labels go up to {classes - 1}, more than the {_MOST_CLASSES} classes that optkit takes; number them from "
            "0, or store values to predict as floats"
        )


def _column(raw: np.ndarray, where: str) -> tuple[np.ndarray, int]:
    """Labels [n], and the number of columns where they were one-hot rows.

    Raises:
        InputError: They are neither.
    """
    if raw.dtype.kind not in "buifUS" or raw.ndim not in (1, 2) or not len(raw):
        raise InputError(
            f"expected labels in {where}, found {raw.dtype} of shape {list(raw.shape)}; labels are class numbers, "
            "class names, one-hot rows, or values to predict"
        )
    if raw.ndim == 1:
        return raw, 0
    if raw.shape[1] == 1:
        return raw[:, 0], 0
    rows = np.asarray(raw)
    if rows.dtype.kind in "US" or not (((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise InputError(
            f"expected one label per example in {where}, found rows of {raw.shape[1]} that are not one-hot (a single "
            "1 among zeros); optkit judges one answer per example"
        )
    return rows.argmax(axis=1), int(rows.shape[1])


def _are_classes(numbers: Mapping[str, np.ndarray]) -> bool:
    """Whether floats are class numbers: 0, 1, 2, … without a gap."""
    found = np.unique(np.concatenate([np.unique(one) for one in numbers.values()]))
    return len(found) > 1 and bool((found == np.arange(len(found))).all())
