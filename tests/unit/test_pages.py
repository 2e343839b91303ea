"""README and the pages of docs: what they link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def missing(page: Path) -> list[str]:
    """Files that a page links to and that are not there."""
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    return [link for link in links if "://" not in link and not (page.parent / link).exists()]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md")))])
def test_every_link_leads_to_a_file(page: str) -> None:
    assert missing(ROOT / page) == []


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](page.md), [b](https://example.org/c), [d](gone.md#part)", encoding="utf-8")
    assert missing(page) == ["gone.md"]


def test_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in ROOT.glob("docs/*.md") if f"](docs/{path.name})" not in readme] == []
