"""What becomes of files whose model, export or check failed: refused is skipped, anything else is a failed file."""

from __future__ import annotations

import pytest

from optkit import recipes
from optkit.pipeline.jobs import _without_refused
from optkit.pipeline.plan import FileStage, ModelStage, Plan
from optkit.pipeline.settings import Settings
from optkit.workers import Failure

RECIPE = recipes.parse("prune+int8")
PLAN = Plan(
    Settings(),
    [RECIPE],
    [ModelStage("baseline", "a", None, (), {}), ModelStage("prune", "b", "baseline", RECIPE.techniques, {})],
    [FileStage(RECIPE.name, "tflite", "export key", "check key", "prune", RECIPE)],
    [],
    [],
)


@pytest.mark.parametrize(("job", "key"), [("train prune", "export key"), ("export prune+int8.tflite", "export key")])
def test_only_what_is_refused_is_skipped(job: str, key: str) -> None:
    plan, failures = _without_refused(PLAN, {job: Failure("InputError", "no layer for it", 2)})
    assert ([one.reason for one in plan.skipped], plan.files, failures) == (["no layer for it"], [], {})
    crashed = Failure("InvalidArgumentError", "8 vs 5", 70)
    plan, failures = _without_refused(PLAN, {job: crashed})
    assert (plan.skipped, plan.files, failures) == ([], PLAN.files, {key: crashed})


def test_a_check_that_fails_is_a_failed_file() -> None:
    failure = Failure("InputError", "cannot be opened", 2)
    plan, failures = _without_refused(PLAN, {"check prune+int8.tflite": failure})
    assert (plan.skipped, plan.files, failures) == ([], PLAN.files, {"check key": failure})
