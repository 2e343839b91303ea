"""Which channels go for a goal: pure arithmetic on numbers of channels, without a model."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optkit import recipes
from optkit.errors import InputError
from optkit.techniques._shrink.channels import Cut, Followed, Made, Numbers
from optkit.techniques._shrink.choice import bundles_of, cost, fewest, keep_of, order
from optkit.techniques.shrink import Params, limit_of


def two_layers(*, joined: bool = False, fixed: int | None = None) -> Followed:
    """Four filters that two units read: kernels [3, 3, 1, 4] at ten positions, and [4, 2] at one."""
    numbers = Numbers()
    given, filters, units = numbers.new(1), numbers.new(4), numbers.new(2)
    numbers.fix(given, "input of the model")
    if joined:
        numbers.join(filters[:2], units)
    if fixed is not None:
        numbers.fix(filters[fixed : fixed + 1], "held")
    group, why = numbers.groups()
    cuts = [
        Cut(("conv",), 0, True, (3, 3, 1, 4), {2: given, 3: filters}, (2,), 10),
        Cut(("conv",), 1, False, (4,), {0: filters}, (), 0),
        Cut(("dense",), 0, True, (4, 2), {0: filters, 1: units}, (0,), 1),
    ]
    made = {("conv",): Made(filters, "filters"), ("dense",): Made(units, "units")}
    return Followed(group, why, cuts, [], made, {("conv",): given, ("dense",): filters})


def test_the_cost_counts_what_is_kept() -> None:
    followed = two_layers()
    whole = cost(followed, keep_of(followed, []), 7)
    assert whole == (6, 9 * 4 * 10 + 8, 9 * 4 + 4 + 8 + 7)
    gone = [int(followed.group[1]), int(followed.group[5])]
    assert cost(followed, keep_of(followed, gone), 7) == (4, 9 * 3 * 10 + 3, 9 * 3 + 3 + 3 + 7)


def test_joined_channels_are_one_group_and_fixed_ones_stay() -> None:
    followed = two_layers(joined=True, fixed=0)
    assert followed.groups == 5
    assert followed.group[1] == followed.group[5]
    assert followed.fixed[int(followed.group[5])] == "held"
    assert len(followed.free()) == 3


def test_the_least_important_go_first_and_every_layer_keeps_one() -> None:
    followed = two_layers()
    scores = np.array([0.0, 4.0, 1.0, 3.0, 2.0, 0.5, 0.6])
    # Filters are groups 1 to 4, units 5 and 6: filter 1 and unit 6 are the most important of their layers.
    assert order(followed, scores, "global") == [5, 2, 4, 3]
    # A quarter of the filters, half of the units, and so on: the same share of each.
    assert order(followed, scores, "layer") == [2, 4, 5, 3]


def test_what_is_not_scored_stays() -> None:
    followed = two_layers()
    scores = np.array([0.0, 4.0, np.nan, 3.0, 2.0, 0.5, np.nan])
    assert 2 not in order(followed, scores, "global")
    assert 6 not in order(followed, scores, "global")


def test_layers_that_share_groups_are_one_bundle() -> None:
    apart, together = bundles_of(two_layers()), bundles_of(two_layers(joined=True))
    assert len(set(apart[1:])) == 2
    assert len(set(together[1:])) == 1


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(-1, 1500))
def test_no_fewer_groups_would_do(removed: list[int], limit: int) -> None:
    left = [sum(removed) - sum(removed[:count]) for count in range(len(removed) + 1)]
    found = fewest(len(removed), limit, lambda count: left[count])
    enough = [count for count, amount in enumerate(left) if amount <= limit]
    assert found == (enough[0] if enough else None)


@pytest.mark.parametrize(
    ("params", "source", "limit"),
    [({"macs": 0.5}, 101, 50), ({"parameters": 1}, 100, 100), ({"bytes": 4096}, 10_000, 4096), ({}, 10, 5)],
)
def test_goals_are_shares_up_to_one_and_numbers_above(params: dict[str, Any], source: int, limit: int) -> None:
    assert limit_of(msgspec.convert(params, Params), source) == limit


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"), [(4, 1, [4]), (7, 3, [2, 2, 3]), (0, 1, [0]), (3, 3, [1, 1, 1])]
)
def test_epochs_are_shared_out_among_the_steps(epochs: int, steps: int, expected: list[int]) -> None:
    assert Params(epochs=epochs, steps=steps).epochs_of_steps == expected


WRONG = {
    "shrink:macs=0.5,bytes=2000+int8": "one goal, found macs and bytes",
    "shrink:steps=9,epochs=4+int8": "one epoch for each of the 9 steps, found 4",
    "shrink:macs=-1+int8": "macs expects",
    "shrink:macs=half+int8": "macs expects a number, found 'half'",
    "shrink:score=l3+int8": "score expects one of",
    "prune+shrink+int8": "put shrink first",
    "qat+shrink+int8": "put shrink first",
}


@pytest.mark.parametrize("recipe", WRONG)
def test_contradictions_are_refused_before_any_work(recipe: str) -> None:
    with pytest.raises(InputError, match=WRONG[recipe]):
        recipes.parse(recipe)


def test_goals_are_written_as_they_were_given(tmp_path: Any) -> None:
    recipe = recipes.parse("shrink:bytes=4096,epochs=2+prune+int8")
    (tmp_path / "one.toml").write_text(recipes.dump_toml({}, [recipe]))
    assert recipes.load_toml(tmp_path / "one.toml")[1][0].steps == recipe.steps
    pair = recipes.name_apart([recipes.parse(f"shrink:bytes={size}+int8") for size in (4096, 8192)])
    assert [one.name for one in pair] == ["shrink-4096+int8", "shrink-8192+int8"]
