"""Writes what people and programs read of a report: report.json, report.md and report.html."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit import store
from optkit.report import json_file, markdown, page

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.schema import Report

REPORT_FILES = ("report.json", "report.md", "report.html")


def write_report(report: Report, folder: Path) -> None:
    """Write all three, each as a whole or not at all.

    Raises:
        EnvironmentFailedError: The disk is full, or the folder cannot be written.
    """
    contents = (json_file.to_json(report), markdown.render(report).encode(), page.render(report).encode())
    for name, content in zip(REPORT_FILES, contents, strict=True):
        store.write_bytes(folder / name, content)
