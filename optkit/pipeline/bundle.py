"""Packs a model for a device: chooses the file, lets the target write its folder, proves it, and names it."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

import optkit
from optkit import environment, readback, registry, store
from optkit.bundle import Limits, Subject, Written, _device_files
from optkit.errors import BudgetMissedError, EnvironmentFailedError, InputError, OptkitError, nearest
from optkit.measure.size import measure_compute, measure_size
from optkit.pipeline import bundle_subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from optkit.pipeline.bundle_subject import Given, Known

MANIFEST = "manifest.json"
BUNDLE_VERSION = 1


class Packed(NamedTuple):
    """A finished bundle: where it is, what is in it, and what is to be said about it."""

    folder: Path
    name: str
    format: str
    file_bytes: int
    lines: tuple[str, ...]


def bundle(
    source: Path,
    target: str,
    out: Path,
    *,
    given: Given,
    limits: Limits,
    engine: str | None = None,
    on_step: Callable[[str], object] = lambda _: None,
) -> Packed:
    """Pack a run's recommended file, or a single file.

    Args:
        source: A run folder, or a ``.tflite`` or ``.onnx`` file.
        target: Name of the target.
        out: The folder to make, which must not be there; it is complete or not there at all.
        given: What the user said about the data.
        limits: Of the device.
        engine: What is to run the model there, one of the target's; its usual one when ``None``.
        on_step: Gets what is done next.

    Raises:
        InputError: The target cannot run it, or the bundle fails its own test.
        BudgetMissedError: It is beyond a limit.
        EnvironmentFailedError: The disk is full.
    """
    plugin = registry.load("bundle", target)
    engine = checked_engine(plugin, target, engine)
    check_out(out)
    known = (
        bundle_subject.of_run(source, plugin.FORMATS)
        if source.is_dir()
        else [bundle_subject.of_file(source, plugin.FORMATS)]
    )
    with tempfile.TemporaryDirectory(prefix="optkit-bundle-") as scratch:
        subject, notes = _chosen(
            known, plugin, given=given, limits=limits, engine=engine, scratch=Path(scratch), on_step=on_step
        )
        try:
            # Beside its place, so that renaming it is one step.
            with store.folder_in_the_making(out) as folder:
                on_step("writing")
                written: Written = plugin.write(subject, folder)
                _write_manifest(subject, target, written, folder)
                on_step("proving")
                proved = plugin.prove(folder)
                _flush(folder)
                check_out(out)
                folder.rename(out)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
                raise EnvironmentFailedError(
                    f"cannot write {out}: {error.strerror}; nothing is there; free space, then run it again"
                ) from error
            raise InputError(
                f"--out expects a folder that can be made and written, found {out}: {error.strerror}; choose another"
            ) from error
    size = (out / written.model).stat().st_size
    return Packed(out, subject.name, subject.format, size, (*notes, *written.lines, *proved))


def checked_engine(plugin: ModuleType, target: str, engine: str | None) -> str | None:
    """The engine that is meant.

    Raises:
        InputError: The target has none of this name.
    """
    known: tuple[str, ...] = getattr(plugin, "ENGINES", ())
    if engine is None:
        return known[0] if known else None
    if not known:
        raise InputError(f"--engine is not for --target {target}, which has one way to run a model; leave it out")
    if engine not in known:
        raise InputError(f"--engine: {nearest(engine, [*known])}")
    return engine


def check_out(out: Path) -> None:
    """Refuse a place that is taken.

    Raises:
        InputError: Something is there.
    """
    if os.path.lexists(out):
        raise InputError(f"--out expects a folder that is not there yet, found {out}; choose another, or take it away")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out expects a place in a folder that is there, found {out}; make {out.absolute().parent}")


def _chosen(
    known: list[Known],
    plugin: ModuleType,
    *,
    given: Given,
    limits: Limits,
    engine: str | None,
    scratch: Path,
    on_step: Callable[[str], object],
) -> tuple[Subject, list[str]]:
    """The first file that the target can run within the limits.

    Raises:
        OptkitError: None can; with the reason for each.
    """
    evaluation = None
    refused: list[tuple[str, OptkitError]] = []
    for one in known:
        on_step(f"looking at {one.path.name}")
        try:
            evaluation = evaluation or bundle_subject.load(one, given)
            subject = bundle_subject.described(one, given, limits, scratch, evaluation)
            subject = dataclasses.replace(subject, engine=engine)
            reason = plugin.refuse(subject)
            if reason is None:
                notes = [f"{name} is not packed: {error}" for name, error in refused]
                return subject, notes
            refused.append((one.path.name, InputError(reason)))
        except BudgetMissedError as error:
            refused.append((one.path.name, error))
    if len(refused) == 1:
        raise refused[0][1]
    # What is only too large is nearer than what cannot run at all.
    budget = [(name, error) for name, error in refused if isinstance(error, BudgetMissedError)]
    kind = BudgetMissedError if budget else InputError
    nearest = (budget or refused)[0]
    others = f"; none of the other {len(refused) - 1} files fits either" if len(refused) > 1 else ""
    raise kind(f"{nearest[1]}{others}")


def _write_manifest(subject: Subject, target: str, written: Written, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    packed = folder / written.model
    facts = readback.read(packed) if registry.format_of(packed) == subject.format else subject.facts
    measured = packed if facts is not subject.facts else subject.path
    manifest: dict[str, Any] = {
        "bundle_version": BUNDLE_VERSION,
        "optkit_version": optkit.__version__,
        "packages": environment.package_versions(),
        "target": target,
        "name": subject.name,
        "format": subject.format,
        "model": written.model,
        "source_sha256": store.sha256_file(subject.path),
        "recipe": msgspec.to_builtins(subject.recipe),
        "trained_on": msgspec.to_builtins(subject.data),
        "data": _data(subject),
        "task": msgspec.to_builtins(subject.task),
        "preprocessing": msgspec.to_builtins(subject.preprocessing),
        "labels": list(subject.class_names),
        "input": _device_files.port(subject.given),
        "output": _device_files.port(subject.found),
        "size": msgspec.to_builtins(measure_size(measured, facts)),
        "compute": msgspec.to_builtins(measure_compute(facts)),
        "files": {path.relative_to(folder).as_posix(): store.sha256_file(path) for path in files},
        **written.more,
    }
    manifest["sha256"] = store.digest(manifest)
    text = json.dumps(manifest, sort_keys=True, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _data(subject: Subject) -> dict[str, Any]:
    """The test examples that go along, as the self-test's report has them: other data than those of the run."""
    chosen = subject.chosen()
    content = hashlib.sha256(np.ascontiguousarray(subject.raw[chosen]).tobytes())
    content.update(b"" if subject.labels is None else subject.labels[chosen].tobytes())
    return {
        "name": f"{subject.data.name}, {len(chosen)} test examples",
        "sha256": content.hexdigest(),
        "train": None,
        "validation": None,
        "test": len(chosen),
        "calibration": None,
        "preprocessing": msgspec.to_builtins(subject.preprocessing),
        "class_names": list(subject.class_names),
    }


def _flush(folder: Path) -> None:
    """Have everything on the disk before the folder gets its name."""
    for path in (folder, *folder.rglob("*")):
        held = os.open(path, os.O_RDONLY)
        try:
            os.fsync(held)
        finally:
            os.close(held)
