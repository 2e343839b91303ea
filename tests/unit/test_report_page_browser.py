"""The page as a reader has it: in a browser, on a phone and on a desk, light and dark, by mouse and by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from browser import CHROMIUM, Browser
from sample_benchmark import sample_benchmark
from sample_report import sample_report

from optkit.report.page import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REPORT = sample_report()
BENCHMARK = sample_benchmark()
PHONE, DESK = 360, 1400

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
widths = pytest.mark.parametrize("width", [PHONE, DESK])


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    """Opens a page of a given width; in the end it must have been silent and have asked for nothing."""
    opened: list[Browser] = []

    def open_page(text: str, width: int, scheme: str = "light") -> Browser:
        browser = Browser(tmp_path, width, scheme)
        opened.append(browser.__enter__())
        browser.open(text)
        assert browser.run("innerWidth") == width
        return browser

    yield open_page
    for browser in opened:
        browser.run("1")
        browser.__exit__()
    assert [browser.console for browser in opened] == [[]]
    assert [browser.requests for browser in opened] == [[]]


@widths
def test_sorting_filtering_and_links(browse: Callable[..., Browser], width: int) -> None:
    browser = browse(render(REPORT), width)
    found = browser.run("""(async () => {
      const table = document.getElementById("files-table");
      const shown = () => [...table.tBodies[0].rows].filter((row) => row.getClientRects().length);
      const names = () => shown().map((row) => row.dataset.name);
      const head = [...table.tHead.rows[0].cells].find((cell) => cell.textContent.startsWith("Size"));
      const found = {all: names().length};
      head.querySelector("button").click();
      found.smallest = names()[0];
      found.sort = head.getAttribute("aria-sort");
      head.querySelector("button").click();
      found.largest = names()[0];
      found.last = names().at(-1);
      const form = document.querySelector(".filters");
      found.visible = form.getClientRects().length > 0;
      form.elements.name.value = "PRUNE qat";
      form.elements.format.value = "onnx";
      form.dispatchEvent(new Event("input", {bubbles: true}));
      found.filtered = names();
      found.said = form.querySelector("output").textContent;
      form.reset();
      form.elements.which.value = "sound";
      form.dispatchEvent(new Event("input", {bubbles: true}));
      found.sound = names().length;
      location.hash = "#file-1";
      await new Promise((done) => setTimeout(done, 200));
      found.opened = document.getElementById("file-1").open;
      return found;
    })()""")
    assert found == {
        "all": 25,
        "smallest": "dynamic.onnx",
        "sort": "ascending",
        "largest": "fp32.tflite",
        "last": "prune+cluster+qat+int8.onnx",
        "visible": True,
        "filtered": ["prune+qat+int8.onnx", "prune+cluster+qat+int8.onnx"],
        "said": "2 of 25 files",
        "sound": 23,
        "opened": True,
    }


# What sticks out of the page, what must be pushed sideways to be seen, letters too small to read, charts not shown.
FITS = """(() => {
  for (const part of document.querySelectorAll("details")) part.open = true;
  const seen = (element) => element.getClientRects().length > 0;
  const edge = document.documentElement.clientWidth;
  const charts = [...document.querySelectorAll("svg.chart")].filter(seen);
  const outside = (element) => element.getBoundingClientRect().right > edge + 1;
  const letters = (text) => text.getBoundingClientRect().height;
  return {
    page: document.documentElement.scrollWidth - edge,
    pushed: [...document.querySelectorAll(".scroll")].filter(seen)
      .filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.getAttribute("aria-label")
        || box.getAttribute("aria-labelledby")),
    stickingOut: charts.filter((chart) => !chart.closest(".scroll")).flatMap((chart) =>
      [...chart.querySelectorAll("text, rect, circle, path")].filter(outside)).map((part) => part.outerHTML),
    tiny: charts.flatMap((chart) => [...chart.querySelectorAll("text")])
      .filter((text) => text.textContent && letters(text) < 10).map((text) => text.textContent),
    charts: charts.length,
    rows: [...document.querySelectorAll("#files-table tbody tr")].filter((row) => seen(row) && !outside(row)).length,
  };
})()"""
# Wide by nature: as many columns as classes, or a line for each measured point.
MAY_BE_PUSHED = {"Precision, recall and F1 of each class", "scaling-caption"}


@widths
def test_everything_is_to_be_seen_without_pushing_the_page_about(browse: Callable[..., Browser], width: int) -> None:
    found = browse(render(REPORT), width).run(FITS)
    pushed = found.pop("pushed")
    assert set(pushed) <= (MAY_BE_PUSHED if width == PHONE else set()), pushed
    assert found == {"page": 0, "stickingOut": [], "tiny": [], "charts": 10 + len(REPORT.training), "rows": 25}


@widths
def test_a_benchmark_fits_as_well(browse: Callable[..., Browser], width: int) -> None:
    found = browse(render(BENCHMARK), width).run(FITS)
    pushed = found.pop("pushed")
    assert set(pushed) <= (MAY_BE_PUSHED if width == PHONE else set()), pushed
    assert (found["page"], found["stickingOut"], found["tiny"]) == (0, [], [])
    assert found["rows"] == len(BENCHMARK.variants)


@widths
def test_a_benchmark_sorts_by_time_and_a_mark_of_doubt_leads_to_its_reason(
    browse: Callable[..., Browser], width: int
) -> None:
    found = browse(render(BENCHMARK), width).run("""(async () => {
      const table = document.getElementById("files-table");
      const time = [...table.tHead.rows[0].cells].find((cell) => cell.textContent.startsWith("Time per call"));
      const found = {};
      time.querySelector("button").click();
      found.fastest = table.tBodies[0].rows[0].dataset.name;
      document.querySelector("#files-table .doubt").click();
      await new Promise((done) => setTimeout(done, 200));
      found.asked = location.hash;
      found.opened = document.querySelector(location.hash).open;
      document.getElementById("file-0").open = true;
      const rectangles = [...document.querySelectorAll("#file-0 .share rect")];
      const bars = rectangles.map((bar) => bar.getBoundingClientRect().width);
      found.bars = bars.length > 5 && bars[0] > bars[5] && bars[5] > 0;
      const labels = [...document.querySelectorAll(".scaling text.label")]
        .filter((label) => label.getClientRects().length);
      found.labels = labels.filter((label) => {
        const chart = label.ownerSVGElement.getBoundingClientRect();
        const box = label.getBoundingClientRect();
        return box.width > 0 && box.right <= chart.right + 1;
      }).length === labels.length && labels.length > 10;
      return found;
    })()""")
    assert found == {
        "fastest": "mobile-int8.tflite",
        "asked": "#file-5",
        "opened": True,
        "bars": True,
        "labels": True,
    }


def test_the_keyboard_is_enough(browse: Callable[..., Browser]) -> None:
    browser = browse(render(REPORT), DESK)
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the table of all files"
    browser.press("Enter")
    for _ in range(3):
        browser.press("Tab")
    assert browser.run("document.activeElement.name") == "which"
    for _ in range(2):
        browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "File"
    browser.press("Enter")
    assert browser.run("document.querySelector('#files-table [aria-sort]').textContent.startsWith('File')")
    ring = "getComputedStyle(document.activeElement).outlineStyle"
    assert browser.run(ring) == "solid"
    browser.run("document.querySelector('#file-0 summary').focus()")
    browser.press("Enter")
    assert browser.run("document.getElementById('file-0').open")


# Contrast of every text with what is behind it (Web Content Accessibility Guidelines 2.2, 1.4.3: 4.5 to 1).
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const parts = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([red, green, blue]) => {
    const linear = [red, green, blue].map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(parts(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((under, [red, green, blue, alpha]) =>
      [red, green, blue].map((part, index) => part * alpha / 255 + under[index] * (1 - alpha / 255)), [255, 255, 255]);
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || element.closest(".shade-0")) continue;
    const style = getComputedStyle(element);
    const ink = light(parts(element.closest("svg") ? style.fill : style.color));
    const paper = light(behind(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) poor.push(`${element.className} ${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return {poor: [...new Set(poor)], paper: light(behind(document.body))};
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browse: Callable[..., Browser], scheme: str) -> None:
    found = browse(render(REPORT), DESK, scheme).run(CONTRAST)
    assert found["poor"] == []
    assert (found["paper"] > 0.5) == (scheme == "light")


def test_on_paper_everything_is_open_and_black_on_white(browse: Callable[..., Browser]) -> None:
    browser = browse(render(REPORT), DESK, "dark")
    browser.media("print")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    found = browser.run("""({
      paper: getComputedStyle(document.body).backgroundColor,
      ink: getComputedStyle(document.body).color,
      accent: getComputedStyle(document.body).getPropertyValue("--accent").trim(),
      closed: document.querySelectorAll("details:not([open])").length,
      filters: document.querySelector(".filters").getClientRects().length,
    })""")
    assert found == {
        "paper": "rgb(255, 255, 255)",
        "ink": "rgb(0, 0, 0)",
        "accent": "#1a56b4",
        "closed": 0,
        "filters": 0,
    }
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") > 20
    assert browser.paper().startswith(b"%PDF")


def test_the_page_asks_for_nothing_is_a_test_that_can_fail(tmp_path: Path) -> None:
    text = render(msgspec.structs.replace(REPORT, warnings=[]))
    asking = text.replace("</body>", "<script>console.log('heard'); fetch('http://127.0.0.1:9/')</script></body>")
    with Browser(tmp_path, DESK) as browser:
        browser.open(asking.replace("default-src 'none'", "default-src *"))
        browser.run("new Promise((done) => setTimeout(done, 300))")
        assert browser.requests == ["http://127.0.0.1:9/"]
        assert browser.console[0] == "heard"
