"""The page of a search: what it draws, what it never asks for, and that nothing in it is run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from optkit.report import chart_tuning, tune_pages, tune_text, tune_words
from optkit.report.tune_record import SCHEMA_VERSION, Dimension, FileTime, Final, Objective, TrialRecord, TuneReport
from optkit.schema import DataFacts, Environment

if TYPE_CHECKING:
    from optkit.quality import Interval

CI: Interval = (0.9, 0.92)


def report(**changed: object) -> TuneReport:
    """A search of three knobs; every figure is invented."""
    layers = ["dense:32", "dense:128", "dense:128,dense:64"]
    trials = [
        TrialRecord(
            number,
            "complete",
            {"layers": layers[number % 3], "learning_rate": 10.0 ** -(1 + number % 4), "batch": 16 + number},
            {"accuracy": 0.5 + number / 50, "latency": 10.0 + number},
            scores=[0.5 + number / 50, 0.5],
            spread=0.01,
            parameters=1000 + number,
            time=FileTime(10.0 + number, (9.5, 30.0)),
            seconds=2.0,
        )
        for number in range(12)
    ]
    trials += [
        TrialRecord(12, "pruned", {"batch": 9}),
        TrialRecord(13, "failed", {"batch": 8}, reason="<b>too deep</b>"),
    ]
    fields = {
        "schema_version": SCHEMA_VERSION,
        "optkit_version": "0",
        "created": "2026-11-26T00:00:00+00:00",
        "command": "optkit tune --search '<script>'",
        "study": "optkit",
        "environment": Environment("cpu", [], 2, 1 << 30, "Linux", "3.11", {}, None),
        "data": DataFacts("<i>digits</i>", "0" * 64, 60, 20, 20, None),
        "fixed": {"epochs": 1},
        "space": [
            Dimension("batch", "8..32", "int", 8, 32, log=False, choices=[]),
            Dimension("layers", "|".join(layers), "choice", 0, 0, log=False, choices=layers),
            Dimension("learning_rate", "0.0001..0.1 log", "float", 1e-4, 0.1, log=True, choices=[]),
        ],
        "protocol": "kfold:2",
        "protocol_words": "two models",
        "sampler": "tpe",
        "pruner": "none",
        "objectives": [Objective("accuracy", "maximize", "a"), Objective("latency", "minimize", "b")],
        "trials": trials,
        "importance": {"accuracy": {"learning_rate": 0.7, "layers": 0.2, "batch": 0.1}},
        "front": [0, 11],
        "chosen": 11,
        "rule": "the highest accuracy",
        "final": Final(80, 20, 18, 0.9, CI, None, 1011, ["models/best.h5"], 3.0),
        "stopped": "14 trials are finished",
        "seconds": 60.0,
        "warnings": [],
    }
    return TuneReport(**{**fields, **changed})  # type: ignore[arg-type]  # by name


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    page = tune_pages.page(report())
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<b>too deep|<i>digits|https?://(?!www\.w3\.org)|url\(", page)
    assert "&lt;b&gt;too deep" in page


def test_each_chart_has_each_complete_trial() -> None:
    made = report()
    assert str(chart_tuning.parallel(made)).count('class="strand') == 12
    assert str(chart_tuning.course(made)).count("<circle") == 12
    assert str(chart_tuning.tradeoff(made)).count("<circle") == 12
    assert str(chart_tuning.tradeoff(made)).count("on-front") == 1
    slices = chart_tuning.slices(made)
    assert [name for name, _ in slices] == ["batch", "layers", "learning_rate"]
    for _, chart in slices:
        assert str(chart).count("<circle") == 12
        # The chosen one lies over the others.
        assert str(chart).rindex("mark chosen") > str(chart).rindex('class="mark"')


def test_marks_stay_inside_their_chart() -> None:
    made = report()
    charts = [chart for _, chart in chart_tuning.slices(made)]
    for chart in [*charts, chart_tuning.course(made), chart_tuning.tradeoff(made)]:
        text = str(chart)
        width, height = map(int, re.findall(r'viewBox="0 0 (\d+) (\d+)"', text)[0])
        for x, y in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', text):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height


def test_a_better_value_is_higher_on_its_axis() -> None:
    found = re.findall(r'cx="[\d.]+" cy="([\d.]+)"', str(chart_tuning.course(report())))
    heights = [float(one) for one in found]
    assert heights == sorted(heights, reverse=True)


def test_words_have_units_and_intervals() -> None:
    rows = tune_words.rows(report())
    assert rows[0][:4] == ["11 ►", "72.00 %", "21 µs [9.5, 30]", "1.00"]
    assert rows[-1][-1] == "failed: <b>too deep</b>"
    assert tune_words.final(report()) == ("90.00 %", "[90.00, 92.00], 20 test examples")
    errors = Final(80, 20, None, None, None, 0.25, 7, [], 1.0)
    objectives = [Objective("error", "minimize", "a")]
    trials = [TrialRecord(11, "complete", {"batch": 9}, {"error": 0.5}, scores=[0.5], parameters=7)]
    regression = report(final=errors, objectives=objectives, trials=trials, importance={}, front=[11])
    assert tune_words.final(regression)[0] == "0.25"
    assert "accuracy" not in "".join(map(str, tune_words.tiles(regression))).lower()


@pytest.mark.parametrize("width", [60, 120])
def test_the_screen_has_the_best_first(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    tune_text.show(report(), Path("run"), width=width)
    shown = capsys.readouterr().out
    assert "72.00 %" in shown
    assert "… and 4 more" in shown
    assert max(map(len, shown.split("importance")[0].splitlines())) <= width


def test_text_escapes_what_a_table_would_break_on() -> None:
    text = tune_pages.markdown(report())
    assert "| **" not in text
    assert "learning\\_rate" in text or "learning_rate" in text
    assert "70 %" in text
