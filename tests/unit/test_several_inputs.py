"""Examples of several inputs: read by name, kept together, and given to each input of a file in its own type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from optkit import data
from optkit.data import _inputs
from optkit.data._evaluation import load_evaluation
from optkit.errors import InputError
from optkit.problem import Preprocessing
from optkit.readback import Port
from optkit.runtimes import _ports
from optkit.verify import input_range

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (200, 4, 5, 3), np.uint8)
TABLE = RANDOM.normal(size=(200, 6)).astype(np.float32)
AGE = RANDOM.integers(0, 90, 200)
LABELS = np.arange(200) % 4


def parts(**changed: np.ndarray) -> dict[str, np.ndarray]:
    found = {"y_train": LABELS[:150], "y_test": LABELS[150:]}
    for name, one in {"picture": PICTURES, "age": AGE, "b.table": TABLE}.items():
        found |= {f"x_train.{name}": one[:150], f"x_test.{name}": one[150:]}
    return found | changed


def written(folder: Path, **changed: np.ndarray) -> str:
    path = folder / "several.npz"
    np.savez(path, **parts(**changed))
    return str(path)


def test_arrays_by_the_name_of_their_input_are_one_data_set(tmp_path: Path) -> None:
    dataset = data.load(written(tmp_path))
    test = dataset.test.images[:]
    assert _inputs.form_in(dataset.test.images) == {"age": (1,), "b.table": (6,), "picture": (4, 5, 3)}
    assert test.dtype["picture"].base == np.uint8
    assert np.array_equal(test["picture"], PICTURES[150:])
    assert np.array_equal(test["b.table"], TABLE[150:])
    assert np.array_equal(test["age"][:, 0], AGE[150:])
    assert [len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)] == [112, 38, 50]
    rows = {one.tobytes(): label for one, label in zip(PICTURES, LABELS, strict=True)}
    for part in (dataset.train, dataset.validation):
        assert [rows[one.tobytes()] for one in part.images[:]["picture"]] == part.labels.tolist()


def test_one_array_with_a_name_is_one_input(tmp_path: Path) -> None:
    named = {f"x_{part}.picture" if kind == "x" else f"y_{part}": one for part, kind, one in _one_input()}
    np.savez(tmp_path / "named.npz", **named)
    np.savez(tmp_path / "plain.npz", **{f"{kind}_{part}": one for part, kind, one in _one_input()})
    assert data.load(str(tmp_path / "named.npz")).sha256 == data.load(str(tmp_path / "plain.npz")).sha256


def _one_input() -> list[tuple[str, str, np.ndarray]]:
    return [
        ("train", "x", PICTURES[:150]),
        ("test", "x", PICTURES[150:]),
        ("train", "y", LABELS[:150]),
        ("test", "y", LABELS[150:]),
    ]


def test_a_folder_of_arrays_is_the_same_data(tmp_path: Path) -> None:
    for name, array in parts().items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "npz").mkdir()
    assert data.load(str(tmp_path)).sha256 == data.load(written(tmp_path / "npz")).sha256
    evaluation = load_evaluation(str(tmp_path))
    assert sum(len(chunk) for chunk in evaluation.real_chunks(evaluation.test)) == 50


def test_a_changed_value_of_any_input_is_other_data(tmp_path: Path) -> None:
    before = data.load(written(tmp_path)).sha256
    for name in ("x_train.picture", "x_test.age", "x_train.b.table"):
        other = parts()[name].copy()
        other[3] += 1
        assert data.load(written(tmp_path, **{name: other})).sha256 != before
    np.savez(tmp_path / "renamed.npz", **{name.replace("age", "agf"): one for name, one in parts().items()})
    assert data.load(str(tmp_path / "renamed.npz")).sha256 != before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x_train.age": AGE[:149]}, "equally many examples for each input.*x_train.age 149, x_train.b.table 150"),
        ({"x_train": PICTURES[:150]}, "one array x_train or one for each input.*found both"),
        ({"x_test.b.table": np.full((50, 6), np.nan)}, "NaN or infinity .* position 0, input 'b.table'"),
        ({"x_test.picture": PICTURES[150:, :3]}, r"picture \[4, 5, 3\], those in .* picture \[3, 5, 3\]"),
        ({"x_test.age": AGE[150:] / 7}, "one --scale cannot be right for both"),
        ({"x_test.age": np.array(["old"] * 50)}, "expected numbers"),
    ],
)
def test_inputs_that_are_no_examples_together(tmp_path: Path, changed: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InputError, match=words):
        data.load(written(tmp_path, **changed))


def test_one_scale_for_several_inputs_is_refused(tmp_path: Path) -> None:
    for preprocessing in (Preprocessing(scale=1 / 255), Preprocessing(resize=(8, 8))):
        with pytest.raises(InputError, match=r"are for models with one input, the data have age, b\.table, picture"):
            data.load(data.DataSpec(written(tmp_path), preprocessing=preprocessing))


def test_an_example_that_is_in_both_parts_is_found_by_all_its_inputs(tmp_path: Path) -> None:
    twice = {f"x_test.{name}": one[:50] for name, one in (("picture", PICTURES), ("b.table", TABLE))}
    assert not data.load(written(tmp_path, **twice)).warnings
    twice["x_test.age"] = AGE[:50]
    with pytest.raises(InputError, match="all 50 test examples are in the training"):
        data.load(written(tmp_path, **twice))


def test_real_values_come_in_the_order_of_the_model(tmp_path: Path) -> None:
    dataset = data.load(written(tmp_path))
    form = {"picture": (60,), "age": (1, 1), "b.table": (6,)}
    real = dataset.real(dataset.test.images[:2], form)
    assert real.dtype == np.dtype([(name, np.float32, shape) for name, shape in form.items()])
    assert np.array_equal(real["picture"], PICTURES[150:152].reshape(2, 60))
    assert list(_inputs.fed(real)) == list(form)


def two_ports() -> tuple[Port, Port]:
    table = Port("serving_default_b.table:0", "int8", (-1, 6), 0.5, 3)
    return table, Port("picture", "float32", (-1, 3, 4, 5), None, None)


def test_each_input_gets_its_values_in_its_own_type() -> None:
    real = _inputs.together({"picture": PICTURES.astype(np.float32), "b.table": TABLE})
    table, picture = two_ports()
    native = _ports.to_native(real, (table, picture))
    assert native.dtype.names == (table.name, "picture")
    assert np.array_equal(native[table.name], _ports.to_native(TABLE, [table]))
    assert np.array_equal(native["picture"], np.moveaxis(PICTURES, -1, 1))
    assert len(native[5:8]) == 3


@pytest.mark.parametrize(
    "given", [TABLE, _inputs.together({"picture": PICTURES}), _inputs.together({"picture": PICTURES, "table": TABLE})]
)
def test_other_inputs_than_the_files_are_refused(given: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"has the inputs 'b.table', 'picture', the data have"):
        _ports.to_native(given, two_ports())


def test_several_inputs_for_a_file_with_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"has the inputs 'b.table', the data have 'b.table', 'picture'"):
        _ports.to_native(_inputs.together({"picture": PICTURES, "b.table": TABLE}), two_ports()[:1])


def test_generated_inputs_fit_every_port() -> None:
    table, picture = two_ports()
    made = _ports.generated((table, picture), 7)
    assert made.shape == (7,)
    assert made["picture"].shape == (7, 3, 4, 5)
    assert _ports.to_native(made, (table, picture)).shape == (7,)


def test_the_range_of_each_integer_input_is_looked_at() -> None:
    table, picture = two_ports()
    real = _inputs.together({"picture": PICTURES.astype(np.float32), "b.table": 100 * TABLE})
    found = {one.name: one.passed for one in input_range.all_checks(real, (table, picture))}
    assert found == {
        f"input {table.name} range fits the data": True,
        f"input {table.name} range covers the data": False,
    }
