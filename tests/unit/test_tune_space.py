"""What may be searched, and what is refused with a reason."""

from __future__ import annotations

import pytest

from optkit.errors import InputError
from optkit.tune.settings import read_seconds, resolve_tuning
from optkit.tune.space import grid, read_space, suggested


class Drawn:
    """A trial that draws the least value, or the last choice."""

    def suggest_categorical(self, _: str, choices: list[str]) -> str:
        return choices[-1]

    def suggest_int(self, _: str, low: int, high: int, *, log: bool) -> int:
        assert low < high or not log
        return low

    def suggest_float(self, _: str, low: float, high: float, *, log: bool) -> float:
        assert low < high or not log
        return low


def test_a_space_is_read_and_drawn_from() -> None:
    space = read_space(
        ["learning_rate=1e-4..0.1 log", "layers=dense:64|dense:32,dense:16", "early-stopping=1..4", "batch=16,32"],
        {"dropout": "0..0.5", "batchnorm": [True, False]},
        {"baseline": "mlp-128"},
    )
    assert {one.name: one.words for one in space} == {
        "batch": "16,32",
        "batchnorm": "true,false",
        "dropout": "0..0.5",
        "early_stopping": "1..4",
        "layers": "dense:64|dense:32,dense:16",
        "learning_rate": "0.0001..0.1 log",
    }
    assert suggested(Drawn(), space) == {
        "batch": 32,
        "batchnorm": False,
        "dropout": 0.0,
        "early_stopping": 1,
        "layers": ("dense:32", "dense:16"),
        "learning_rate": 1e-4,
    }


@pytest.mark.parametrize(
    ("search", "fixed", "words"),
    [
        ([], {}, "there is nothing to search"),
        (["foo=1,2"], {}, "unknown knob"),
        (["data=a,b"], {}, "says on what is trained"),
        (["batch=16"], {}, "at least two choices"),
        (["batch=0..4"], {}, "batch expects int >= 1"),
        (["learning_rate=1..0.5"], {}, "from a lower to a higher value"),
        (["elastic=0..1 log"], {}, "begins over 0"),
        (["dropout=0..1"], {}, "dropout expects float < 1.0"),
        (["activation=rely,relu"], {}, "activation expects one of"),
        (["layers=dens:3|dense:4"], {}, "unknown layer"),
        (["learning_rate"], {}, "expects NAME=LOW..HIGH"),
        (["learning_rate=nan..1"], {}, "learning-rate expects"),
        (["momentum=0.1..0.9"], {}, "--momentum is a knob of sgd and rmsprop"),
        (["batch=16,32"], {"batch": 8}, "set to 8 as well"),
    ],
)
def test_what_cannot_be_searched_is_refused(search: list[str], fixed: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", "\\(")):
        read_space(search, {}, fixed)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objectives": ["acuracy"]}, "did you mean accuracy"),
        ({"objectives": ["accuracy", "accuracy"]}, "names one twice"),
        ({"objectives": ["accuracy", "parameters"], "pruner": "median"}, "with several objectives leave it out"),
        ({"objectives": ["latency"], "jobs": 2}, "leave out --jobs"),
        ({"sampler": "grid"}, "grid needs choices"),
        ({"sampler": "best"}, "sampler expects one of"),
        ({"trials": 0}, "trials expects int >= 1"),
        ({"time": "soon"}, "expects a time over 0"),
        ({"validation": "kfold:1"}, "expected 2 to 100 parts"),
        ({"validation": "sometimes"}, "expects holdout, kfold:K"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolve_tuning({}, ["learning_rate=1e-4..0.1 log"], **options)  # type: ignore[arg-type]


def test_a_grid_lists_every_value() -> None:
    space = read_space(["epochs=1..3", "batch=16,32"], {}, {})
    assert grid(space) == {"batch": ["16", "32"], "epochs": [1, 2, 3]}
    assert resolve_tuning({}, ["epochs=1..3", "batch=16,32"], sampler="grid").wanted_trials == 6


def test_times_are_read() -> None:
    assert [read_seconds(words) for words in ("90", "90s", "1.5m", "2h")] == [90, 90, 90, 7200]
