"""The files whose generated C is measured, and whether it answers as LiteRT's reference kernels."""

from __future__ import annotations

import hashlib
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import optkit
from benchmarks._files import CACHE
from benchmarks._records import digest, kept

FRONT = Path(__file__).parent / "pareto" / "files"
STANDARD = CACHE / "standard"
PACKAGE = Path(optkit.__file__).parent
# A part of the test images, which a process answers.
_PART = 1000


class File(NamedTuple):
    """A file, and the names under which the front has it."""

    path: Path
    names: tuple[str, ...]
    sha256: str

    @property
    def title(self) -> str:
        """What figures call it."""
        return ", ".join(self.names)


def named(parts: list[str], *, standard: bool) -> list[File]:
    """The files that were named, else those of the front, and the int8 files of the standard set; equal ones once.

    Args:
        parts: Paths.
        standard: Whether the standard set is wanted as well; it is made (some minutes) where it is not in ``.bench``.
    """
    listed = [(Path(one).name, Path(one)) for one in parts]
    if not listed:
        listed = [(path.name, path) for path in sorted(FRONT.glob("*.tflite"))]
        listed += [(f"standard {path.name}", path) for path in _standard()] if standard else []
    if not listed:
        raise FileNotFoundError(f"no .tflite files in {FRONT}; name files to compile")
    found: dict[str, File] = {}
    for name, path in listed:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        before = found.get(content)
        found[content] = File(path, (*(before.names if before else ()), name), content)
    return [*found.values()]


def _standard() -> list[Path]:
    """The int8 files that the bare ``optkit compress`` makes; it goes on where it was stopped."""
    folder = STANDARD / "artifacts"
    if not (STANDARD / "report.json").is_file():
        command = [sys.executable, "-m", "optkit", "compress", "--formats", "tflite", "--out", str(STANDARD)]
        subprocess.run(command, check=True)
    return sorted(path for path in folder.glob("*int8.tflite"))


def generator() -> str:
    """Digest of what makes the C."""
    return digest((PACKAGE / "codegen").rglob("*.py"))


def exact(file: File) -> dict[str, Any]:
    """Images of the test set whose output is another than that of LiteRT's reference kernels, and right answers.

    The C is that of ``--prefer ram`` and, for wide registers, of ``--prefer speed``, both built for this machine.
    """
    return kept(
        "compiled-exact", digest([], file.sha256, generator(), Path(__file__).read_text()), lambda: _exact(file)
    )


def _exact(file: File) -> dict[str, Any]:
    starts = range(0, 10_000, _PART)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_part, [str(file.path)] * len(starts), starts))
    outputs = {one for part in parts for one in part.pop("outputs")}
    return {
        "file_bytes": file.path.stat().st_size,
        "distinct_outputs": len(outputs),
        **{name: sum(part[name] for part in parts) for name in parts[0]},
    }


def _part(path: str, start: int) -> dict[str, Any]:
    """As ``exact``, for the images from one on."""
    import tempfile

    from optkit import data, runtimes
    from optkit.bundle._c_folder import Options
    from optkit.pipeline.compile import compile_file
    from optkit.runtimes import c, litert

    dataset = data.load("mnist")
    images = dataset.real(dataset.test.images[start : start + _PART])
    labels = np.asarray(dataset.test.labels[start : start + _PART])
    native = runtimes.open_model(Path(path)).to_native(images)
    reference = litert.open_raw(Path(path), litert.REFERENCE_KERNELS)
    wanted = np.concatenate([reference.run([row[None]])[0].reshape(1, -1) for row in native])
    found: dict[str, Any] = {"images": len(native)}
    for prefer in ("ram", "speed"):
        with tempfile.TemporaryDirectory(prefix="optkit-bench-") as scratch:
            out = Path(scratch) / "out"
            compile_file(Path(path), out, Options(prefer=prefer, vectors=1))
            ours = c.open_raw(out / "model.c", c.KERNELS[0]).run([native])[0].reshape(len(native), -1)
        found[f"differing_{prefer}"] = int((ours != wanted).any(axis=1).sum())
    found["correct"] = int((wanted.argmax(axis=1) == labels).sum())
    found["outputs"] = [row.tobytes().hex() for row in np.unique(wanted, axis=0)]
    return found
