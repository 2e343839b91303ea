from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from page_reader import Page
from sample_training import healthy, overfitting, points, sample_training

from optkit.problem import Task
from optkit.quality import Errors
from optkit.report import train_markdown, train_record, train_text
from optkit.report.diagnosis import diagnose
from optkit.report.train_page import render
from optkit.report.train_record import Evidence, Start

if TYPE_CHECKING:
    from optkit.report.train_record import TrainReport

replace = msgspec.structs.replace
REPORT = sample_training()


@pytest.fixture(scope="module")
def text() -> str:
    return render(REPORT)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_is_well_formed_and_small(text: str, page: Page) -> None:
    assert page.open == []
    assert len(text.encode()) < 200_000
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_in_it_can_ask_for_anything_or_run(text: str, page: Page) -> None:
    for tag, attrs in page.elements:
        for name in ("src", "href", "action", "srcset", "poster", "data", "xlink:href"):
            target = attrs.get(name)
            assert target is None or target.startswith(("#", "data:")), (tag, target)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert page.all("script") == []
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert style.count("prefers-color-scheme: dark") == 1
    assert style.count("@media print") == 2


def test_the_diagnosis_is_the_heading_and_cures_are_beside_it(page: Page) -> None:
    words = " ".join(page.words)
    heading = words.index(REPORT.diagnosis.sentence)
    assert heading < words.index("Learning curves")
    for finding in REPORT.diagnosis.findings:
        assert all(one.figure in words for one in finding.evidence)
        assert all(cure.option in words for cure in finding.cures)
    assert page.all("header")[0]["class"] == "top verdict-bad"
    assert Page(render(sample_training(healthy()))).all("header")[0]["class"] == "top verdict-good"


def test_everything_that_was_measured_is_on_it(page: Page) -> None:
    words = " ".join(page.words)
    for wanted in (
        "94.33 %",
        "283 of 300",
        "94.00 %",
        "4,700 of 5,000",
        "100,480",
        "raw values / 255",
        "auc",
        "0.9900",
    ):
        assert wanted in words, wanted
    for wanted in ("not judged: it is of values", "shift", REPORT.command, REPORT.again, REPORT.compress_command):
        assert wanted in words, wanted
    assert "zoom" not in words
    assert "ant" in words
    assert len(page.all("img")) == 1
    assert page.all("img")[0]["alt"] == "test example 7, a cat taken for bee"
    assert ">99 %" in page.words
    rows = [row for row in page.all("tr") if row.get("class") == "weakest-row"]
    assert len(rows) == 1


def test_tables_and_charts_speak_to_a_screen_reader(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attrs for attrs in page.all("th"))
    charts = page.all("svg", **{"class": "chart"})
    assert [attrs["aria-label"].split(" over")[0] for attrs in charts] == ["Loss", "Accuracy"]
    targets = {attrs["href"] for attrs in page.all("a")}
    assert targets <= {f"#{attrs['id']}" for _, attrs in page.elements if "id" in attrs}


def test_charts_have_a_dot_for_every_epoch_and_mark_the_fault(text: str) -> None:
    loss = text.partition("Loss <small>")[2].partition("</svg>")[0]
    assert loss.count('class="dot train"') == loss.count('class="dot validation"') == 30
    assert loss.count('class="dot validation start"') == 1
    assert loss.count('class="since"') == 1
    assert "learning rate" in loss


def test_a_long_curve_has_lines_without_dots() -> None:
    curve = [replace(point, epoch=index + 1) for index, point in enumerate(overfitting() * 10)]
    text = render(sample_training(curve))
    assert text.count('class="dot train"') == 0
    assert text.count('class="curve train"') >= 2


def test_a_loss_that_is_no_number_is_a_cross(text: str) -> None:
    curve = healthy()
    curve[-1] = replace(curve[-1], loss=None, validation_loss=None)
    lost = render(sample_training(curve, accuracy=None, classes=[], confused=[], compress_command="", files=[]))
    assert lost.count('class="lost"') == 2
    assert text.count('class="lost"') == 0
    assert "no number" in lost
    assert Page(lost).open == []
    all_lost = [replace(point, loss=None, validation_loss=None) for point in curve]
    assert Page(render(sample_training(all_lost, start=Start(None, None)))).open == []


def regression() -> TrainReport:
    curve = points([9.0, 4.0, 2.0], [8.0, 5.0, 3.0])
    return sample_training(
        curve,
        task=Task("regression", "values", 1),
        accuracy=None,
        accuracy_validation=None,
        errors=Errors(1.25, (1.2, 1.3), 1.5, 300),
        errors_validation=Errors(1.2, None, 1.4, 5_000),
        metrics={"r2": 0.8, "median_absolute_error": 1.1, "largest_absolute_error": 9.0},
        classes=[],
        confused=[],
        start=Start(10.0, None),
        diagnosis=diagnose(curve, Start(10.0, None), _facts(len(curve))),
    )


def _facts(epochs: int) -> object:
    from sample_training import facts

    return facts(largest_class=None, constant_loss=10.0, kept_epoch=epochs)


def test_values_to_predict_have_errors_in_place_of_accuracy() -> None:
    page = Page(render(regression()))
    words = " ".join(page.words)
    for wanted in (
        "Test mean absolute error",
        "1.250",
        "[1.200, 1.300]",
        "Mean squared error",
        "2.250",
        "R²",
        "0.8000",
    ):
        assert wanted in words, wanted
    assert "None" not in words
    assert len(page.all("svg", **{"class": "chart"})) == 1
    assert page.all("table", **{"class": "confusion"}) == []


def test_text_from_outside_stays_text() -> None:
    evil = '"><script>alert(1)</script><img src=http://x/>'
    finding = replace(REPORT.diagnosis.findings[0], evidence=[Evidence(evil, evil)])
    pair = REPORT.confused[0]
    damaged = replace(
        REPORT,
        name=evil,
        command=evil,
        warnings=[evil],
        data=replace(REPORT.data, name=evil, class_names=[evil, "b", "c"]),
        network=REPORT.network | {"layers": [evil]},
        confused=[replace(pair, examples=[replace(pair.examples[0], picture=evil)])],
        diagnosis=replace(REPORT.diagnosis, sentence=evil, findings=[finding]),
    )
    page = Page(render(damaged))
    assert page.all("script") == []
    assert page.all("img") == []
    assert "<script" not in train_markdown.render(damaged).replace("\\<script", "")


def test_many_classes_are_listed_and_not_a_matrix() -> None:
    size = 30
    confusion = [[5 if label == answer else 0 for answer in range(size)] for label in range(size)]
    confusion[3][7] = 9
    many = replace(REPORT, accuracy=replace(REPORT.accuracy, confusion=confusion))
    page = Page(render(many))
    assert page.all("table", **{"class": "confusion"}) == []
    assert page.open == []


def test_the_text_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    text = train_markdown.render(REPORT)
    assert text.startswith("# Training of mlp-128\n\n**Diagnosis.** The network overfits from epoch")
    for wanted in ("| cat | 0 | 10 | 90 |", "`--early-stopping 3`", "| sum |  |  | 100,480 | 100,352 |", REPORT.again):
        assert wanted in text, wanted
    train_text.show(REPORT, folder=Path("run"))
    shown = capsys.readouterr().out
    for wanted in (
        "Test accuracy: 94.33 % [91.11, 96.43], 283 of 300",
        "cat taken for bee (10)",
        "Diagnosis: The network",
    ):
        assert wanted in shown, wanted
    assert "  dropout: --dropout 0.5" not in shown
    assert "next: optkit compress run/models/mlp-128.keras" in shown
    # Of 30 epochs the first and the last are listed.
    assert "…" in shown
    assert train_text.WRITTEN in shown
    assert "Mean squared error" in train_markdown.render(regression())


def test_the_record_comes_back_as_it_was() -> None:
    assert train_record.from_json(train_record.to_json(REPORT)) == REPORT
    for bad in (b"{}", b"\xff", train_record.to_json(replace(REPORT, schema_version=2))):
        with pytest.raises(train_record.InputError):
            train_record.from_json(bad)
