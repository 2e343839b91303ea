from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec
import pytest
from sample_report import sample_report

from optkit.report.terminal import MARK, show

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.schema import Report

replace = msgspec.structs.replace
REPORT = sample_report()


def shown(report: Report = REPORT, *, width: int = 100, folder: Path | None = None) -> str:
    stream = io.StringIO()
    show(report, folder, stream=stream, width=width)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, shown(width=width).splitlines())) <= width


def test_every_file_is_one_line_in_100_columns_with_its_figures() -> None:
    lines = shown().splitlines()
    for variant in REPORT.variants:
        assert any(f" {variant.name} " in f"{line} " for line in lines), variant.name
    row = next(line for line in lines if "  int8 " in line)
    assert row.split() == [
        "int8",
        "99.01",
        "9/7",
        "no",
        "diff",
        "449",
        "3.86×",
        "4.07×",
        "37.4",
        "2.0×",
        "[2.0,",
        "2.1]",
        "faster",
    ]


def test_narrow_terminals_keep_the_verdicts() -> None:
    row = next(line for line in shown(width=80).splitlines() if "  int16x8 " in line)
    assert row.split() == [
        "int16x8",
        "99.04",
        "4/5",
        "no",
        "diff",
        "3.84×",
        "4.05×",
        "1,306",
        "0.058×",
        "slower",
    ]


def test_the_recommended_file_is_marked_without_colour_and_the_rule_stands_under_it() -> None:
    lines = shown().splitlines()
    marked = [line for line in lines if line.startswith(MARK)]
    assert len(marked) == 2
    assert "prune+qat+int8 " in marked[0]
    assert "3.9× smaller, 2.0× [2.0, 2.1] faster, no measurable change in accuracy" in marked[1]
    assert any("this is the smallest" in line for line in lines[lines.index(marked[1]) :])


def test_failures_and_warnings_are_told() -> None:
    text = shown()
    assert "failed: prune+cluster+qat+int8.onnx: answers class 3" in text
    assert "warning: load average 1.9" in text


def test_only_files_that_are_there_are_named_and_a_long_path_is_not_broken(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 150)
    folder.mkdir()
    (folder / "report.md").touch()
    (folder / "artifacts").mkdir()
    named = [line for line in shown(folder=folder).splitlines() if line.startswith("wrote ")]
    assert named == [f"wrote {folder / 'report.md'}", f"wrote {folder / 'artifacts'}"]


def test_no_colour_codes_where_it_is_no_terminal() -> None:
    assert "\x1b" not in shown()


def test_colour_where_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(REPORT, stream=stream, width=100)
    assert "\x1b[" in stream.getvalue()


def test_a_stream_without_unicode_gets_ascii() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(REPORT, stream=stream, width=100)
    stream.seek(0)
    text = stream.read()
    assert "> prune+qat+int8.tflite: 3.9x smaller" in text
    assert "?" not in text


def test_names_are_not_markup() -> None:
    odd = replace(REPORT.variants[0], name="[red]x[/red]")
    assert "[red]x[/red]" in shown(replace(REPORT, variants=[odd]))


def test_no_choice_is_said_to_be_none() -> None:
    assert "No file is recommended" in shown(replace(REPORT, recommendation=None))
    assert MARK not in shown(replace(REPORT, recommendation=None))
