"""Which file fills which place of the front: by validation images alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.pareto.plan import ROWS, Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.pareto.finish import Finished

COLUMNS: tuple[Column, ...] = ("int8", "int4")


class Place(NamedTuple):
    """A row and a column of the front."""

    most_bytes: int
    column: Column


def file_name(place: Place) -> str:
    """The file that is delivered for a place."""
    return f"{place.most_bytes}-{place.column}.tflite"


def chosen(files: Sequence[Finished]) -> dict[Place, Finished]:
    """The file of the best score that is small enough for each place; of equal ones the smallest.

    Where kernels of 4 bits are allowed, those of 8 are as well.
    """
    found = {}
    for row in ROWS:
        for column in COLUMNS:
            able = [one for one in files if one.file_bytes <= row.most_bytes and column in {"int4", one.column}]
            if able:
                found[Place(row.most_bytes, column)] = max(able, key=lambda one: (one.score, -one.file_bytes))
    return found
