"""The runtime ``c`` on machines without a C compiler, and with one that is not gcc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from test_compile_command import small

if TYPE_CHECKING:
    from pathlib import Path

CLANG = shutil.which("clang")
# Builds the C with what is there, and runs it once.
OPENED = """
import sys
from pathlib import Path
import numpy as np
from optkit import runtimes
from optkit.runtimes import c
session = runtimes.open_model(Path(sys.argv[1]))
answers = runtimes.predict(session, np.zeros((1, 12, 12, 1), np.float32), batch=1)
print(Path(c.compiler()).name, answers.shape[-1])
"""


def optkit(*arguments: object, path: Path) -> subprocess.CompletedProcess[str]:
    """The command line with no other programs than those of a folder."""
    environment = {**os.environ, "PATH": str(path)}
    command = [sys.executable, "-m", "optkit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)


def programs(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def test_without_a_compiler_the_runtime_says_so(tmp_path: Path) -> None:
    empty = programs(tmp_path / "bin")
    made = tmp_path / "c"
    done = optkit("compile", small(tmp_path / "small.tflite"), "--out", made, path=empty)
    assert done.returncode == 0, done.stderr
    assert "no C compiler" in done.stdout
    done = optkit("benchmark", made / "model.c", "--min-time", "0.1", "--max-time", "0.2", path=empty)
    assert done.returncode != 0
    assert "this machine has no C compiler; install gcc" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(CLANG is None, reason="there is no clang")
def test_clang_alone_will_do(tmp_path: Path) -> None:
    only = programs(tmp_path / "bin", "clang", "ld", "size")
    made = tmp_path / "c"
    done = optkit("compile", small(tmp_path / "small.tflite"), "--out", made, "--prefer", "speed", path=only)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 random inputs have the answers" in done.stdout
    told = json.loads((made / "compile.json").read_text())
    assert "clang" in told["compiler"]
    # Only gcc tells who calls whom with how much stack.
    assert told["bytes"]["code_bytes"] > 0
    assert told["bytes"]["stack_bytes"] is None
    assert any("stack" in note for note in told["notes"])
    refused = optkit("compile", tmp_path / "small.tflite", "--out", tmp_path / "d", "--ram", "4KiB", path=only)
    assert refused.returncode == 2
    assert "--ram needs gcc" in refused.stderr
    answered = subprocess.run(
        [sys.executable, "-c", OPENED, str(made / "model.c")],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(only)},
        check=False,
    )
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.split() == ["clang", "6"]
