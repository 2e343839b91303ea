"""``optkit report``: draws the pages of a run again from its report.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from optkit.schema import Report

WRITTEN = ("report.html", "report.md")


@click.command(name="report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--out", metavar="DIR2", type=click.Path(path_type=Path), help="Folder to write to (default: DIR).")
def command(folder: Path, out: Path | None) -> None:
    """Write report.html and report.md again from report.json alone, and print the table.

    DIR is a run folder, or the path of a report.json. Nothing is measured, and nothing else in DIR is changed.
    """
    from optkit import store
    from optkit.errors import InputError
    from optkit.report import markdown, page, terminal

    source = folder / "report.json" if folder.is_dir() else folder
    report = _read(source)
    try:
        pages = [page.render(report).encode(), markdown.render(report).encode()]
    except UnicodeEncodeError as error:
        raise InputError(
            f"expected text in {source}, found half a character ({error.reason}); "
            "give the report.json as it was written"
        ) from error
    target = _folder(source.parent if out is None else out)
    for name, data in zip(WRITTEN, pages, strict=True):
        store.write_bytes(target / name, data)
    terminal.show(report, target, written=WRITTEN)


def _read(source: Path) -> Report:
    """The report in a file.

    Raises:
        InputError: There is none, or it cannot be read as one.
    """
    from optkit.errors import InputError
    from optkit.report import json_file
    from optkit.report.plausible import check_plausible

    advice = "give the folder of an optkit run, or its report.json"
    if not source.exists():
        found = "a folder without one" if source.parent.is_dir() and source.name == "report.json" else "nothing there"
        raise InputError(f"expected a report.json at {source}, found {found}; {advice}")
    try:
        data = source.read_bytes()
    except OSError as error:
        raise InputError(
            f"expected a report.json that can be read, found {source}: {error.strerror}; {advice}"
        ) from error
    try:
        report = json_file.from_json(data)
        check_plausible(report)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return report


def _folder(target: Path) -> Path:
    """A folder to write to, made where it is missing.

    Raises:
        InputError: It is a file, or cannot be made or written.
    """
    import os

    from optkit.errors import InputError

    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out expects a folder, found {target}: {error.strerror}; choose another --out") from error
    if not os.access(target, os.W_OK | os.X_OK):
        raise InputError(f"expected a folder that can be written, found {target}; choose another with --out")
    return target
