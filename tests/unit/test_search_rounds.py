"""What a search tries next, and what it delivers in the end."""

from __future__ import annotations

import math

import pytest

from optkit import recipes
from optkit.search import candidates, shares, students, tuned
from optkit.search.budget import Budget, read_budget
from optkit.search.probes import Known, Probe, text_of
from optkit.search.select import on_front, select
from optkit.search_record import Standing, TriedFile


def budget(prefer: str | None = None, **given: str) -> Budget:
    return read_budget(given, prefer=prefer, formats=["tflite"], threads=1)


BOTH = budget(max_drop="1pt", max_size="20KB")


def tried(
    name: str, size: int, upper: float, *, correct: int = 4_900, wanted: Budget = BOTH, p50: float | None = None
) -> TriedFile:
    """A file with the upper end of its drop in points."""
    held = {"drop": upper / 100, "size": float(size), "latency": p50}
    against = [
        Standing(one.name, held[one.name], None, met=False)
        if (value := held[one.name]) is None
        else Standing(one.name, value, max(0.0, value) / one.limit, met=value <= one.limit)
        for one in wanted.limits
    ]
    state = "within" if all(one.met for one in against) else "beyond"
    return TriedFile(
        name,
        "tflite",
        name,
        "tuned",
        state,  # type: ignore[arg-type]  # one of the words
        file_bytes=size,
        drop=upper / 200,
        drop_ci95=(0.0, upper / 100),
        correct=correct,
        p50_us=p50,
        standings=against,
    )


def known(recipe: str, size: int, upper: float, stage: str = "amounts", wanted: Budget = BOTH) -> Known:
    parsed = candidates.named(recipes.parse(recipe))
    one = tried(parsed.name, size, upper, wanted=wanted)
    return Known(text_of(parsed), stage, [one])


def test_the_smallest_within_all_limits_is_delivered() -> None:
    files = [tried("large", 19_000, 0.2), tried("small", 12_000, 0.9), tried("smaller", 11_000, 1.1)]
    choice = select(files, BOTH)
    assert choice is not None
    assert (choice.tried.name, choice.met, choice.missed) == ("small", True, [])
    assert "2 are within all limits (drop at most 1pt, size at most 20KB (20,000 bytes))" in choice.rule


def test_the_most_accurate_or_fastest_where_that_is_preferred() -> None:
    files = [
        tried("exact", 19_000, 0.2, correct=4_990, p50=9.0),
        tried("small", 12_000, 0.9, correct=4_950, p50=8.0),
        tried("fast", 13_000, 0.9, correct=4_951, p50=2.0),
    ]
    best = {}
    for prefer in ("size", "latency", "accuracy"):
        choice = select(files, budget(prefer, max_drop="1pt", max_size="20KB"))
        assert choice is not None
        best[prefer] = choice.tried.name
    assert best == {"size": "small", "latency": "fast", "accuracy": "exact"}


def test_the_nearest_is_delivered_where_none_is_within_and_it_says_by_how_much() -> None:
    files = [tried("fp32", 400_000, 0.0), tried("near", 21_000, 0.5), tried("wrong", 3_000, 40.0)]
    choice = select(files, BOTH)
    assert choice is not None
    assert (choice.tried.name, choice.met) == ("near", False)
    (missed,) = choice.missed
    assert missed == "size: 21,000 bytes, 1,000 bytes over the limit of 20KB (1.05 times it)"
    (drop,) = select([tried("wrong", 3_000, 1.5)], BOTH).missed  # type: ignore[union-attr]  # it is delivered
    assert drop.startswith("drop: 1.50 points at the upper end of the 95 % interval, 0.50 points over the limit of 1pt")


def test_one_limit_far_exceeded_does_not_hide_a_second() -> None:
    three = budget(max_drop="1pt", max_size="2KB", max_latency="5us")
    # A little larger, but within two of three.
    files = [tried("slow", 104_000, 0.1, wanted=three, p50=7.0), tried("quick", 105_000, 0.1, wanted=three, p50=1.0)]
    choice = select(files, three)
    assert choice is not None
    assert choice.tried.name == "quick"


def test_what_was_not_measured_or_failed_is_delivered_last_or_never() -> None:
    timed = budget(max_size="20KB", max_latency="5us")
    files = [tried("untimed", 1_000, 0.0, wanted=timed), tried("slow", 30_000, 0.0, wanted=timed, p50=50.0)]
    choice = select(files, timed)
    assert choice is not None
    assert choice.tried.name == "slow"
    failed = TriedFile("bad", "tflite", "int8", "tuned", "failed", file_bytes=10)
    assert select([failed], BOTH) is None
    assert select([], BOTH) is None


def test_the_front_holds_what_no_other_beats() -> None:
    files = [
        tried("a", 10_000, 1, correct=4_800),
        tried("b", 20_000, 1, correct=4_900),
        tried("beaten", 21_000, 1, correct=4_899),
        TriedFile("bad", "tflite", "int8", "tuned", "failed", file_bytes=10, correct=5_000),
    ]
    assert on_front(files) == {("a", "tflite"), ("b", "tflite")}


def probe(share: float, *, small: bool, good: bool) -> Probe:
    return Probe(share, small, good, made=True)


def test_amounts_are_bisected_between_good_and_bad() -> None:
    assert shares.next_shares([], prefer="size", start=0.2) == [0.05, 0.2]
    between = shares.next_shares(
        [probe(0.05, small=True, good=False), probe(0.2, small=True, good=True)], prefer="size", start=0.2
    )
    assert len(between) == 2
    assert all(0.05 < one < 0.2 for one in between)
    smaller = shares.next_shares([probe(0.2, small=True, good=True)], prefer="size", start=0.2)
    assert all(one < 0.2 for one in smaller)
    near = [probe(0.1, small=True, good=False), probe(0.12, small=True, good=True)]
    assert shares.next_shares(near, prefer="size", start=0.2) == []


def taught(name: str, upper: float, wanted: Budget = BOTH, size: int = 9_000) -> Known:
    return known(f"distill:student={name},{students.TRAINING}+int8", size, upper, students.STAGE, wanted)


def asked(found: list[Known], wanted: Budget = BOTH) -> list[str]:
    recipes_ = students.next_recipes(found, wanted, 2)
    return [str(next(step.params["student"] for step in one.steps if step.name == "distill")) for one in recipes_]


def test_the_smallest_student_that_is_good_enough_is_bisected() -> None:
    assert asked([]) == ["tiny-8k", "tiny-16k"]
    assert asked([taught("tiny-8k", 2.0), taught("tiny-16k", 0.5)]) == ["tiny-10k", "tiny-12k"]
    assert asked([taught("tiny-8k", 0.5), taught("tiny-16k", 0.5)]) == ["tiny-4k", "tiny-6k"]
    found = [taught(name, upper) for name, upper in (("tiny-6k", 2.0), ("tiny-8k", 0.5), ("tiny-4k", 3.0))]
    assert asked(found) == []
    # Where the largest that is small enough is not good enough, no student is.
    assert asked([taught("tiny-8k", 2.0), taught("tiny-16k", 1.5)]) == []


def test_the_largest_student_that_is_small_enough_is_looked_for_where_accuracy_counts() -> None:
    wanted = budget("accuracy", max_size="17KB")
    assert asked([], wanted) == ["tiny-12k", "tiny-16k"]
    found = [taught("tiny-16k", 0.1, wanted, size=17_500), taught("tiny-12k", 0.1, wanted, size=12_900)]
    assert asked(found, wanted) == []
    assert asked([taught("tiny-16k", 0.1, wanted, size=17_500)], wanted) == ["tiny-10k", "tiny-12k"]


def test_data_that_students_cannot_take_end_their_round() -> None:
    refused = TriedFile("distill", "tflite", "distill+int8", students.STAGE, "not made", reason="takes pictures")
    one = taught("tiny-8k", 0.5)
    assert asked([Known(one.recipe, students.STAGE, [refused])]) == []
    assert asked([], budget(max_size="3KB")) == []


def test_more_than_the_size_allows_is_not_tried() -> None:
    found = [probe(0.01, small=True, good=False), probe(0.04, small=True, good=False)]
    assert shares.next_shares(found, prefer="size", start=0.04, most=0.042) == []
    assert all(0.04 < one < 0.2 for one in shares.next_shares(found, prefer="size", start=0.04, most=0.2))
    # A quarter of what is allowed: the network may be four times as large.
    seen = [*PLAIN, known("shrink:parameters=0.04+int8", 5_000, 1.5)]
    assert shares.largest_share(seen, BOTH) == pytest.approx(0.1829 * 0.97, rel=1e-3)
    seen = [*PLAIN, known("shrink:parameters=0.1+int8", 8_000, 1.5)]
    assert shares.largest_share(seen, BOTH) == pytest.approx(0.25 * 0.98)
    seen += [known("shrink:parameters=0.3+int8", 32_000, 0.1)]
    assert shares.largest_share(seen, BOTH) == pytest.approx(0.1 + 0.1 * 0.98)


def test_no_amount_is_tried_where_less_is_not_good_and_more_is_too_large() -> None:
    found = [
        probe(0.1, small=True, good=False),
        probe(0.2, small=False, good=False),
        probe(0.5, small=False, good=True),
    ]
    assert shares.next_shares(found, prefer="size", start=0.2) == []


def test_the_most_accurate_is_looked_for_at_the_largest_amount_that_is_small_enough() -> None:
    found = [probe(0.1, small=True, good=True), probe(0.4, small=False, good=True)]
    assert all(0.1 < one < 0.4 for one in shares.next_shares(found, prefer="accuracy", start=0.2))


def test_an_amount_that_cannot_be_left_bounds_the_next_ones() -> None:
    found = [Probe(0.01, small_enough=True, good_enough=False, made=False), probe(0.2, small=True, good=True)]
    assert all(0.01 < one < 0.2 for one in shares.next_shares(found, prefer="size", start=0.2))


PLAIN = [known("fp32", 404_000, 0.0, "no training"), known("int8", 104_000, 0.2, "no training")]


def test_the_first_amount_is_about_what_the_size_allows() -> None:
    # 100,000 weights of one byte, and 4,000 bytes that are none: 18,290 and 1,710.
    assert shares.start_share(PLAIN, BOTH) == pytest.approx(0.1829 * 0.97, rel=1e-3)
    assert shares.start_share(PLAIN, budget(max_drop="1pt")) == 0.5
    assert shares.start_share(PLAIN, budget(max_size="360B")) == shares.LEAST
    assert shares.start_share(PLAIN, budget(max_size="1MB")) == shares.LARGEST


def test_cheap_recipes_come_first_and_none_comes_twice() -> None:
    seen: list[Known] = []
    stages = []
    for _ in range(30):
        wanted = candidates.next_round(seen, BOTH, seed=0)
        if wanted is None:
            break
        stages.append(wanted.stage)
        names = {file.name for one in seen for file in one.files}
        assert not names & {one.name for one in wanted.recipes}
        for recipe in wanted.recipes:
            text = text_of(recipe)
            assert text not in {one.recipe for one in seen}
            assert recipes.parse(text).steps == recipe.steps
            share = (recipe.techniques and recipe.techniques[0].params.get("parameters")) or 1.0
            upper = 0.05 + 0.3 / share if share < 1 else 0.0
            seen.append(Known(text, wanted.stage, [tried(recipe.name, int(4_000 + 100_000 * share), upper)]))
    assert stages == sorted(stages, key=["no training", "int8 training", "students", "amounts", "tuned"].index)
    assert set(stages) == {"no training", "int8 training", "students", "amounts", "tuned"}
    assert sum(one.stage == "tuned" for one in seen) == 2 * tuned.ROUNDS


def test_layers_are_left_in_float_where_int8_alone_loses_too_much() -> None:
    stages = {}
    for upper in (0.2, 9.0):
        seen = [*PLAIN[:1], known("int8", 104_000, upper, "no training")]
        stages[upper] = []
        while (wanted := candidates.next_round(seen, BOTH, seed=0)) is not None and wanted.stage != "int8 training":
            stages[upper].append((wanted.stage, [text_of(one) for one in wanted.recipes]))
            seen += [known(text_of(one), 104_000, 0.1, wanted.stage) for one in wanted.recipes]
    assert [stage for stage, _ in stages[0.2]] == ["no training"]
    assert stages[9.0][1:] == [("layers in float", ["int8:drop=1pt"])]


def test_the_same_knowledge_gives_the_same_draw() -> None:
    seen = [*PLAIN, known("shrink:parameters=0.15+int8", 18_000, 1.5), known("shrink:parameters=0.3+int8", 33_000, 0.4)]
    draws = [tuned.next_recipes(seen, BOTH, seed=3, endless=False) for _ in range(2)]
    assert draws[0] == draws[1]
    assert len(draws[0]) == 2
    # The first draws are fixed, the next ones are the seed's.
    assert draws[0] == tuned.next_recipes(seen, BOTH, seed=4, endless=False)
    more = [*seen, *(known(text_of(one), 18_000, 1.2, "tuned") for one in draws[0])]
    drawn = [tuned.next_recipes(more, BOTH, seed=seed, endless=False) for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]
    for recipe in (*draws[0], *drawn[0]):
        # Between the two sides: as large as the size allows.
        assert 0.09 < recipe.techniques[0].params["parameters"] < 0.18


def test_a_model_that_cannot_be_trained_is_not_shrunk() -> None:
    seen: list[Known] = []
    while (wanted := candidates.next_round(seen, BOTH, seed=0)) is not None:
        assert wanted.stage in {"no training", "int8 training"}
        for recipe in wanted.recipes:
            state = "not made" if wanted.stage == "int8 training" else "beyond"
            one = (
                tried(recipe.name, 104_000, 0.2)
                if state == "beyond"
                else TriedFile("q", "tflite", "q", "s", "not made")
            )
            seen.append(Known(text_of(recipe), wanted.stage, [one]))


def test_recipes_of_the_users_own_are_the_only_ones() -> None:
    given = [recipes.parse("prune:epochs=1+int8")]
    wanted = candidates.next_round([], BOTH, seed=0, given=given)
    assert wanted is not None
    assert [one.name for one in wanted.recipes] == ["fp32", "prune+int8"]
    seen = [Known(text_of(one), "given", [tried(one.name, 9, 9)]) for one in wanted.recipes]
    assert candidates.next_round(seen, BOTH, seed=0, given=given) is None


def test_less_of_a_network_is_not_tried_where_the_most_accurate_one_is_small_enough() -> None:
    loose = budget(max_size="200KB")
    seen: list[Known] = []
    while (wanted := candidates.next_round(seen, loose, seed=0)) is not None:
        assert wanted.stage in {"no training", "int8 training"}
        seen += [Known(text_of(r), wanted.stage, [tried(r.name, 104_000, 0.2, wanted=loose)]) for r in wanted.recipes]


def test_names_have_the_values_that_are_not_defaults_and_are_told_apart() -> None:
    assert candidates.named(recipes.parse("shrink:parameters=0.25,epochs=8+qat+int8")).name == "shrink-0.25-8+qat+int8"
    # As many steps as epochs: the same values in the name.
    one = recipes.parse("shrink:parameters=0.25,epochs=8+int8")
    name = candidates.named(one).name
    other = candidates._apart([candidates.named(one)], {name})[0]
    assert other.name != name
    assert other.name.endswith("+int8")
    assert math.isclose(other.techniques[0].params["parameters"], 0.25)
