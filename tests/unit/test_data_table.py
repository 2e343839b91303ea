"""Tables: header or none, numbers only, labels of every kind, and files that are no tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from optkit import data
from optkit.data import DataSpec, table
from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [f"{number},{number * 0.5},{'yes' if number % 3 else 'no'}" for number in range(60)]


def written(folder: Path, *lines: str, name: str = "data.csv") -> str:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("header", [(), ("a,b,answer",), ("\ufeffa,b,answer",), ("a,b,answer", "")])
def test_a_header_may_be_there_or_not(tmp_path: Path, header: tuple[str, ...]) -> None:
    dataset = data.load(written(tmp_path, *header, *ROWS))
    assert [len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)] == [36, 12, 12]
    assert (dataset.train.images.shape, dataset.train.images.dtype) == ((36, 2), np.float32)
    assert dataset.class_names == ("no", "yes")
    for part in (dataset.train, dataset.validation, dataset.test):
        rows = part.images[:]
        assert np.array_equal(rows[:, 1], rows[:, 0] / 2)
        assert np.array_equal(part.labels, rows[:, 0] % 3 != 0)


def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path) -> None:
    dataset = data.load(written(tmp_path, "\ufeff" + ROWS[0], *ROWS[1:]))
    assert len(dataset.train.labels) + len(dataset.validation.labels) + len(dataset.test.labels) == 60


@pytest.mark.parametrize("target", ["kind", "2"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_target_by_name_or_number(tmp_path: Path, target: str, delimiter: str) -> None:
    lines = ["a,kind,b", *[f'{number},"{number % 4}",{number / 7}' for number in range(40)]]
    source = written(tmp_path, *[line.replace(",", delimiter) for line in lines])
    dataset = data.load(DataSpec(source, target=target))
    assert (dataset.classes, dataset.class_names) == (4, ())
    assert np.array_equal(dataset.train.labels, dataset.train.images[:][:, 0] % 4)


def test_labels_with_a_point_are_values(tmp_path: Path) -> None:
    dataset = data.load(written(tmp_path, *[f"{number},{number * 1.5}" for number in range(40)]))
    assert (dataset.classes, dataset.train.labels.dtype) == (0, np.float32)
    assert np.allclose(dataset.train.labels, dataset.train.images[:][:, 0] * 1.5)


def test_a_folder_with_parts(tmp_path: Path) -> None:
    written(tmp_path, "a,b,k", *ROWS[:40], name="train.csv")
    written(tmp_path, "a,b,k", *ROWS[40:], name="test.csv")
    dataset = data.load(str(tmp_path))
    assert [len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)] == [30, 10, 20]
    assert dataset.test.images[:][:, 0].tolist() == list(range(40, 60))
    written(tmp_path, "b,a,k", *ROWS[40:], name="test.csv")
    data._whole.cache_clear()
    with pytest.raises(InputError, match="expected the same columns"):
        data.load(str(tmp_path))


REFUSED = {
    "text": (["a,colour,k", "1,red,0"], "column colour, line 2 of .*found 'red'; encode text as numbers"),
    "an empty field": (["a,b,k", "1,2,0", "1,,0"], "column b, line 3 of .*empty field"),
    "an empty label": (["1,2,"], "expected a label in line 1"),
    "ragged": (["1,2,0", "1,2"], "expected 3 fields in line 2 of .*found 2"),
    "one column": (["1", "2"], "found 1 in all"),
    "no rows": (["a,b,k"], "expected rows below the names"),
    "nothing": ([""], "expected rows in"),
    "a huge field": ([*ROWS, "9" * 200_000 + ",1,yes"], "field larger than field limit"),
    "a huge label": ([*ROWS, "1,2," + "y" * 1000], "at most 200 characters"),
    "infinity": ([*ROWS, "1,inf,yes"], "NaN or infinity"),
    "more than float32": ([*ROWS, "1,1e200,yes"], "NaN or infinity"),
    "a label that is no number": ([*[f"{n},{n}.5" for n in range(30)], "3,nan"], "expected finite labels"),
    "a quote without end": (['1,"2,3'], "something else"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    lines, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        data.load(written(tmp_path, *lines))


def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    source = written(tmp_path, "a,b,k", *ROWS)
    for target in ("c", "4", "0", "9" * 50, "²"):
        with pytest.raises(InputError, match=r"--target expects a column.*its first line is a, b, k"):
            data.load(DataSpec(source, target=target))


def test_bytes_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"\x89PNG\r\n" + bytes(range(256)) * 20)
    with pytest.raises(InputError, match="write it as CSV in UTF-8"):
        data.load(str(path))
    monkeypatch.setattr(table, "_LONGEST_LINE", 1000)
    path.write_text("1," * 3000)
    with pytest.raises(InputError, match="a line of over 1000 characters"):
        data.load(str(path))
    monkeypatch.setattr(table, "memory_limit", lambda: 100)
    with pytest.raises(InputError, match=r"store it as \.npy files"):
        data.load(written(tmp_path, *ROWS))
