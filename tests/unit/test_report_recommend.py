from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_report import failed_variant, sample_report

from optkit.errors import InputError
from optkit.report.recommend import PREFERENCES, dominates, is_eligible, pareto, passed_all, recommend
from optkit.report.reference import baseline_of, controls
from optkit.schema import AccuracyValidation, Check, Comparison, Speedup, Variant, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

replace = msgspec.structs.replace
BASE = next(v for v in sample_report().variants if (v.name, v.format) == ("fp32", "tflite"))


def made(
    name: str,
    *,
    file_format: str = "tflite",
    file_bytes: int | None = 100,
    p50_us: float | None = 10.0,
    correct: int | None = 4950,
    verdict: Verdict | None = "no measurable difference",
    passed: bool = True,
    status: str = "ok",
) -> Variant:
    versus = None if verdict is None else Comparison(1, 1, 1.0, (-0.1, 0.1), verdict)
    return replace(
        BASE,
        name=name,
        format=file_format,
        status=status,
        checks=[Check("any", passed=passed, observed=1, limit=2, unit="")],
        size=None if file_bytes is None else replace(BASE.size, file_bytes=file_bytes),
        latency=None if p50_us is None else replace(BASE.latency, p50_us=p50_us),
        accuracy_validation=None if correct is None else AccuracyValidation(correct, 5000, versus),
    )


FP32 = made("fp32", file_bytes=4000, p50_us=40.0, verdict=None)


def test_the_smallest_wins_and_the_rule_is_a_sentence() -> None:
    choice = recommend([FP32, made("a", file_bytes=900, p50_us=30), made("b", file_bytes=1000, p50_us=5)])
    assert choice is not None
    assert (choice.variant, choice.format) == ("a", "tflite")
    assert choice.rule.startswith(
        "Among the 3 files that passed all checks and whose accuracy on validation data is not"
    )
    assert choice.rule.endswith("of them the fastest wins.")


def test_sizes_within_two_percent_are_a_tie_that_speed_breaks() -> None:
    slow, fast = made("slow", file_bytes=1000, p50_us=30), made("fast", file_bytes=1020, p50_us=5)
    assert recommend([FP32, slow, fast]).variant == "fast"
    assert recommend([FP32, slow, replace(fast, size=replace(fast.size, file_bytes=1021))]).variant == "slow"


@pytest.mark.parametrize("prefer", ["size", "latency"])
@pytest.mark.parametrize(
    ("verdict", "wins"), [("better", "finetune+fp32"), ("no measurable difference", "fp32"), (None, "fp32")]
)
def test_the_reference_is_kept_over_its_equal_that_is_not_faster_beyond_doubt(
    prefer: str, verdict: Verdict | None, wins: str
) -> None:
    speedup = None if verdict is None else Speedup(1.01, (0.98, 1.04), verdict)
    equal = made("finetune+fp32", file_bytes=4000, p50_us=39.5)
    equal = replace(equal, latency=replace(equal.latency, speedup=speedup))
    choice = recommend([FP32, equal], prefer=prefer)
    assert choice.variant == wins
    assert choice.rule.endswith("which is kept.") == (wins == "fp32")


def test_of_equally_fast_files_in_a_tie_the_smaller_wins_then_the_more_accurate() -> None:
    small, large = made("z", file_bytes=1000), made("a", file_bytes=1010)
    assert recommend([FP32, large, small]).variant == "z"
    right = made("zz", file_bytes=1000, correct=4960)
    assert recommend([FP32, large, small, right]).variant == "zz"


def test_preferences_change_the_choice() -> None:
    files = [
        FP32,
        made("small", file_bytes=500, p50_us=30),
        made("fast", file_bytes=1000, p50_us=5),
        made("right", file_bytes=2000, p50_us=20, correct=4999),
    ]
    found = {prefer: recommend(files, prefer=prefer).variant for prefer in PREFERENCES}
    assert found == {"size": "small", "latency": "fast", "accuracy": "right"}


def test_formats_narrow_the_choice_and_are_in_the_rule() -> None:
    files = [
        FP32,
        made("a", file_bytes=900),
        made("fp32", file_format="onnx", verdict=None),
        made("b", file_format="onnx"),
    ]
    choice = recommend(files, formats=["onnx"])
    assert choice.format == "onnx"
    assert "in onnx format" in choice.rule
    assert recommend(files, formats=[]) is None


@pytest.mark.parametrize(
    "refused",
    [
        partial(made, verdict="worse", file_bytes=1),
        partial(made, passed=False),
        partial(made, status="failed"),
        partial(made, correct=None),
        partial(made, file_bytes=None),
        partial(made, verdict=None),
    ],
)
def test_a_file_that_must_not_win_does_not(refused: Callable[..., Variant]) -> None:
    bad = refused("bad")
    assert recommend([FP32, bad]).variant == "fp32"


def test_a_parity_that_failed_keeps_a_file_out() -> None:
    bad = made("bad", file_bytes=1)
    bad = replace(bad, parity=replace(BASE.parity, passed=False))
    assert recommend([FP32, bad]).variant == "fp32"


def test_without_times_none_is_the_fastest() -> None:
    files = [replace(FP32, latency=None), made("a", p50_us=None)]
    assert recommend(files, prefer="latency") is None
    assert recommend(files).variant == "a"


def test_an_unknown_preference_is_refused_with_a_hint() -> None:
    with pytest.raises(InputError, match="did you mean latency"):
        recommend([FP32], prefer="latncy")


def test_nothing_to_choose_from() -> None:
    assert recommend([]) is None
    assert pareto([]) == []
    assert recommend([failed_variant()]) is None
    assert pareto([failed_variant()]) == []


def test_the_baseline_is_the_marked_file_else_fp32() -> None:
    variants = sample_report().variants
    assert baseline_of(variants, "onnx").name == "fp32"
    mine = replace(FP32, name="mine", is_baseline=True)
    assert baseline_of([FP32, mine, made("other")], "tflite") is mine
    assert baseline_of([made("other"), FP32], "tflite") is FP32
    assert baseline_of(variants, "other") is None


def test_controls_are_the_files_that_were_only_trained_on() -> None:
    assert [v.name for v in controls(sample_report().variants)] == ["finetune+fp32", "finetune+fp32"]


def test_the_front_is_per_format_and_leaves_out_the_beaten() -> None:
    beaten = made("beaten", file_bytes=1001)
    files = [FP32, made("a"), beaten, made("small", file_format="onnx", file_bytes=1)]
    assert {(p.variant, p.format) for p in pareto(files)} == {("a", "tflite"), ("small", "onnx")}
    assert dominates(made("a"), beaten)
    assert not dominates(beaten, made("a"))
    assert not dominates(made("a"), made("a"))


names = st.integers(0, 10**6).map(str)
maybe: Any = st.none()
variants = st.lists(
    st.builds(
        made,
        names,
        file_format=st.sampled_from(["tflite", "onnx"]),
        file_bytes=maybe | st.integers(1, 60).map(lambda n: n * 20),
        p50_us=maybe | st.integers(1, 20).map(float),
        correct=maybe | st.integers(4900, 4910),
        verdict=st.sampled_from(["better", "worse", "no measurable difference", None]),
        passed=st.booleans(),
        status=st.sampled_from(["ok", "ok", "failed"]),
    ),
    max_size=12,
)


@given(variants, st.sampled_from(PREFERENCES), st.booleans())
def test_the_choice_is_eligible_and_never_beaten(files: list[Variant], prefer: str, with_baseline: bool) -> None:
    files = [FP32, *files] if with_baseline else files
    able = [v for v in files if is_eligible(v, baseline_of(files, v.format))]
    choice = recommend(files, prefer=prefer)
    if choice is None:
        return
    rivals = [v for v in able if (v.name, v.format) == (choice.variant, choice.format)]
    assert any(not any(dominates(other, rival) for other in able) for rival in rivals)
    assert all(passed_all(rival) for rival in rivals)


@given(variants)
def test_the_choice_does_not_depend_on_the_order(files: list[Variant]) -> None:
    files = list(
        {
            (v.name, v.format): v
            for v in [FP32, *files]
            if v is FP32 or (v.accuracy_validation and v.accuracy_validation.versus_baseline)
        }.values()
    )
    assert recommend(files) == recommend(files[::-1])


@given(variants)
def test_every_file_off_the_front_is_beaten_by_one_on_it(files: list[Variant]) -> None:
    files = list({(v.name, v.format): v for v in files}.values())
    front = {(p.variant, p.format) for p in pareto(files)}
    on = [v for v in files if (v.name, v.format) in front]
    for variant in files:
        if variant in on:
            assert not any(dominates(other, variant) for other in on if other.format == variant.format)
        elif passed_all(variant):
            assert any(dominates(other, variant) for other in on if other.format == variant.format)
