"""The command line as a user has it: a process of its own, real images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

OPTKIT = [sys.executable, "-m", "optkit.cli.main"]
# A perceptron, 6,000 images, one epoch: every kind of stage in a few seconds each.
SMALL = ("--baseline", "mlp-128", "--quick", "--epochs", "1")
SMALL_RECIPES = ("--recipe", "prune:epochs=1+cluster:epochs=1+qat:epochs=1+int8")

Result = subprocess.CompletedProcess[str]


def optkit(*arguments: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> Result:
    """Run the command line to its end."""
    return subprocess.run(
        [*OPTKIT, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        timeout=600,
        check=False,
    )


def report_of(folder: Path) -> dict[str, Any]:
    """report.json of a run folder."""
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def artifact_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each artifact and model, as the manifest has them."""
    files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    return {name: digest for name, digest in files.items() if name.startswith(("artifacts/", "models/"))}


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished ``optkit compress --quick``."""
    folder = tmp_path_factory.mktemp("quick") / "run"
    return folder, optkit("compress", "--quick", "--out", str(folder))


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished run of the small settings."""
    folder = tmp_path_factory.mktemp("small") / "run"
    return folder, optkit("compress", *SMALL, *SMALL_RECIPES, "--out", str(folder))


def _missed() -> tuple[str, ...]:
    recipes = ("int8", "shrink:parameters=0.1,epochs=1+int8", "shrink:parameters=0.0001,epochs=1+int8")
    arguments = [argument for recipe in recipes for argument in ("--recipe", recipe)]
    limits = ("--max-drop", "0.5pt", "--max-size", "2KB", "--max-latency", "1s")
    return ("compress", *SMALL, "--formats", "tflite", *limits, *arguments)


MISSED_SEARCH = _missed()


@pytest.fixture(scope="session")
def missed_search(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A search among recipes of which none is within both limits, and one cannot be made at all."""
    folder = tmp_path_factory.mktemp("missed") / "run"
    return folder, optkit(*MISSED_SEARCH, "--out", str(folder))
