"""What report.md, the page and the screen say of a search: every file, the front, and what was delivered."""

from __future__ import annotations

import io

import jsonschema
import msgspec
import pytest
from page_reader import Page
from sample_report import sample_report
from sample_search import sample_search, searched_report, tried

from optkit.report import chart_search, markdown, page, terminal
from optkit.report.json_file import from_json, json_schema, to_json


def screen(met: bool = True, width: int = 104) -> str:
    stream = io.StringIO()
    terminal.show(searched_report(sample_search(met=met)), stream=stream, width=width)
    return stream.getvalue()


def test_it_is_in_report_json_and_read_back() -> None:
    report = searched_report()
    content = to_json(report)
    assert from_json(content) == report
    jsonschema.validate(msgspec.json.decode(content), json_schema())


def test_a_report_without_a_search_says_nothing_of_one() -> None:
    report = sample_report()
    assert "The search" not in markdown.render(report)
    assert 'id="search"' not in page.render(report)


@pytest.mark.parametrize("render", [markdown.render, page.render])
def test_every_file_tried_is_there_with_its_figures(render) -> None:  # noqa: ANN001  # both take a report
    text = render(searched_report())
    assert "The search" in text
    for words in ("451,000", "18,000", "6,000", "size 22×", "drop 40.4×", "parity: observed 0.5", "needs training"):
        assert words in text
    assert "4 files tried in 10 min 05 s, 1 within all limits" in text
    assert "20KiB (20,480 bytes)" in text
    assert "Synthetic CPU 9000" in text
    assert "the time of 600 s is up" in text


def test_the_delivered_file_is_first_and_marked() -> None:
    text = markdown.render(searched_report())
    rows = [line for line in text.splitlines() if line.startswith("| ") and "int8" in line and "shrink:" in line]
    assert rows[0].startswith("| **shrink-0.05+int8.tflite** (delivered) |")
    assert "► shrink-0.05+int8" in screen()


def test_the_screen_says_which_limit_is_missed_and_by_how_much() -> None:
    assert "search: 4 files tried" in screen()
    told = " ".join(screen(met=False).split())
    assert "near.tflite is the nearest, size: 21,000 bytes, 520 bytes over the limit of 20KiB (1.03 times it)" in told


@pytest.mark.parametrize("width", [50, 80, 104, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    wide = [line for line in screen(width=width).splitlines() if len(line) > width and not line.startswith("wrote")]
    assert not wide, wide


def test_of_a_long_search_the_screen_shows_the_front() -> None:
    many = [tried(f"n{number}", 30_000 + number, 0.01, 9.0) for number in range(30)]
    record = sample_search()
    record = msgspec.structs.replace(record, trials=[*record.trials, *many])
    stream = io.StringIO()
    terminal.show(searched_report(record), stream=stream, width=104)
    shown = stream.getvalue()
    assert "n17.tflite" not in shown
    assert "shrink-0.01+int8" in shown
    # Thirty that are beaten, and one that failed.
    assert "31 more" in shown


def test_names_from_outside_cannot_become_markup() -> None:
    hostile = "<script>alert(1)</script>|`x`"
    record = sample_search(stopped=hostile, cpu_model=hostile)
    record = msgspec.structs.replace(
        record, trials=[tried(hostile, 9, 0.0, 1.0, reason=hostile, recipe=hostile, stage=hostile)]
    )
    assert "<script>alert(1)" not in page.render(searched_report(record))
    Page(page.render(searched_report(record)))
    assert "<script>alert(1)" not in markdown.render(searched_report(record))


def test_the_chart_has_a_mark_for_each_file_that_has_both_figures() -> None:
    record = sample_search()
    drawn = str(chart_search.tradeoff(record))
    # Drawn for wide and for narrow pages; neither the failed file nor the one that was not made is on it.
    assert drawn.count("<circle") == 2 * 3
    assert drawn.count('class="mark chosen"') == 2
    assert "bad" not in drawn
    # A line for each of the two limits.
    assert drawn.count('class="axis"') == 2 * 2
    # A drop of 20 points lies on the lower edge, with its own figure in words.
    assert "20.00 [19.80, 20.20]" in drawn
    assert chart_search.tradeoff(msgspec.structs.replace(record, trials=record.trials[:1])) is None
