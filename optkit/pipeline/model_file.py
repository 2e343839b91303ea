"""A model file that the user names: is it there, of which kind is it, and asking a process of its own about it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optkit import limits, registry
from optkit.errors import InputError, nearest
from optkit.measure.fresh_process import WorkerDiedError, converse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUFFIXES = (".tflite", ".onnx", ".keras", ".h5")
# What a TensorFlow SavedModel folder has in it.
SAVED_MODEL = "saved_model.pb"
# So many inputs are in a call; the small runtimes get one at a time.
KERAS_BATCH = 64


def kind(path: Path, *, suffixes: Sequence[str] = SUFFIXES, folder: bool = True) -> str:
    """``tflite``, ``onnx``, ``keras``, ``h5`` or ``savedmodel``.

    Args:
        path: What the user named.
        suffixes: Endings that the command takes.
        folder: Whether it takes SavedModel folders.

    Raises:
        InputError: Nothing that can be a model file is there.
    """
    shown = str(path) if len(str(path)) < 200 else f"{str(path)[:200]}…"
    wanted = f"a model file that ends in {', '.join(suffixes)}" + (" or a SavedModel folder" if folder else "")
    try:
        if path.is_dir():
            if not folder or path.suffix.lower() in suffixes:
                raise InputError(f"expected {wanted}, found the folder {shown}; name a file in it")
            if not (path / SAVED_MODEL).is_file():
                raise InputError(f"expected {wanted}, found the folder {shown} without {SAVED_MODEL}; check the path")
            return "savedmodel"
        size = path.stat().st_size
        is_file = path.is_file()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"expected {wanted} at {shown}; it cannot be read: {reason}; check the path") from error
    if path.suffix.lower() not in suffixes:
        hint = nearest(path.suffix, list(suffixes)) if path.suffix else "rename it so that its ending says what it is"
        raise InputError(f"expected {wanted}, found {shown}: {hint}")
    if not is_file:
        raise InputError(f"expected {wanted}, found something that is no file: {shown}; check the path")
    if not size:
        raise InputError(f"expected {wanted}, found an empty file: {shown}; export the model again")
    return registry.format_of(path)


def ask(module: str, job: dict[str, Any], subject: str) -> dict[str, Any]:
    """Give a worker its job in a fresh process, which a file that crashes its reader takes down alone.

    Args:
        module: The worker, which answers once.
        job: What it is to do; ``file`` is the model's path.
        subject: What the job is about, for the message.

    Raises:
        InputError: It could not be done, with the worker's reason.
    """
    told = [one for one in tell(module, job, subject) if one["event"] in {"done", "failed"}]
    if not told or told[-1]["event"] != "done":
        raise InputError(told[-1]["reason"] if told else f"{subject} cannot be read: the process said nothing")
    return told[-1]


def tell(module: str, job: dict[str, Any], subject: str) -> Iterator[dict[str, Any]]:
    """As ``ask``, for workers that answer more than once; yields what they say.

    Raises:
        InputError: The process died.
    """
    with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
        try:
            path = Path(job["file"])
            patience = limits.patience_seconds(
                path, batch=KERAS_BATCH if registry.format_of(path) not in {"tflite", "onnx"} else 1
            )
            yield from converse(module, job, Path(scratch) / "log.txt", patience)
        except WorkerDiedError as error:
            raise InputError(f"{subject} cannot be used: {error}; the file is damaged, or its runtime is") from error
