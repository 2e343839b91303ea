"""The name of a run's folder where none is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from optkit.pipeline.run import run_folder
from optkit.pipeline.settings import Settings


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("mine.keras", "mine"),
        ("below/mine.v1.keras", "mine.v1"),
        ("mine.v2.keras", "mine.v2"),
        ("mine.weights.h5", "mine"),
        ("Mine.H5", "Mine"),
        ("saved/mine.1", "mine.1"),
        ("saved/mine/", "mine"),
        (".keras", "model"),
        ("/", "model"),
    ],
)
def test_each_model_has_a_folder_of_its_own(model: str, name: str) -> None:
    assert run_folder(Settings(model=model), None) == Path(f"optkit-run-{name}")


def test_the_current_folder_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert run_folder(Settings(model="."), None) == Path("optkit-run-mine")
