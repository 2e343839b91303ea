"""What is light stays light: heavy packages are loaded only where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

HEAVY = (
    "numpy",
    "tensorflow",
    "tf_keras",
    "keras",
    "onnx",
    "onnxruntime",
    "ai_edge_litert",
    "scipy",
    "matplotlib",
)
NO_TENSORFLOW = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "tf2onnx")


def _loaded(code: str, packages: tuple[str, ...]) -> list[str]:
    tail = f"\nimport sys\nprint([name for name in {packages!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    found: list[str] = ast.literal_eval(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import optkit",
        "import optkit; optkit.__version__",
        "from optkit.cli.main import cli; cli.main(['--help'], standalone_mode=False)",
        "from optkit.cli.main import cli; cli.main(['compress', '--help'], standalone_mode=False)",
        "from optkit.cli.main import cli; cli.main(['train', '--help'], standalone_mode=False)",
        "from optkit.cli.main import cli; cli.main(['compile', '--help'], standalone_mode=False)",
    ],
)
def test_the_core_loads_nothing_heavy(code: str) -> None:
    assert _loaded(code, HEAVY) == []


@pytest.mark.parametrize(
    "module",
    [
        "optkit.cli.list",
        "optkit.pipeline.run",
        "optkit.pipeline.train_run",
        "optkit.pipeline.compile",
        "optkit.runtimes.c",
        "optkit.report.diagnosis",
        "optkit.measure.latency",
        "optkit.measure.latency_worker",
        "optkit.measure.memory_worker",
        "optkit.verify",
        "optkit.readback",
        "optkit.runtimes",
        "optkit.report.page",
    ],
)
def test_checking_and_measuring_load_no_tensorflow(module: str) -> None:
    assert _loaded(f"import {module}", NO_TENSORFLOW) == []


def test_what_is_looked_for_would_be_found() -> None:
    assert _loaded("import numpy", HEAVY) == ["numpy"]
