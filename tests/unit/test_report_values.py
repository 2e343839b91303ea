"""Reports of models that give values: errors stand wherever accuracy stands for classes; and class names."""

from __future__ import annotations

import io
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from compare_reports_made import OTHER_SHA
from msgspec.structs import replace
from page_reader import Page
from sample_report import sample_report
from sample_values import BASE_MAE, sample_values

from optkit.errors import InputError
from optkit.problem import Preprocessing, Task
from optkit.report import headline, markdown, page, terminal, wording
from optkit.report.compare import compare_reports
from optkit.report.compare_changes import SAME_FILE, Change, changes
from optkit.report.compare_conditions import parse_conditions
from optkit.report.compare_text import change_words
from optkit.report.compare_text import show as show_comparison
from optkit.report.json_file import from_json, json_schema, to_json
from optkit.report.method import outputs, preprocessing
from optkit.report.plausible import check_plausible
from optkit.report.recommend import dominates, is_eligible, pareto, recommend
from optkit.schema import Epoch, ErrorComparison, Errors, Flip, Report, Training, Variant

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT = sample_values()


def file_of(report: Report, name: str, file_format: str = "tflite") -> Variant:
    return next(one for one in report.variants if (one.name, one.format) == (name, file_format))


def with_file(report: Report, name: str, **fields: Any) -> Report:
    changed = replace(file_of(report, name), **fields)
    return replace(report, variants=[changed if (v.name, v.format) == (name, "tflite") else v for v in report.variants])


def on_terminal(show: Callable[..., None], report: Any, width: int = 100) -> str:
    stream = io.StringIO()
    show(report, stream=stream, width=width)
    return stream.getvalue()


def words_of(text: str) -> str:
    """What a reader sees: without styles and scripts."""
    return " ".join(" ".join(Page(re.sub(r"(?s)<(style|script)>.*?</\1>", "", text)).words).split())


def test_it_is_written_read_back_and_fits_the_schema() -> None:
    assert from_json(to_json(REPORT)) == REPORT
    jsonschema.validate(json.loads(to_json(REPORT)), json_schema())
    check_plausible(REPORT)


def test_keys_that_a_later_version_adds_to_task_and_preprocessing_are_passed_over() -> None:
    grown = json.loads(to_json(REPORT))
    grown["task"]["new"] = 1
    grown["data"]["preprocessing"]["new"] = [1]
    assert from_json(json.dumps(grown).encode()) == REPORT


@pytest.mark.parametrize(
    "changes",
    [
        {"mae": -0.1},
        {"total": 0},
        {"mae_ci95": (2.2, 2.3)},
        {"mae_ci95": (-0.1, 2.3)},
        {"rmse": 1.0},
    ],
)
@pytest.mark.parametrize("part", ["errors", "errors_validation"])
def test_errors_that_cannot_be_are_refused(part: str, changes: dict[str, Any]) -> None:
    errors = getattr(file_of(REPORT, "int8"), part)
    with pytest.raises(InputError, match=r"expected errors of int8\.tflite"):
        check_plausible(with_file(REPORT, "int8", **{part: replace(errors, **changes)}))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_terminal_shows_the_error_and_keeps_its_width(width: int) -> None:
    text = on_terminal(terminal.show, REPORT, width)
    assert max(map(len, text.splitlines())) <= width
    assert "acc. %" not in text
    assert "MAE" in text
    row = next(line.split() for line in text.splitlines() if "  int8 " in line)
    assert row[1] == "2.106"
    assert ("4009/4007" in row) == (width >= 100)


def test_narrow_terminals_keep_the_verdict_on_errors() -> None:
    row = next(line for line in on_terminal(terminal.show, REPORT, 80).splitlines() if "prune+cluster" in line)
    assert "worse" in row


def test_markdown_and_page_speak_of_errors_and_never_of_accuracy() -> None:
    for text in (markdown.render(REPORT), words_of(page.render(REPORT))):
        assert "2.106" in text
        assert "mean absolute error" in text
        assert "paired t test" in text
        assert "(raw values - 3) / 1.5" in text
        assert "one value, which is the answer" in text
        assert "AUC was not judged" in text
        assert "accuracy" not in text.lower()
        assert "None" not in text
    shown = words_of(page.render(REPORT))
    assert "example 7: 10.00 → 11.50 (right: 9.750)" in shown
    assert "root mean squared 2.738, median 1.500, largest 12.25; R² 0.9312" in shown
    assert "held against" in shown
    assert "validation loss" in shown


def test_classes_have_nothing_of_errors() -> None:
    report = sample_report()
    for text in (markdown.render(report), words_of(page.render(report)), on_terminal(terminal.show, report)):
        assert "absolute error" not in text
        assert "MAE" not in text


def test_less_error_stands_higher_in_the_chart() -> None:
    chart = page.render(REPORT)
    heights = {}
    for name in ("fp32", "prune+cluster+qat+int8", "qat+int8"):
        found = re.search(
            rf"<title>{re.escape(name)}\.tflite: [^<]*</title><(?:circle|rect)[^>]*?\b(?:cy|y)=\"([\d.]+)\"", chart
        )
        assert found is not None
        heights[name] = float(found[1])
    # The front runs through the best file (the first such line is the key's).
    front = re.findall(r'<path d="([^"]*)" class="front"', chart)[1]
    assert f" {heights['qat+int8']:.1f}L" in front
    # SVG counts down from the top.
    assert heights["qat+int8"] < heights["fp32"] < heights["prune+cluster+qat+int8"]


def judged(name: str, mae: float, verdict: str | None, file_bytes: int) -> Variant:
    base = file_of(REPORT, "fp32")
    versus = None if verdict is None else ErrorComparison(1, 1, mae - 2, (-0.1, 0.1), 0.5, verdict)
    errors = Errors(mae, (mae - 0.1, mae + 0.1), 2 * mae, 500, versus)
    size = replace(base.size, file_bytes=file_bytes)
    return replace(base, name=name, errors_validation=errors, size=size)


FP32 = judged("fp32", 2.0, None, 4000)


def test_a_file_with_a_measurably_larger_error_is_not_recommended() -> None:
    worse, same = judged("worse", 2.4, "worse", 100), judged("same", 2.01, "no measurable difference", 1000)
    choice = recommend([FP32, worse, same])
    assert choice is not None
    assert choice.variant == "same"
    assert "whose mean absolute error on validation data is not measurably larger than" in choice.rule
    assert not is_eligible(worse, FP32)
    assert not is_eligible(judged("alone", 1.0, None, 1), FP32)
    assert is_eligible(FP32, FP32)
    assert not is_eligible(replace(same, errors_validation=None), FP32)


def test_the_least_error_is_the_most_accurate() -> None:
    near, far = (
        judged("near", 1.9, "no measurable difference", 900),
        judged("far", 2.1, "no measurable difference", 100),
    )
    choice = recommend([FP32, far, near], prefer="accuracy")
    assert choice is not None
    assert choice.variant == "near"
    assert "least error" in choice.rule
    assert dominates(judged("a", 1.0, None, 100), judged("b", 2.0, None, 100))
    beaten = judged("beaten", 2.2, "no measurable difference", 900)
    assert {point.variant for point in pareto([FP32, near, far, beaten])} == {"near", "far"}


def test_no_choice_is_said_in_words_of_errors() -> None:
    assert "mean absolute error on validation data that is not larger" in headline.reason(
        replace(REPORT, recommendation=None)
    )
    assert headline.facts(REPORT) == []
    unseen = [replace(one, errors_validation=None) for one in REPORT.variants]
    assert headline.reason(replace(REPORT, variants=unseen)) == headline.NO_VALIDATION
    smallest = next(fact for fact in headline.facts(replace(REPORT, variants=unseen)) if fact.title == "Smallest")
    assert "no measurable change in mean absolute error (larger on 4,005, smaller on 4,007" in smallest.sentence


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (0.5, "worse", "measurably larger mean absolute error, by +25 % (larger on 6, smaller on 4 of 10)"),
        (-0.5, "better", "measurably smaller mean absolute error, by -25 % (larger on 6, smaller on 4 of 10)"),
        (0.1, "no measurable difference", "no measurable change in mean absolute error"),
    ],
)
def test_clauses_say_how_much(change: float, verdict: Any, words: str) -> None:
    versus = ErrorComparison(6, 4, change, (change - 0.1, change + 0.1), 0.01, verdict)
    errors = Errors(2 + change, None, 3.0, 10, versus)
    assert wording.quality_clause(replace(file_of(REPORT, "int8"), errors=errors)).startswith(words)
    assert wording.errors(errors) == wording.value(2 + change)


@pytest.mark.parametrize(
    ("number", "text"),
    [(2.10449, "2.104"), (0.01234567, "0.01235"), (12345.6, "12,346"), (0, "0"), (1e-7, "1.000e-07"), (-3.5, "-3.500")],
)
def test_values_have_four_digits(number: float, text: str) -> None:
    assert wording.value(number) == text


def change(report: Report, old: Report = REPORT) -> Change:
    return changes(file_of(old, "int8"), file_of(report, "int8"), old, report)["mae"]


def shifted(by: float) -> Report:
    errors = file_of(REPORT, "int8").errors
    assert errors is not None
    assert errors.mae_ci95 is not None
    low, high = errors.mae_ci95
    moved = replace(errors, mae=errors.mae + by, mae_ci95=(low + by, high + by), rmse=errors.rmse + by)
    return with_file(REPORT, "int8", sha256=OTHER_SHA, errors=moved)


def test_compare_changes_of_errors_by_hand() -> None:
    found = change(shifted(0.3))
    # Both intervals are +-0.05 wide: hypot(0.05, 0.05).
    assert found.value == pytest.approx(0.3)
    assert found.ci95 == pytest.approx((0.3 - 0.0707107, 0.3 + 0.0707107), abs=1e-6)
    assert found.old == pytest.approx(BASE_MAE + 0.002)
    assert change_words("mae", found) == "+0.300 [+0.229, +0.371] (+14 %)"
    assert change(REPORT).how == SAME_FILE
    assert change(sample_report()).value is None
    other = replace(REPORT, data=replace(REPORT.data, sha256="ff" * 32))
    assert change(other).how == "the reports are of different data (SHA-256)"


@pytest.mark.parametrize(
    ("by", "condition", "outcome"),
    [
        (0.3, "mae>+5%", "broken"),
        (0.3, "mae>0.1", "broken"),
        (0.3, "mae>+13%", "in doubt"),
        (0.3, "mae>+20%", "fine"),
        (-0.3, "mae>0", "fine"),
        (0.3, "accuracy<-0.1pt", "cannot be judged"),
    ],
)
def test_compare_conditions_on_errors(by: float, condition: str, outcome: str) -> None:
    comparison = compare_reports(REPORT, shifted(by), conditions=parse_conditions([condition]))
    found = next(one for one in comparison.judgements if one.condition == condition and one.name == "int8")
    assert found.outcome == outcome


def test_compare_shows_errors_and_what_is_not_the_same() -> None:
    text = on_terminal(show_comparison, compare_reports(REPORT, shifted(0.3)), 140)
    assert "MAE" in text
    assert "accuracy" not in text
    assert "2.406" in text
    assert "+0.300 [+0.229, +0.371]" in text
    data = replace(REPORT.data, preprocessing=Preprocessing(scale=1 / 255))
    other = replace(REPORT, task=Task("binary", "logits", 1), data=data)
    rows = {one.what: (one.old, one.new) for one in compare_reports(REPORT, other).differences}
    assert rows["task"] == ("regression, 1 values", "binary, 1 logits")
    assert rows["inputs"] == ("(raw values - 3) / 1.5", "raw values / 255")


@pytest.mark.parametrize("unit", ["pt", "kB"])
def test_conditions_on_errors_refuse_other_units(unit: str) -> None:
    with pytest.raises(InputError, match="unit of the values"):
        parse_conditions([f"mae>1{unit}"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Preprocessing(), "raw values as they are"),
        (Preprocessing(scale=1 / 255), "raw values / 255"),
        (Preprocessing(scale=0.3), "raw values × 0.3"),
        (Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,)), "(raw values / 255 - 0.5) / 0.25"),
        (Preprocessing(std=(1, 2.0)), "raw values / [1, 2]"),
        (
            Preprocessing(mean=(1, 2, 3), resize=(32, 48), channels="bgr"),
            "raw values - [1, 2, 3], resized to 32×48, bgr",
        ),
    ],
)
def test_preprocessing_is_a_formula(given: Preprocessing, words: str) -> None:
    assert preprocessing(given) == words


def test_what_outputs_mean_is_said_where_it_is_not_the_usual() -> None:
    assert outputs(None) == outputs(Task()) == []
    said = [
        outputs(Task(kind, meaning, 1))[0]
        for kind, meaning in (("multiclass", "logits"), ("multiclass", "sigmoids"), ("binary", "logits"))
    ]
    assert said == [
        "a logit for each class, the largest is the answer",
        "a probability of its own for each class, the largest counts",
        "one logit, class 1 over 0",
    ]


def test_class_names_stand_in_the_place_of_numbers() -> None:
    report = sample_report()
    names = ["boot", "shoe", *map(str, range(2, 9)), "bag & <b>"]
    named = replace(report, data=replace(report.data, class_names=names))
    chosen = report.recommendation
    assert chosen is not None
    variants = [
        replace(one, flips=[Flip(0, 1, 9, 0)]) if (one.name, one.format) == (chosen.variant, chosen.format) else one
        for one in report.variants
    ]
    text = page.render(replace(named, variants=variants))
    assert "label boot: shoe → bag &amp; &lt;b&gt;" in text
    assert '<th scope="row">boot</th>' in text
    assert text.count('<th scope="col">shoe</th>') == 2
    # Numbers where a report names fewer classes than there are.
    assert '<th scope="row">5</th>' in page.render(replace(named, data=replace(named.data, class_names=["boot"])))


def test_a_curve_of_one_epoch_and_of_equal_losses_is_drawn() -> None:
    flat = Training("flat", [Epoch(1.0, None, 1.0, None, 1.0)])
    assert "Loss of flat over 1 epochs" in page.render(replace(REPORT, training=[flat]))


damaged = partial(with_file, REPORT, "int8")


@pytest.mark.parametrize("metrics", [{"keras": 3}, {"keras": {"test": {"values": {"a": "x"}}}}, {"r2": "x"}])
def test_metrics_that_were_changed_by_hand_are_passed_over(metrics: dict[str, Any]) -> None:
    report = damaged(metrics=metrics)
    assert "2.106" in page.render(report)
    assert "2.106" in markdown.render(report)
