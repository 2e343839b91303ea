"""Makes a slimmer copy of a model file, proves that it answers the same, and only then delivers it."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from optkit import registry, store
from optkit.errors import InputError, PartialError
from optkit.measure.accuracy import decided, fresh_answers
from optkit.pipeline import model_file
from optkit.pipeline.judge import task_of
from optkit.report.slimming import SCHEMA_VERSION, Merge, Slimming
from optkit.statistics import compare_answers, compare_errors
from optkit.verify.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.pipeline.diff import Data
    from optkit.quality import Comparison, ErrorComparison

SUFFIXES = (".tflite", ".onnx")
_WORKER = "optkit.pipeline.slim_worker"
# Flatbuffers and protobuf messages are smaller: what a larger file holds lies beside them, and cannot be slimmed.
_MOST_BYTES = 1 << 31


class Proven(NamedTuple):
    """A slim file that was held against the one before: what each kind saved, what was compared, and notes."""

    saved: dict[str, int]
    identity: Identity
    notes: list[str]


def slim(
    path: Path,
    out: Path,
    *,
    keep: Sequence[str] = (),
    write_data: Callable[[Path], Data] | None = None,
    merge: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Slimming:
    """Write a slimmer copy of a file.

    Args:
        path: A ``.tflite`` or ``.onnx`` file, which is not touched.
        out: The copy, of the same format.
        keep: Kinds of things to leave in it, see ``KEEPS`` of the format's plug-in.
        write_data: Loads the data and writes the validation part's inputs into the folder it is given; inputs are
            generated when ``None``.
        merge: Also give each int8 kernel one scale, if validation accuracy allows.
        on_step: Is told what is being done.

    Raises:
        InputError: The file cannot be used, or the copy would take its place; nothing was written.
        PartialError: The copy answers otherwise; nothing was written.
    """
    file_format = model_file.kind(path, suffixes=SUFFIXES, folder=False)
    if path.stat().st_size >= _MOST_BYTES:
        raise InputError(
            f"expected a file of less than 2 GiB, found {path} with {path.stat().st_size:,} bytes; such a file keeps "
            "weights where slim cannot follow them: leave it as it is"
        )
    _check_out(path, out)
    if merge and write_data is None:
        raise InputError("--merge-scales is decided on validation data; give --data")
    with tempfile.TemporaryDirectory(prefix="optkit-slim-") as scratch:
        folder = Path(scratch)
        # What is read, run and compared is one state of the file.
        before, after = folder / f"before.{file_format}", folder / f"after.{file_format}"
        shutil.copyfile(path, before)
        data = None
        if write_data is not None:
            on_step("reading the data")
            data = write_data(folder)
        proven = prove(
            before, after, keep=keep, images=None if data is None else data.images, name=path, on_step=on_step
        )
        judged = None
        if merge and data is not None:
            on_step("judging merged scales")
            judged = _merge(before, after, keep, data, name=path)
        if after.stat().st_size >= before.stat().st_size:
            shutil.copyfile(before, after)
        content = after.read_bytes()
        store.write_bytes(out, content)
        if out.read_bytes() != content:
            raise InputError(f"{out} was changed by something else while it was written; run the command again")
        return Slimming(
            schema_version=SCHEMA_VERSION,
            path=str(path),
            out=str(out),
            format=file_format,
            sha256_before=store.sha256_file(before),
            sha256_after=store.sha256_file(after),
            file_bytes_before=before.stat().st_size,
            file_bytes_after=len(content),
            gzip_bytes_before=len(gzip.compress(before.read_bytes(), 9, mtime=0)),
            gzip_bytes_after=len(gzip.compress(content, 9, mtime=0)),
            saved_bytes=proven.saved,
            identity=proven.identity,
            merge=judged,
            data=None if data is None else data.name,
            notes=proven.notes,
        )


def prove(
    before: Path,
    after: Path,
    *,
    keep: Sequence[str] = (),
    images: Path | None = None,
    name: object = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Proven:
    """Write a slim file to ``after`` and show that it answers bit for bit as ``before``, each step in a fresh process.

    Args:
        before: The file.
        after: Where the slim one goes.
        keep: Kinds of things to leave in it.
        images: Real inputs as .npy; generated ones when ``None``.
        name: What to call the file in messages; its path by default.
        on_step: Is told what is being done.

    Raises:
        InputError: The file cannot be read, slimmed or run.
        PartialError: The slim one answers otherwise. It is removed.
    """
    shown = str(before if name is None else name)
    on_step("slimming")
    told = _ask(
        {"do": "slim", "file": str(before), "to": str(after), "keep": list(keep), "merge": False}, before, shown
    )
    on_step("comparing outputs")
    job = {
        "do": "compare",
        "file": str(before),
        "other": str(after),
        "images": None if images is None else str(images),
        # Named so that both count for the memory that the process may have.
        "sessions": [{"path": str(one)} for one in (before, after)],
    }
    running: list[str] = []
    try:
        answer = _ask(job, before, shown, running)
    except InputError:
        if running[-1:] != ["other"]:
            raise
        after.unlink(missing_ok=True)
        raise PartialError(f"the slim file made of {shown} cannot be run; nothing was written") from None
    found = msgspec.convert(answer["identity"], Identity)
    if found.difference is not None:
        after.unlink(missing_ok=True)
        raise PartialError(
            f"the slim file made of {shown} answers otherwise ({found.difference}); nothing was written, keep the file "
            "as it is"
        )
    return Proven(told["saved"], found, list(told["notes"]))


def _ask(job: dict[str, Any], file: Path, shown: str, running: list[str] | None = None) -> dict[str, Any]:
    """Ask the worker; messages speak of the user's file, not of its copy.

    Args:
        job: What it is to do.
        file: The file that it is about.
        shown: What the user calls it.
        running: Gets which of two files the worker was about to run, the last one last.

    Raises:
        InputError: It could not be done.
    """
    last: dict[str, Any] = {"event": "failed", "reason": f"{shown} cannot be read: the process said nothing"}
    try:
        for message in model_file.tell(_WORKER, job, shown):
            if message["event"] == "running" and running is not None:
                running.append(message["which"])
            elif message["event"] in {"done", "failed"}:
                last = message
    except InputError as error:
        last = {"event": "failed", "reason": str(error)}
    if last["event"] == "failed":
        words = last["reason"].replace(str(file), shown)
        raise InputError(words if shown in words else f"{shown}: {words}")
    return last


def _check_out(path: Path, out: Path) -> None:
    """Stop where the copy has another format, cannot be written, or would take the place of the file itself.

    Raises:
        InputError: It is so.
    """
    if registry.format_of(out) != registry.format_of(path):
        raise InputError(f"--out expects a file that ends in {path.suffix.lower()}, as {path} does, found {out}")
    # First, for a name that is too long raises in what follows.
    store.check_can_write(out, "--out")
    # Links of both kinds lead to the same file.
    if out.exists() and out.samefile(path):
        raise InputError(f"--out expects another file than the input, found {out}, which is {path}; choose another")


def _merge(before: Path, after: Path, keep: Sequence[str], data: Data, *, name: Path) -> Merge:
    """Judge a slim file whose kernels have one scale each; where it may be, it takes the place of ``after``."""
    merged = after.with_name(f"merged{after.suffix}")
    told = _ask(
        {"do": "slim", "file": str(before), "to": str(merged), "keep": list(keep), "merge": True}, before, str(name)
    )
    if data.labels is None:
        raise InputError(
            "--merge-scales is decided on the labels of validation data, found none; give data with labels"
        )
    try:
        answers = [fresh_answers(one, data.images, log=after.with_name("log.txt"))[0] for one in (before, merged)]
    except InputError as error:
        reason = str(error).replace(str(merged), "the file with merged scales").replace(str(before), str(name))
        raise InputError(f"--merge-scales cannot be judged: {reason}; leave it out") from error
    versus = _versus(np.asarray(data.labels), *answers)
    saves = after.stat().st_size - merged.stat().st_size
    allowed = versus.verdict != "worse" and saves > 0
    if allowed:
        merged.replace(after)
    return Merge(allowed, saves, len(data.labels), versus, list(told["merge_notes"]))


def _versus(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Comparison | ErrorComparison:
    """Class by class, or by errors where the one output is a value."""
    if before.dtype.kind == "f":
        task = task_of(labels, before)
        if task.kind == "regression":
            return compare_errors(labels, before, after)
        before, after = decided(before, task), decided(after, task)
    return compare_answers(labels, before, after)
