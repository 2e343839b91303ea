"""Bytes and zeros are counted as they are stored."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from optkit.measure.size import measure_compute, measure_size, nonzero
from optkit.readback import Constant, ModelFacts, Operator

if TYPE_CHECKING:
    from pathlib import Path


def constant(values: Any, **changes: Any) -> Constant:
    array = np.array(values)
    fields: dict[str, Any] = {
        "name": "w",
        "role": "weight",
        "operator": 0,
        "dtype": str(array.dtype),
        "values": array,
        "channel_axis": 0,
        "scales": (),
        "zero_points": (),
        "file_bytes": array.nbytes,
    }
    return Constant(**{**fields, **changes})


def facts(path: Path, constants: list[Constant], macs: tuple[int | None, ...] = (), **changes: Any) -> ModelFacts:
    operators = tuple(Operator("CONV_2D", f"op{at}", count, ("int8",), ("int8",)) for at, count in enumerate(macs))
    size = path.stat().st_size
    return ModelFacts("tflite", size, (), (), operators, tuple(constants), **changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.tflite"
    path.write_bytes(b"weights " * 50)
    return path


def test_bytes_are_where_they_are_and_sum_up(file: Path) -> None:
    found = measure_size(
        file,
        facts(
            file,
            [
                constant(np.ones((4, 25), np.int8)),
                constant(np.ones(4, np.int32), role="bias"),
                constant(np.ones(2, np.int32), role="other"),
            ],
            scale_bytes=20,
            name_bytes=56,
            padding_bytes=30,
        ),
    )
    assert found.file_bytes == 400
    assert found.weight_bytes == 116
    assert found.overhead_bytes == 284
    assert found.bytes_by_kind == {
        "weights": 100,
        "biases": 16,
        "scales_and_constants": 28,
        "names": 56,
        "padding": 30,
        "structure": 170,
    }
    assert sum(found.bytes_by_kind.values()) == found.file_bytes
    assert (found.parameters, found.nonzero_parameters) == (104, 104)


def test_gzip_is_level_nine_and_always_the_same(file: Path) -> None:
    random = np.random.default_rng(0)
    content = (random.integers(-5, 6, 20_000) * (random.random(20_000) < 0.1)).astype(np.int8).tobytes()
    file.write_bytes(content)
    found = measure_size(file, facts(file, []))
    assert found.gzip_bytes == len(gzip.compress(content, 9)) < len(gzip.compress(content, 6))
    assert found == measure_size(file, facts(file, []))


def test_a_file_beside_it_ships_with_it(file: Path) -> None:
    beside = file.with_name("a.data")
    beside.write_bytes(bytes(1000))
    one = facts(file, [constant(np.ones(300, np.float32))], external_files=("a.data",))
    found = measure_size(file, one)
    assert found.file_bytes == 1400
    assert found.gzip_bytes > measure_size(file, facts(file, [])).gzip_bytes
    assert sum(found.bytes_by_kind.values()) == 1400


def test_a_shared_buffer_is_counted_once(file: Path) -> None:
    stored, shared = constant(np.ones(10, np.int8)), constant(np.ones(10, np.int8), file_bytes=0)
    assert measure_size(file, facts(file, [stored, shared])).parameters == 10


@pytest.mark.parametrize(
    ("values", "zero_points", "axis", "count"),
    [
        ([[0.0, -0.0], [1.0, 2.0]], (), 0, 2),
        ([[3, 0], [3, 3]], (3,), 0, 1),
        ([[3, 0], [3, 3]], (3, 0), 0, 3),
        ([[3, 0], [3, 3]], (3, 0), 1, 1),
        # A bias: one zero point a channel, all equal, and no axis is given.
        ([0, 5, 0], (0, 0, 0), None, 1),
    ],
)
def test_a_value_at_its_zero_point_is_zero(
    values: list, zero_points: tuple[int, ...], axis: int | None, count: int
) -> None:
    assert nonzero(constant(values, zero_points=zero_points, channel_axis=axis)) == count


def test_zero_points_without_an_axis_are_refused() -> None:
    with pytest.raises(ValueError, match="no axis"):
        nonzero(constant([1, 2], zero_points=(0, 1), channel_axis=None))


@pytest.mark.parametrize(("macs", "total"), [((3, 4, 0), 7), ((3, None), None), ((), 0)])
def test_macs_are_null_when_any_cannot_be_told(file: Path, macs: tuple[int | None, ...], total: int | None) -> None:
    assert measure_compute(facts(file, [], macs)).macs == total
