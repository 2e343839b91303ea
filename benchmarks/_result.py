"""A benchmark's result: figures beside their limits, and the environment that they come from."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from optkit import environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Figure(NamedTuple):
    """One measured figure; ``limit`` is what was promised, ``sign`` how they compare (``<=``, ``>=``)."""

    name: str
    value: float
    sign: str
    limit: float | None
    unit: str

    @property
    def reached(self) -> bool:
        """Whether the promise is kept; a figure without a limit promises nothing."""
        if self.limit is None:
            return True
        return self.value <= self.limit if self.sign == "<=" else self.value >= self.limit


def write(folder: Path, name: str, figures: Sequence[Figure], more: dict[str, object]) -> list[str]:
    """Write ``NAME.json`` and print a table.

    Returns:
        A line for each figure that was not reached.
    """
    described = msgspec.to_builtins(environment.describe())
    content = {
        "benchmark": name,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "environment": described,
        "figures": [{**figure._asdict(), "reached": figure.reached} for figure in figures],
        **more,
    }
    folder.mkdir(exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(content, order="sorted"))
    (folder / f"{name}.json").write_bytes(text + b"\n")
    for figure in figures:
        mark = "ok" if figure.reached else "NOT REACHED"
        limit = "" if figure.limit is None else f"{figure.sign} {figure.limit:g}"
        print(f"{figure.name:58} {figure.value:12.4f} {limit:>12} {figure.unit:10} {mark}")
    return [f"{f.name}: {f.value:g} {f.unit}, promised {f.sign} {f.limit:g}" for f in figures if not f.reached]
