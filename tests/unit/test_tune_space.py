"""The search space: what is read, what is drawn, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optkit.errors import InputError
from optkit.tune.settings import combinations, read_seconds, resolve_tuning
from optkit.tune.space import Dimension, grid, read_space, suggested

if TYPE_CHECKING:
    from pathlib import Path


class Ends:
    """Draws one end of everything, as Optuna's trials do."""

    def __init__(self, end: int) -> None:
        self.end = end

    def suggest_categorical(self, _: str, choices: list[str]) -> str:
        return choices[self.end]

    def suggest_int(self, _: str, low: int, high: int, *, log: bool) -> int:
        assert isinstance(log, bool)
        return (low, high)[self.end]

    suggest_float = suggest_int


def test_ranges_and_choices_are_read_by_the_kind_of_the_knob() -> None:
    space = read_space(
        [
            "learning_rate=1e-4..1e-1 log",
            "batch=16,32,64",
            "layers=dense:128|dense:256,dense:128",
            "dropout=0..0.5",
            "epochs=1..3",
            "optimizer=sgd,adam",
        ],
        {},
        {},
    )
    assert {one.name: one for one in space} == {
        "batch": Dimension("batch", "choice", choices=("16", "32", "64")),
        "dropout": Dimension("dropout", "float", 0.0, 0.5),
        "epochs": Dimension("epochs", "int", 1, 3),
        "layers": Dimension("layers", "choice", choices=("dense:128", "dense:256,dense:128")),
        "learning_rate": Dimension("learning_rate", "float", 1e-4, 0.1, log=True),
        "optimizer": Dimension("optimizer", "choice", choices=("sgd", "adam")),
    }
    assert suggested(Ends(-1), space) == {
        "batch": 64,
        "dropout": 0.5,
        "epochs": 3,
        "layers": ("dense:256", "dense:128"),
        "learning_rate": 0.1,
        "optimizer": "adam",
    }
    # Words of a dimension read back to the same.
    assert read_space([f"{one.name}={one.words}" for one in space], {}, {}) == space


def test_a_table_is_the_same_and_options_override_it() -> None:
    table = {"batch": [16, 32], "layers": [["dense:8"], ["dense:16", "dense:8"]], "dropout": "0..0.5"}
    options = ["batch=16,32", "layers=dense:8|dense:16,dense:8", "dropout=0..0.5"]
    assert read_space([], table, {}) == read_space(options, {}, {})
    assert read_space(["dropout=0..0.1"], table, {}) == read_space([*options[:2], "dropout=0..0.1"], {}, {})


@given(low=st.integers(1, 500), more=st.integers(1, 500))
def test_a_range_has_its_ends(low: int, more: int) -> None:
    space = read_space([f"batch={low}..{low + more}"], {}, {})
    assert [suggested(Ends(end), space) for end in (0, -1)] == [{"batch": low}, {"batch": low + more}]
    assert grid(space) == {"batch": list(range(low, low + more + 1))}


@pytest.mark.parametrize(
    ("arguments", "fixed", "words"),
    [
        ([], {}, "nothing to search"),
        (["learning_rat=1,2"], {}, "unknown knob.*learning_rate"),
        (["data=a,b"], {}, "on what is trained"),
        (["batch"], {}, "expects NAME="),
        (["batch="], {}, "expects NAME="),
        (["batch=16"], {}, "at least two choices"),
        (["batch=16,16"], {}, "at least two choices"),
        (["batch=1.5..4"], {}, "batch"),
        (["batch=0..4"], {}, "batch"),
        (["batch=4..4"], {}, "from a lower to a higher"),
        (["batch=8..4"], {}, "from a lower to a higher"),
        (["dropout=0..1.5"], {}, "dropout"),
        (["dropout=0..nan"], {}, "dropout"),
        (["dropout=0..0.5 log"], {}, "log scale begins over 0"),
        (["learning_rate=0.1..inf"], {}, "learning.rate"),
        (["optimizer=sgd,sdg"], {}, "optimizer"),
        (["layers=dense:8|dense:0"], {}, "dense"),
        (["batch=16,32"], {"batch": 8}, "as well"),
    ],
)
def test_bad_spaces_are_refused(arguments: list[str], fixed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_space(arguments, {}, fixed)


def test_a_grid_counts_its_combinations_and_lists_no_range_of_fractions() -> None:
    settings = resolve_tuning({}, ["batch=16,32,64", "epochs=1..4"], sampler="grid")
    assert combinations(settings.space) == settings.wanted_trials == 12
    with pytest.raises(InputError, match="dropout is a range"):
        resolve_tuning({}, ["dropout=0..0.5"], sampler="grid")


def test_files_give_settings_and_search(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[settings]\nepochs = 2\nbatch = 8\n[search]\ndropout = "0..0.5"\n')
    settings = resolve_tuning({"epochs": 3}, [], [str(tmp_path / "a.toml")])
    assert settings.fixed == {"epochs": 3, "batch": 8}
    assert [one.words for one in settings.space] == ["0..0.5"]
    (tmp_path / "b.toml").write_text("[serch]\n")
    with pytest.raises(InputError, match="serch"):
        resolve_tuning({}, ["batch=1,2"], [str(tmp_path / "b.toml")])


@pytest.mark.parametrize(("words", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5 m", 90), ("7", 7)])
def test_times(words: str, seconds: float) -> None:
    assert read_seconds(words) == seconds


@pytest.mark.parametrize("words", ["", "0", "-1s", "10 days", "m"])
def test_other_times_are_refused(words: str) -> None:
    with pytest.raises(InputError, match="--time"):
        read_seconds(words)
