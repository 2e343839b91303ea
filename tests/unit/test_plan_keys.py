"""A model is made again when anything that decides it has changed, and only then."""

from __future__ import annotations

import pytest

from optkit import recipes
from optkit.pipeline.plan import make_plan
from optkit.pipeline.settings import Settings


@pytest.mark.parametrize(("step", "again"), [("shrink:bytes=4096", True), ("prune", False)])
def test_a_model_that_is_measured_as_a_file_depends_on_how_files_are_made(step: str, *, again: bool) -> None:
    recipe = recipes.parse(f"{step}+int8")
    keys = [
        make_plan(Settings(formats=("tflite",), io=io), [recipe], "data").model(step.partition(":")[0]).key
        for io in ("int8", "float")
    ]
    assert (keys[0] != keys[1]) == again
