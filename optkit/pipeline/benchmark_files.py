"""Which files are measured, in which runtime, and what they are called in the report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from optkit import registry, runtimes, store
from optkit.errors import InputError, nearest
from optkit.schema import Skipped, Variant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def runnable(variants: list[Variant], runtime: str | None) -> tuple[list[Variant], list[Skipped]]:
    """The files that can be measured here, and those whose runtime was named and is missing.

    Raises:
        InputError: None can, or the runtime is for other files.
    """
    if runtime is None:
        return variants, []
    plugin = registry.load("runtimes", runtime)
    own = [variant for variant in variants if variant.format == plugin.FORMAT]
    if not own:
        raise InputError(f"--runtime {runtime} is for .{plugin.FORMAT} files, found none; leave it out")
    reason = plugin.missing() if hasattr(plugin, "missing") else None
    if reason is None:
        return variants, []
    others = [variant for variant in variants if variant not in own]
    if not others:
        raise InputError(f"not measured in {runtime}: {reason}")
    return others, [Skipped(one.name, one.format, f"not measured in {runtime}: {reason}") for one in own]


def named(files: Sequence[Path], baseline: Path | None, runtime_name: str | None) -> list[Variant]:
    """A record for each file, the baseline first, with a name of its own.

    Raises:
        InputError: A file is not there or of no known kind, or the baseline is not among them.
    """
    suffixes = [f".{registry.load('runtimes', name).FORMAT}" for name in registry.names("runtimes")]
    paths: list[Path] = []
    for path in files:
        if path.suffix.lower() not in suffixes:
            raise InputError(
                f"expected files that end in {', '.join(suffixes)}, found {path}: {nearest(path.suffix, suffixes)}"
            )
        _check_there(path)
        if not any(path.samefile(other) for other in paths):
            paths.append(path)
    if baseline is not None:
        first = [path for path in paths if baseline.exists() and path.samefile(baseline)]
        if not first:
            raise InputError(f"--baseline expects one of the files that are measured, found {baseline}")
        paths = [*first, *(path for path in paths if path not in first)]
    records: list[Variant] = []
    for path in paths:
        runtime = runtimes.plugin(registry.format_of(path), runtime_name)
        records.append(
            Variant(
                name=_free_name(path, records),
                format=runtime.FORMAT,
                runtime=f"{runtime.__name__.rpartition('.')[2]} {runtime.version()}",
                recipe=None,
                path=path.resolve().as_posix(),
                sha256=store.sha256_file(path),
                status="ok",
            )
        )
    return records


def _check_there(path: Path) -> None:
    """Refuse a path that leads to no file.

    Raises:
        InputError: What is there in its place.
    """
    shown = str(path) if len(str(path)) < 200 else f"{str(path)[:200]}…"
    try:
        path.stat()
        found = "" if path.is_file() else "a folder" if path.is_dir() else "something that is no file"
    except OSError as error:
        found = error.strerror or str(error)
    if found:
        raise InputError(f"expected a model file at {shown}, found {found}; check the path")


def _free_name(path: Path, records: list[Variant]) -> str:
    """The file's name in the letters that names have; with its folder's, or a number, where it is taken."""
    taken = {(record.name, record.format) for record in records}

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9.+-]+", "-", text.lower()).strip("-") or "file"

    names = [plain(path.stem), plain(f"{path.resolve().parent.name}-{path.stem}")]
    names += [f"{names[0]}-{number}" for number in range(2, len(records) + 3)]
    return next(name for name in names if (name, registry.format_of(path)) not in taken)
