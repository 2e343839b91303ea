"""Records that a benchmark keeps in ``.bench`` while it runs, so that one that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from benchmarks._files import CACHE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def digest(paths: Iterable[Path], *words: str) -> str:
    """SHA-256 over the content of files, in the order of their names, and words."""
    found = hashlib.sha256("\0".join(words).encode())
    for path in sorted(paths):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def kept(benchmark: str, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The record of this key, made where there is none yet."""
    path = CACHE / benchmark / f"{key[:40]}.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    record = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, sort_keys=True), encoding="utf-8")
    partial.replace(path)
    return record
