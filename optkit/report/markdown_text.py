"""Markdown from plain text: escaped words and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def escaped(value: str) -> str:
    """Text from outside (names, reasons, warnings) that must not become markup or break a table row."""
    safe = "".join(f"\\{letter}" if letter in "\\`*_[]<>|#&~$" else letter for letter in value)
    return " ".join(safe.split())


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1) -> str:
    """A table whose columns from ``numbers_from`` on are aligned to the right."""
    rule = ["---" if column < numbers_from else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))
