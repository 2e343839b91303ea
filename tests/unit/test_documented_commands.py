"""Every command that README and the pages of docs tell one to type: its options and recipes are understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from optkit import recipes
from optkit.cli import main
from optkit.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md")))]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words of each ``optkit`` line in a page's blocks of shell, continued lines joined, comments left out."""
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [one[1:] for one in words if one[:1] == ["optkit"]]


def understood(words: list[str]) -> None:
    """Parse a command as the command line does, and its recipes, without running anything.

    Raises:
        click.UsageError: An option or a value that there is not.
        InputError: A recipe that cannot be read.
    """
    command = main.cli.get_command(click.Context(main.cli), words[0])
    assert command is not None
    context = command.make_context(words[0], words[1:])
    if words[0] == "compress":
        for text in context.params["recipes"]:
            if not text.endswith(".toml"):
                recipes.parse(text)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_understood(page: str) -> None:
    for words in commands(ROOT / page):
        understood(words)


def test_commands_are_found(tmp_path: Path) -> None:
    assert sum(len(commands(ROOT / page)) for page in PAGES) > 40
    page = tmp_path / "page.md"
    page.write_text("```sh\noptkit slim a \\\n  --out b   # smaller\nls\n```\noptkit nothing\n", encoding="utf-8")
    assert commands(page) == [["slim", "a", "--out", "b"]]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("compress --max-dorp 0.5pt", click.UsageError),
        ("compress --recipe shrink:byte=1000+int8", InputError),
        ("slim a.tflite", click.UsageError),
        ("shrink a.tflite", click.UsageError),
    ],
)
def test_a_wrong_command_is_found(line: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        understood(line.split())
