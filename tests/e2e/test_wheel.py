"""The built wheel has everything that the checkout has: data, schema, templates."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from conftest import SMALL, optkit

import optkit as package

ROOT = Path(package.__file__).parent.parent


def test_compress_runs_from_the_built_wheel(tmp_path: Path) -> None:
    # From a copy: setuptools leaves its build folder behind, and takes what an older one left there.
    source = tmp_path / "source"
    shutil.copytree(ROOT / "optkit", source / "optkit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path)]
    build = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("optkit-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert {"optkit/data/mnist.npz", "optkit/data/mnist.npz.LICENSE.md", "optkit/py.typed"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
    result = optkit(
        "compress", *SMALL, "--recipe", "int8", "--formats", "tflite", "--out", str(tmp_path / "run"),
        cwd=tmp_path / "installed",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert {path.name for path in (tmp_path / "run" / "artifacts").iterdir()} == {"fp32.tflite", "int8.tflite"}
    assert (tmp_path / "run" / "report.html").stat().st_size > 0
