from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from page_reader import Page
from sample_report import sample_report

from optkit.report.page import render
from optkit.report.page_classes import class_figures, confusion
from optkit.report.svg import linear, logarithmic, logarithmic_ticks, ticks
from optkit.schema import Flip, Why

if TYPE_CHECKING:
    from optkit.schema import Report

replace = msgspec.structs.replace
REPORT = sample_report()


@pytest.fixture(scope="module")
def text() -> str:
    return render(REPORT)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_is_well_formed_and_small(text: str, page: Page) -> None:
    assert page.open == []
    assert len(text.encode()) < 2_000_000
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_in_it_can_ask_for_anything(page: Page) -> None:
    for tag, attrs in page.elements:
        for name in ("src", "href", "action", "srcset", "poster", "data", "xlink:href"):
            target = attrs.get(name)
            assert target is None or target.startswith(("#", "data:")), (tag, target)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[0]["content"].startswith("default-src 'none'")


def test_styles_ask_for_nothing_either(text: str) -> None:
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_every_file_is_a_row_and_has_its_details(page: Page) -> None:
    rows = page.all("tr")
    names = [row["data-name"] for row in rows if "data-name" in row]
    assert names == [f"{v.name}.{v.format}" for v in REPORT.variants]
    targets = {attrs["href"] for attrs in page.all("a")} - {"#files"}
    ids = {f"#{attrs['id']}" for _, attrs in page.elements if "id" in attrs}
    assert targets <= ids
    # Beside those of the files: the processor's flags, and bytes in figures.
    assert len(page.all("details")) == len(REPORT.variants) + 2


def test_verdicts_are_words(page: Page) -> None:
    words = " ".join(page.words)
    for wanted in (
        "no measurable difference",
        "faster",
        "slower",
        "worse",
        "recommended",
        "failed",
        "lost",
        "gained",
    ):
        assert wanted in words
    assert (
        "3.9× smaller, 2.0× [2.0, 2.1] faster, no measurable change in accuracy (5 lost, 7 gained of 10,000)." in words
    )
    assert REPORT.recommendation.rule in words
    assert REPORT.command in words
    assert REPORT.warnings[0] in words


def test_tables_and_charts_speak_to_a_screen_reader(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attrs for attrs in page.all("th"))
    charts = [attrs for attrs in page.all("svg") if (attrs.get("class") or "").startswith("chart")]
    kinds = [attrs["class"] for attrs in charts]
    # Trade-offs, and in each format bytes, speed-ups and times, each for wide pages and for phones; curves once.
    assert kinds.count("chart roomy") == kinds.count("chart slim") == 4 + 2 + 2 + 2
    assert kinds.count("chart") == len(REPORT.training)
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    assert page.all("html")[0]["lang"] == "en"


def test_charts_have_a_mark_and_an_interval_for_each_file(text: str) -> None:
    first = text.partition("tflite: accuracy against file size</figcaption>")[2].partition("</svg>")[0]
    assert first.count('class="interval"') == 13
    assert first.count("<title>") == 13
    assert first.count('class="front"') == 1
    assert first.count('class="ring"') == 1
    assert "prune+qat+int8.tflite: 99.02 % [98.71, 99.26], 442 kB" in first


def test_pictures_are_stored_once_however_often_they_are_shown(page: Page) -> None:
    symbols = [attrs["id"] for attrs in page.all("symbol")]
    assert len(symbols) == len(set(symbols)) > 0
    used = {attrs["href"] for attrs in page.all("use")}
    assert used == {f"#{name}" for name in symbols}


def test_it_is_drawn_from_the_record_without_pictures_too() -> None:
    page = Page(render(replace(REPORT, pictures={})))
    assert page.all("use") == []
    assert "image 309" in " ".join(page.words)


def test_text_from_outside_stays_text() -> None:
    evil = '"><script>alert(1)</script><img src=http://x/>'
    bad = replace(REPORT.variants[0], name=evil, path=evil, failures=[evil], why=[Why(evil, evil)], sha256=evil)
    data = replace(REPORT.data, name=evil)
    pictures = {"309": evil, **{key: value for key, value in REPORT.pictures.items() if key != "309"}}
    damaged = replace(
        REPORT,
        variants=[bad, *REPORT.variants[1:]],
        command=evil,
        warnings=[evil],
        data=data,
        pictures=pictures,
    )
    page = Page(render(damaged))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert "#picture-309" not in {f"#{attrs['id']}" for attrs in page.all("symbol")}


def bare() -> Report:
    gone = {"accuracy": None, "accuracy_validation": None, "latency": None, "size": None, "memory": None}
    variants = [
        replace(v, **gone, compute=None, parity=None, checks=[], why=[], layers=[], flips=[]) for v in REPORT.variants
    ]
    return replace(
        REPORT,
        variants=variants,
        recommendation=None,
        pareto=[],
        training=[],
        warnings=[],
        noise_floor=[],
        skipped=[],
    )


def test_a_report_with_nothing_measured_is_a_page_of_dashes() -> None:
    page = Page(render(bare()))
    assert page.open == []
    assert page.all("svg", **{"class": "chart"}) == []
    words = " ".join(page.words)
    assert "No file is recommended" in words
    assert "None" not in words.replace("None passed", "")
    assert Page(render(replace(bare(), variants=[]))).open == []


def test_a_large_report_stays_under_two_megabytes() -> None:
    flips = [Flip(index, 1, 2, 1) for index in range(200)]
    pictures = {str(index): "A" * 600 for index in range(200)}
    many = [replace(v, name=f"{v.name}-{copy}", flips=flips) for copy in range(3) for v in REPORT.variants]
    noisy = [
        replace(v, latency=replace(v.latency, blocks_us=[[v.latency.p50_us + i % 7 for i in range(500)]] * 5))
        for v in many
        if v.latency is not None
    ]
    assert len(render(replace(REPORT, variants=[*REPORT.variants, *noisy], pictures=pictures)).encode()) < 2_000_000


def test_class_figures_have_known_answers() -> None:
    first, second, third = class_figures([[8, 2, 0], [4, 6, 0], [0, 0, 0]])
    assert (first.images, first.precision, first.recall) == (10, 8 / 12, 0.8)
    assert first.f1 == pytest.approx(2 * (8 / 12) * 0.8 / (8 / 12 + 0.8))
    assert second.recall == 0.6
    assert (third.images, third.precision, third.recall, third.f1) == (0, None, None, None)


def test_a_confusion_too_wide_to_show_is_listed() -> None:
    size = 30
    counts = [[5 if a == b else 0 for a in range(size)] for b in range(size)]
    counts[3][7], counts[1][2] = 9, 4
    found = confusion(counts)
    assert found.matrix == ()
    assert found.worst == ((3, 7, 9), (1, 2, 4))
    small = confusion([[5, 4], [1, 5]])
    assert small.matrix == (((5, 0), (4, 5)), ((1, 2), (5, 0)))


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.9812, 0.9934, about=5) == [0.982, 0.984, 0.986, 0.988, 0.99, 0.992]
    assert ticks(0, 1_730_112, about=5) == [0, 500_000, 1_000_000, 1_500_000]
    assert ticks(3, 3) == [3]
    assert logarithmic_ticks(24, 1700) == [50, 100, 200, 500, 1000]
    assert all(338_000 <= value <= 2_250_000 for value in logarithmic_ticks(338_000, 2_250_000))
    assert (linear(0, 10, 0, 100)(5), linear(5, 5, 0, 1)(5)) == (50, 0)
    assert logarithmic(1, 100, 0, 2)(10) == pytest.approx(1)
