"""train.html as a reader has it: in a browser, on a phone and on a desk, light and dark, on paper and by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from browser import CHROMIUM, Browser
from sample_training import sample_training

from optkit.report.train_page import render

if TYPE_CHECKING:
    from pathlib import Path

PHONE, DESK = 360, 1400
TEXT = render(sample_training())
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

LOOKED_AT = """(() => {
  const found = {};
  found.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  found.columns = getComputedStyle(document.querySelector(".panels")).gridTemplateColumns.split(" ").length;
  const image = document.querySelector(".strip-of img");
  found.picture = image.complete && image.naturalWidth === 5;
  found.heading = document.querySelector("h1").getBoundingClientRect().bottom < innerHeight;
  const size = (node) => {
    const box = node.getBoundingClientRect();
    return parseFloat(getComputedStyle(node).fontSize) * box.width / node.getBBox().width;
  };
  found.small = Math.min(...[...document.querySelectorAll(".chart text")].map(size)) < 8;
  return found;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "columns"), [(PHONE, 1), (DESK, 2)])
def test_it_fits_and_its_charts_can_be_read(
    tmp_path: Path, width: int, columns: int, scheme: Literal["light", "dark"]
) -> None:
    with Browser(tmp_path, width, scheme) as browser:
        browser.open(TEXT)
        found = browser.run(LOOKED_AT)
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        assert (browser.console, browser.requests) == ([], [])
    assert found == {"wide": 0, "columns": columns, "picture": True, "heading": True, "small": False}
    assert paper == {"light": "rgb(251, 251, 249)", "dark": "rgb(18, 21, 24)"}[scheme]


def test_its_tables_are_reached_and_scrolled_by_keys(tmp_path: Path) -> None:
    with Browser(tmp_path, PHONE) as browser:
        browser.open(TEXT)
        reached = []
        for _ in range(20):
            browser.press("Tab")
            reached.append(browser.run("document.activeElement.getAttribute('aria-label')"))
    assert "Figures of every epoch" in reached
    assert "Confusion matrix" in reached
    assert "Layers of the network" in reached


def test_on_paper_every_epoch_is_there(tmp_path: Path) -> None:
    hidden = "(() => { const one = document.querySelector('.tall'); return one.scrollHeight - one.clientHeight; })()"
    with Browser(tmp_path, DESK) as browser:
        browser.open(TEXT)
        assert browser.run(hidden) > 100
        browser.media("print")
        assert browser.run(hidden) <= 0
        assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert browser.paper().startswith(b"%PDF")


def test_its_own_policy_runs_no_script_and_loads_nothing(tmp_path: Path) -> None:
    hostile = "<script>document.title = 'run'</script><img src='http://127.0.0.1:1/x.png'></body>"
    with Browser(tmp_path, DESK) as browser:
        browser.open(TEXT.replace("</body>", hostile))
        assert browser.run("document.title") == "Training of mlp-128 · optkit"
        # Both refusals are told on the console, so that silence above means that nothing was tried.
        assert sum("Content Security Policy" in said for said in browser.console) >= 2
