from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from page_reader import Page
from sample_benchmark import NOT_QUIET, SPREAD, sample_benchmark, single_file
from sample_report import sample_report

from optkit.report import chart_scaling, chart_speed, chart_tradeoff
from optkit.report.page import render
from optkit.report.page_operators import operator_rows
from optkit.report.svg import apart
from optkit.schema import OperatorFigures, ScalingPoint, Speedup

if TYPE_CHECKING:
    from optkit.schema import Report

replace = msgspec.structs.replace
REPORT = sample_report()
BENCHMARK = sample_benchmark()


@pytest.mark.parametrize("report", [BENCHMARK, sample_benchmark(data=True), single_file()])
def test_a_benchmark_is_a_whole_page_with_a_row_for_each_file(report: Report) -> None:
    page = Page(render(report))
    assert page.open == []
    names = [row["data-name"] for row in page.all("tr") if "data-name" in row]
    assert names == [f"{v.name}.{v.format}" for v in report.variants]
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attrs for attrs in page.all("th"))
    words = " ".join(page.words)
    assert "No file is recommended" not in words
    assert "Nothing is recommended: that is decided on validation data, and there were none." in words
    for absent in ("None", "fp32 file", "against fp32"):
        assert absent not in words
    assert page.all("section", id="classes") == []
    assert page.all("section", id="flips") == []


def test_without_data_nothing_is_said_about_accuracy() -> None:
    words = " ".join(Page(render(BENCHMARK)).words)
    assert "generated inputs" in words
    assert "Against the reference" not in words
    assert "Wilson" not in words
    assert "accuracy not measured" not in words
    assert "Against the reference" in " ".join(Page(render(sample_benchmark(data=True))).words)


def test_a_doubt_is_a_mark_that_speaks_and_a_sentence_in_the_details() -> None:
    page = Page(render(BENCHMARK))
    marks = page.all("a", **{"class": "doubt"})
    assert [mark["href"] for mark in marks] == ["#file-1", "#file-5"]
    assert marks[1]["title"] == f"{NOT_QUIET} {SPREAD}"
    assert marks[1]["aria-label"].startswith("less sure than it looks: ")
    words = " ".join(page.words)
    assert NOT_QUIET[1:] in words
    assert words.count("Doubts about its times") == 2
    assert 'class="doubt"' not in render(REPORT)


def test_a_doubt_about_the_recommended_file_is_marked_at_the_top() -> None:
    variants = [
        replace(v, latency=replace(v.latency, doubts=[SPREAD])) if v.name == "prune+qat+int8" and v.latency else v
        for v in REPORT.variants
    ]
    top = render(replace(REPORT, variants=variants)).partition("</header>")[0]
    assert 'class="doubt"' in top


def test_operators_have_their_share_of_the_time() -> None:
    text = render(BENCHMARK)
    first = text.partition('aria-label="Operators of mobile.tflite"')[2].partition("</table>")[0]
    assert first.count('<th scope="row">') == 13
    assert "block_0/convolution" in first
    assert "17.8 %</span>" in first
    assert "<td>53,470,981</td>" in first
    silent = text.partition('aria-label="Operators of mobile.onnx"')[2].partition("</table>")[0]
    assert silent.count('<th scope="row">') == 13
    assert "Share of time" not in silent
    assert 'aria-label="Operators of mobile.keras"' not in text


def test_of_very_many_operators_the_costly_ones_are_shown_and_the_rest_counted() -> None:
    many = [OperatorFigures("ADD", f"n{index}", index, 0, 1.0 + index % 2) for index in range(300)]
    rows, words = operator_rows(replace(BENCHMARK.variants[0], operators=many))
    assert len(rows) == 80
    assert all(int(row.name[1:]) % 2 for row in rows)
    assert [row.position for row in rows] == sorted(row.position for row in rows)
    assert words == ("The 220 least costly of 300 operators, together 64.4 % of the time, are in report.json only.")
    assert operator_rows(replace(BENCHMARK.variants[0], operators=many[:80]))[1] == ""


def test_a_page_of_many_deep_networks_stays_under_two_megabytes() -> None:
    deep = [
        OperatorFigures("DEPTHWISE_CONV_2D", f"block_{n}/a/name/of/some/length", 10**6, 10**5, 1.5) for n in range(300)
    ]
    variants = [
        replace(variant, name=f"{variant.name}-{copy}", operators=deep)
        for copy in range(10)
        for variant in BENCHMARK.variants
    ]
    text = render(replace(BENCHMARK, variants=variants))
    assert text.count("Operators of ") == 70
    assert len(text.encode()) < 2_000_000


def test_runtime_facts_stopping_and_seed_are_told() -> None:
    words = " ".join(Page(render(BENCHMARK)).words)
    for wanted in (
        "66 nodes, 64 taken by XNNPACK",
        "103 nodes, 57 left after optimization",
        "Least version that opens it",
        "TFLite: measured in 5 processes until every interval was within ±2 %.",
        "ONNX: time was up after 60 s",
        "Seed: nothing was trained.",
    ):
        assert wanted in words, wanted
    assert "Seed: in the command below." in " ".join(Page(render(REPORT)).words)


def test_batches_and_threads_are_charts_with_error_bars_and_a_table() -> None:
    charts = dict(chart_scaling.panels(BENCHMARK))
    assert list(charts) == [
        f"{name}: images per second against {axis}" for name in ("tflite", "onnx") for axis in ("batch", "threads")
    ]
    batch, slim, _ = charts["onnx: images per second against batch"].split("</svg>")
    assert slim.count('class="rate ') == 4
    assert batch.count('class="rate ') == 4
    assert batch.count('class="error ') == 12
    assert "mobile-qdq, 2 threads, batch 8: 451 [437, 464] images per second" in batch
    rows = [row for row in chart_scaling.table(BENCHMARK.variants) if row.file == "mobile.onnx"]
    assert [(row.threads, row.batch) for row in rows] == [(1, 1), (1, 8), (1, 32), (2, 1), (2, 8), (2, 32)]
    assert (rows[0].verdict, rows[5].verdict, rows[5].throughput) == ("first point", "more", "2.1× [2.0, 2.1]")
    page = Page(render(BENCHMARK))
    assert len(page.all("section", id="scaling")) == 1
    assert Page(render(REPORT)).all("section", id="scaling") == []


def test_a_chart_needs_two_points_and_figures_that_have_a_place() -> None:
    point = ScalingPoint(1, 1, 10.0, 100.0, (90.0, 110.0))
    worse = Speedup(0.8, (0.7, 0.9), "worse")
    threads = replace(point, threads=4, throughput=worse, images_per_second=80.0, ci95=(70.0, 90.0))

    def drawn(*points: ScalingPoint) -> list[str]:
        variants = [replace(BENCHMARK.variants[0], scaling=list(points))]
        return [heading for heading, _ in chart_scaling.panels(replace(BENCHMARK, variants=variants))]

    fast = [replace(one, images_per_second=2e6, ci95=(5e5, 4e6)) for one in (point, threads)]
    million = replace(BENCHMARK, variants=[replace(BENCHMARK.variants[0], scaling=fast)])
    assert ">1,000,000</text>" in chart_scaling.panels(million)[0][1]
    assert drawn(point) == []
    assert drawn(point, threads) == ["tflite: images per second against threads"]
    assert drawn(point, replace(threads, ci95=(0.0, 90.0))) == []
    assert chart_scaling.table([replace(BENCHMARK.variants[0], scaling=[threads])])[0].verdict == "less"


def test_speed_ups_have_intervals_and_the_noise_floor() -> None:
    drawn = chart_speed.intervals(BENCHMARK, "tflite")
    for chart in drawn.split("</svg>")[:2]:
        assert chart.count('class="speed-bar faster"') == 2
        assert chart.count('class="speed-bar level"') == 1
        assert chart.count('class="floor"') == 1
        assert "mobile-fp16: 0.99× [0.98, 1.00] no measurable difference" in chart
    assert chart_speed.intervals(BENCHMARK, "keras") is None


def test_the_reference_is_a_square_whatever_it_is_called() -> None:
    first = chart_tradeoff.panels(sample_benchmark(data=True))[0][1].partition("</svg>")[0]
    assert first.count("<rect") == 1
    assert first.partition("<rect")[0].rpartition("<title>")[2].startswith("mobile.tflite:")


def test_things_are_moved_apart_as_little_as_possible() -> None:
    assert apart([0, 10, 30], 5) == [0, 10, 30]
    assert apart([0, 0, 0], 10) == [-10, 0, 10]
    assert apart([], 10) == []
