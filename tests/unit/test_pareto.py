"""The front of small files: how files are chosen, and that what is committed is what the record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from benchmarks.pareto import page
from benchmarks.pareto.choose import Place, chosen
from benchmarks.pareto.finish import Finished
from benchmarks.pareto.outcome import Delivered, read
from benchmarks.pareto.plan import ROWS, TASK
from optkit import data, store, tflite_schema
from optkit.measure import accuracy
from optkit.statistics import wilson_interval

if TYPE_CHECKING:
    import numpy as np

FRONT = Path(__file__).parents[2] / "benchmarks" / "pareto"
FILES = {(one.most_bytes, one.column): one for one in read(FRONT)}


def finished(net: str, file_bytes: int, right: int, column: str = "int8") -> Finished:
    given = {"net": net, "seed": 0, "column": column, "sha256": net, "file_bytes": file_bytes, "parameters": 1}
    counts = {"correct": right, "augmented": 8 * right, "total": 5_000, "augmented_total": 40_000}
    return msgspec.convert({**given, **counts}, Finished)


def test_the_best_on_validation_images_that_fits_is_chosen_and_4_bits_only_where_allowed() -> None:
    files = [
        finished("small", 4_096, 4_900),
        finished("worse", 6_000, 4_899),
        finished("best", 6_144, 4_950),
        finished("narrow", 4_000, 4_910, "int4"),
        finished("large", 70_000, 4_999),
    ]
    found = {place: known.net for place, known in chosen(files).items()}
    assert found[Place(4_096, "int8")] == "small"
    assert found[Place(4_096, "int4")] == "narrow"
    assert found[Place(6_144, "int8")] == found[Place(65_536, "int4")] == "best"
    assert chosen([finished("large", 70_000, 4_999)]) == {}


def test_of_equally_good_files_the_smaller_is_chosen() -> None:
    files = [finished("more", 4_000, 4_900), finished("less", 3_900, 4_900)]
    assert chosen(files)[Place(4_096, "int8")].net == "less"


def test_every_place_of_the_front_has_a_file_within_its_limit() -> None:
    assert set(FILES) == {(row.most_bytes, column) for row in ROWS for column in ("int8", "int4")}
    record = json.loads((FRONT / "results.json").read_bytes())
    looked_at = {look["sha256"]: look["correct"] for look in record["looks"]}
    for one in FILES.values():
        path = FRONT / "files" / one.file
        assert path.stat().st_size == one.file_bytes <= one.most_bytes
        assert looked_at[store.sha256_file(path)] == one.correct
        assert one.ci95 == pytest.approx(wilson_interval(one.correct, 10_000))
    assert {path.name for path in (FRONT / "files").iterdir()} == {one.file for one in FILES.values()}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    dataset = data.load("mnist")
    return dataset.real(dataset.test.images[:], (28, 28, 1)), dataset.test.labels


@pytest.mark.parametrize("one", FILES.values(), ids=lambda one: f"{one.most_bytes}-{one.column}")
def test_the_record_is_what_litert_answers(one: Delivered, digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    path = FRONT / "files" / one.file
    assert int((accuracy.answers(path, images, task=TASK) == labels).sum()) == one.correct
    graph = tflite_schema.parse(path.read_bytes()).subgraphs[0]
    types = tflite_schema.names_of("TensorType")
    found = {types[tensor.type] for tensor in graph.tensors}
    assert found <= {"INT8", "INT32"} | ({"INT4"} if one.column == "int4" else set())
    assert list(graph.tensors[graph.inputs[0]].shape) == [1, 28, 28, 1]
    assert types[graph.tensors[graph.inputs[0]].type] == "INT8"


def test_the_page_and_the_picture_are_those_of_the_record(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes((FRONT / "results.json").read_bytes())
    page.write(tmp_path)
    for name in ("README.md", "front.svg"):
        assert (tmp_path / name).read_bytes() == (FRONT / name).read_bytes()
    # Each place, and one of each colour in the legend.
    assert (tmp_path / "front.svg").read_text(encoding="utf-8").count('class="dot ') == len(FILES) + 2
