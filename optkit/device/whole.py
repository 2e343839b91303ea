"""Whether a bundle is as it was made, and whole files out of it."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def manifest_of(folder: Path) -> dict[str, Any]:
    """The bundle's manifest, whose own digest is over everything else in it.

    Raises:
        ValueError: It is damaged.
    """
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    rest = {name: value for name, value in found.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != found.get("sha256"):
        raise ValueError("its content is not what its own digest says")
    return found


def damaged(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """The files that are missing or not as they were made."""
    wrong = []
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            wrong.append(f"{name} is damaged")
    return wrong


def usable(folder: Path, out: Path) -> dict[str, Any]:
    """The manifest of a bundle that is whole, where the report can be written.

    Raises:
        InputError: It is damaged, or the report has no place; each fault in one line.
    """
    try:
        manifest = manifest_of(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"manifest.json is damaged ({error}): send the bundle again") from error
    wrong = damaged(folder, manifest)
    if wrong:
        raise InputError("\n".join(f"{line}: send the bundle again" for line in wrong))
    place = out.absolute().parent
    if out.is_dir() or not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"{out} is no file in a folder that can be written; choose another --out")
    return manifest


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name beside it, then rename it.

    Raises:
        OSError: It cannot be written; what was there is as it was.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
