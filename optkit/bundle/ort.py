"""ONNX Runtime's own format, for builds with only the operators that the model uses; Python on Linux to test it."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from optkit.bundle import Written, _device_files, _python_files, check_flash
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.bundle import Subject

SUMMARY = "ONNX Runtime's own format (.ort) with the configuration of a build with reduced operators; Python on Linux"
SOURCE = "https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html"
FORMATS = ("onnx",)
_MODEL, _CONFIGURATION = "model.ort", "required_operators_and_types.config"
_SECONDS = 300
# Graph changes beyond this level are for one processor's instructions, and the file is to run on any.
_LEVEL = {"ORT_CONVERT_ONNX_MODELS_TO_ORT_OPTIMIZATION_LEVEL": "extended"}
_NOTES = f"""`{_CONFIGURATION}` names the operators and types that the model uses: ONNX Runtime built with
`--include_ops_by_config {_CONFIGURATION} --enable_reduced_operator_type_support --minimal_build` has no others, and is
a fraction of the size. Such a build reads `.ort` files only."""


def refuse(subject: Subject) -> str | None:
    """Any model runs; only the size of the file is looked at."""
    check_flash(subject)
    return None


def write(subject: Subject, folder: Path) -> Written:
    """Convert with ONNX Runtime's own tool, and pack the outcome as for Linux.

    Raises:
        InputError: The tool failed.
    """
    with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
        shutil.copyfile(subject.path, Path(scratch) / "model.onnx")
        command = [
            sys.executable,
            "-m",
            "onnxruntime.tools.convert_onnx_models_to_ort",
            "--optimization_style",
            "Fixed",
        ]
        done = subprocess.run(
            [*command, "--enable_type_reduction", scratch],
            capture_output=True,
            text=True,
            env={**os.environ, **_LEVEL},
            timeout=_SECONDS,
            check=False,
        )
        made = sorted(Path(scratch).rglob("*.ort")), sorted(Path(scratch).rglob("*.config"))
        if done.returncode or not all(made):
            said = " ".join((done.stderr or done.stdout).split())[-300:]
            raise InputError(f"ONNX Runtime cannot convert {subject.path.name} to its own format: {said}")
        shutil.copyfile(made[0][0], folder / _MODEL)
        # The tool notes the scratch folder's name in a comment, which says nothing to anyone.
        lines = made[1][0].read_text(encoding="utf-8").splitlines()
        text = "".join(f"{line}\n" for line in lines if scratch not in line)
        (folder / _CONFIGURATION).write_text(text, encoding="utf-8")
    more = _python_files.write(subject, folder, _MODEL, _NOTES)
    content = (folder / _MODEL).read_bytes()
    size = {"file_bytes": len(content), "gzip_bytes": len(gzip.compress(content, 9, mtime=0))}
    line = f"{_MODEL}: {len(content):,} bytes, {subject.path.name}: {subject.facts.file_bytes:,}"
    return Written(_MODEL, {**more, "ort": size}, (line,))


def prove(folder: Path) -> list[str]:
    """The bundle's own self-test passes here."""
    return _device_files.prove(folder)
