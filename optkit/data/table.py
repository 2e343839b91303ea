"""CSV files: one example per row, numbers in all columns but the one with the labels."""

from __future__ import annotations

import csv
import io
import itertools
import re
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optkit.data import _assemble
from optkit.data._assemble import Given, Raw
from optkit.data._files import memory_limit, open_regular
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optkit.data import Dataset, DataSpec

SUMMARY = "FILE.csv, which is split, or FOLDER with train.csv and test.csv; labels in the last column or in --target"
SOURCE = "RFC 4180, UTF-8; commas, semicolons or tabs; the line with names is optional"
# Whether --target can name the labels.
HAS_COLUMNS = True
LAYOUT = "give one .csv file to have it split, or a folder with train.csv and test.csv"
_SUFFIXES = (".csv", ".tsv")
_VALIDATION = ("val", "validation", "valid")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
# Characters; some million columns.
_LONGEST_LINE = 16 << 20
# Characters; all labels of a table take as much memory as the longest.
_LONGEST_LABEL = 200


class _Table(NamedTuple):
    """``rows`` float32 [n, columns], ``labels`` [n] whole numbers, floats or text; names of the columns, if any."""

    rows: np.ndarray
    labels: np.ndarray
    columns: tuple[str, ...]


def accepts(path: Path) -> bool:
    """Whether this source reads the path."""
    if path.suffix.lower() in _SUFFIXES:
        return True
    return path.is_dir() and any(
        (path / f"{name}{suffix}").is_file() for name in ("train", "test") for suffix in _SUFFIXES
    )


def read(spec: DataSpec) -> Raw:
    """The tables in memory, 4 bytes for each number.

    Raises:
        InputError: A file cannot be read, or a column cannot be used.
    """
    path = Path(spec.source)
    if not path.is_dir():
        table = _read_table(path, spec.target)
        return Raw(path.name, LAYOUT, whole=Given(str(path), table.rows, table.labels))
    tables = {}
    for name in ("train", "test", *_VALIDATION):
        there = [file for suffix in _SUFFIXES if (file := path / f"{name}{suffix}").is_file()]
        if there:
            tables[name] = (there[0], _read_table(there[0], spec.target))
    (first, one), *others = tables.values()
    for other_file, other in others:
        if one.columns != other.columns or one.rows.shape[1] != other.rows.shape[1]:
            raise InputError(f"expected the same columns in {first} and {other_file}, found others; write them alike")
    given = {name: Given(str(file), table.rows, table.labels) for name, (file, table) in tables.items()}
    validation = next((given[name] for name in _VALIDATION if name in given), None)
    return Raw(path.resolve().name, LAYOUT, given.get("train"), validation, given.get("test"))


def load(spec: DataSpec) -> Dataset:
    """Read, split where needed, and check.

    Raises:
        InputError: The data cannot be used.
    """
    return _assemble.dataset(read(spec), spec)


def _read_table(path: Path, target: str | None) -> _Table:
    """One file.

    Raises:
        InputError: It is no table of numbers with one column of labels.
    """
    with open_regular(path) as file:
        size = file.seek(0, 2)
        if size > memory_limit():
            raise InputError(
                f"{path} has {size / 2**30:.1f} GiB, {memory_limit() / 2**30:.1f} are allowed; store it as .npy "
                "files in a folder, which are read piece by piece"
            )
        file.seek(0)
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            return _parse(_rows(text), path, target)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(
                f"expected a table in {path}, found something else ({str(error)[:120]}); write it as CSV in UTF-8"
            ) from error


def _rows(text: io.TextIOWrapper) -> Iterator[tuple[int, list[str]]]:
    """Each row with its line number; blank ones are passed over."""
    head = text.readline(_LONGEST_LINE)
    delimiter = max(",;\t", key=head.count)
    text.seek(0)
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    for row in reader:
        if row and (len(row) > 1 or row[0].strip()):
            yield reader.line_num, [field.strip() for field in row]


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines, none of which may fill the memory."""
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"a line of over {_LONGEST_LINE} characters")
        yield line


class _Layout(NamedTuple):
    """How the rows of a file are laid out: number of fields, position of the label, names of the columns, if any."""

    path: Path
    fields: int
    label: int
    columns: tuple[str, ...]

    def named(self, position: int) -> str:
        """What a message calls a column."""
        return self.columns[position][:60] if self.columns else f"number {position + 1}"


def _parse(rows: Iterator[tuple[int, list[str]]], path: Path, target: str | None) -> _Table:
    found = next(rows, None)
    if found is None:
        raise InputError(f"expected rows in {path}, found none; write an example in each")
    first = found[1]
    if len(first) < 2:
        raise InputError(f"expected a column of labels and others of numbers in {path}, found {len(first)} in all")
    at = _target(first, target, path)
    has_header = any(_number(field) is None for position, field in enumerate(first) if position != at) or (
        target is not None and first[at] == target and _number(target) is None
    )
    layout = _Layout(path, len(first), at, tuple(first) if has_header else ())
    values = array("f")
    labels: list[str] = []
    for line, row in rows if has_header else itertools.chain([found], rows):
        _check_row(row, line, layout)
        labels.append(row[at])
        try:
            values.extend(map(float, row[:at]))
            values.extend(map(float, row[at + 1 :]))
        except ValueError:
            raise _no_number(row, line, layout) from None
    if not labels:
        raise InputError(f"expected rows below the names in {path}, found none")
    table = np.frombuffer(values, np.float32).reshape(len(labels), layout.fields - 1)
    return _Table(table, _labels(labels), layout.columns)


def _target(first: list[str], target: str | None, path: Path) -> int:
    """Position of the label column: by its name, else by its number from 1 on.

    Raises:
        InputError: There is no such column.
    """
    if target is None:
        return len(first) - 1
    if first.count(target) == 1:
        return first.index(target)
    if target.isascii() and target.isdigit() and 1 <= int(target[:9]) <= len(first) and len(target) < 9:
        return int(target) - 1
    shown = ", ".join(first[:20]) + ("…" if len(first) > 20 else "")
    raise InputError(
        f"--target expects a column of {path} by its name or its number from 1 to {len(first)}, found {target!r}; "
        f"its first line is {shown[:300]}"
    )


def _check_row(row: list[str], line: int, layout: _Layout) -> None:
    """Refuse a row of another length, or without a usable label.

    Raises:
        InputError: As said.
    """
    if len(row) != layout.fields:
        raise InputError(
            f"expected {layout.fields} fields in line {line} of {layout.path}, found {len(row)}; mend the line"
        )
    label = row[layout.label]
    if not label:
        raise InputError(f"expected a label in line {line} of {layout.path}, found an empty field; fill it in")
    if len(label) > _LONGEST_LABEL:
        raise InputError(
            f"expected labels of at most {_LONGEST_LABEL} characters in {layout.path}, found {len(label)} in line "
            f"{line}; name the column of labels with --target"
        )


def _no_number(row: list[str], line: int, layout: _Layout) -> InputError:
    position = next(p for p, field in enumerate(row) if p != layout.label and _number(field) is None)
    where = f"column {layout.named(position)}, line {line} of {layout.path}"
    if not row[position]:
        return InputError(f"expected a number in {where}, found an empty field; fill it in, or leave the row out")
    return InputError(
        f"expected a number in {where}, found {row[position][:60]!r}; encode text as numbers, for example one column "
        "of 0 and 1 for each value (pandas.get_dummies)"
    )


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None


def _labels(texts: list[str]) -> np.ndarray:
    """Whole numbers as int64, other numbers as float64, else text."""
    if all(_WHOLE.fullmatch(text) for text in texts):
        return np.array([int(text) for text in texts], np.int64)
    numbers = [number for text in texts if (number := _number(text)) is not None]
    return np.array(numbers, np.float64) if len(numbers) == len(texts) else np.array(texts, np.str_)
