from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sample_benchmark import sample_benchmark
from sample_report import sample_report

from optkit.cli.report import command
from optkit.errors import InputError
from optkit.report import json_file, markdown, page

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit | InputError):
        raise result.exception
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    (made / "report.json").write_bytes(json_file.to_json(sample_report()))
    return made


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, InputError), result.output
    assert result.exception.exit_code == 2
    message = str(result.exception)
    assert "\n" not in message
    return message


def test_the_pages_are_drawn_again_beside_the_json(folder: Path) -> None:
    before = (folder / "report.json").read_bytes()
    result = run(folder)
    assert result.exit_code == 0
    assert (folder / "report.html").read_text(encoding="utf-8") == page.render(sample_report())
    assert (folder / "report.md").read_text(encoding="utf-8") == markdown.render(sample_report())
    assert (folder / "report.json").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.html", "report.md"}
    assert "► prune+qat+int8.tflite: 3.9× smaller" in result.output
    named = [line for line in result.output.splitlines() if line.startswith("wrote ")]
    assert named == [f"wrote {folder / 'report.html'}", f"wrote {folder / 'report.md'}"]


def test_another_folder_is_made_and_the_first_is_left_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "other"
    assert run(folder / "report.json", "--out", out).exit_code == 0
    assert {path.name for path in out.iterdir()} == {"report.html", "report.md"}
    assert {path.name for path in folder.iterdir()} == {"report.json"}


def test_a_benchmark_is_drawn_too(folder: Path) -> None:
    (folder / "report.json").write_bytes(json_file.to_json(sample_benchmark()))
    result = run(folder)
    assert "Nothing is recommended: that is decided on validation data" in result.output
    assert "Batches and threads" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'}, found nothing there" in refused(tmp_path / "nowhere")


def test_a_folder_without_a_report_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'report.json'}, found a folder without one" in refused(tmp_path)


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(json_file.to_json(sample_report())), **values}).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"schema_version": 1', "not JSON"),
        (b"\x00\xff", "not JSON"),
        (b"[]", "without a schema_version"),
        (changed(schema_version=2), "found version 2"),
        (changed(schema_version=0), "found version 0"),
        (changed(variants=[{"name": 3}]), "does not fit version 1"),
        (changed(command="\ud800"), "half a character"),
    ],
)
def test_a_damaged_report_is_refused_and_nothing_is_written(folder: Path, data: bytes, words: str) -> None:
    (folder / "report.json").write_bytes(data)
    message = refused(folder)
    assert words in message
    assert "report.json" in message
    assert {path.name for path in folder.iterdir()} == {"report.json"}


def test_an_out_that_is_a_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "--out expects a folder" in refused(folder, "--out", tmp_path / "file")
    (folder / "report.json").unlink()
    (folder / "report.json").mkdir()
    assert "a report.json that can be read" in refused(folder)
