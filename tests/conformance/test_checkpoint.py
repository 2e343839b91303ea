"""A training that is killed goes on at the last finished epoch, and ends with the bytes it would have had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkpoint_jobs import CHANGES

from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

pytestmark = pytest.mark.slow
KILLED_AFTER = 2


class Runner:
    """Runs trainings one after the other, each in a process of its own."""

    def __init__(self, pool: Workers) -> None:
        self._pool = pool

    def __call__(self, plan: str, file: Path | None, **more: Any) -> Any:
        arguments = {"plan": plan, "file": None if file is None else str(file), **more}
        job = Job("one", "checkpoint_jobs:training", arguments)
        return self._pool.run([job], cores=1, on_event=lambda *_: None)["one"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, tmp_path_factory.mktemp("log") / "log.txt") as pool:
        yield Runner(pool)


@pytest.mark.parametrize("plan", CHANGES)
def test_a_killed_training_ends_as_an_undisturbed_one(run: Runner, plan: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    whole = run(plan, None)
    assert whole["seen"] == list(range(len(whole["losses"])))
    rates = [rate for _, _, rate in whole["losses"]]
    # A rate that was cut before the kill must still be cut after it.
    cuts = [number for number in range(1, len(rates)) if rates[number] < rates[number - 1]]
    done = cuts[0] if plan == "all of it" else KILLED_AFTER
    assert len(rates) > done
    beside = run(plan, file)
    assert beside == whole, "a training that writes checkpoints is another one"
    assert isinstance(run(plan, file, killed_after=done), Failure)
    assert [one.name for one in tmp_path.iterdir()] == [file.name]
    after = run(plan, file)
    assert after["seen"] == whole["seen"][done:]
    assert not after["left"]
    for kind in ("digest", "losses"):
        assert after[kind] == whole[kind], kind


def test_a_checkpoint_that_is_of_no_use_is_not_used(run: Runner, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    assert isinstance(run("steady", file, killed_after=KILLED_AFTER), Failure)
    content = file.read_bytes()
    # What it was made for takes it.
    assert run("steady", file)["seen"] == [2, 3, 4]
    whole = run("steady", None)["digest"]
    damaged = content[:9000] + bytes([content[9000] ^ 1]) + content[9001:]
    for name, bytes_, more in (
        ("of another seed", content, {"seed": 1}),
        ("of other data", content, {"samples": 401}),
        ("cut off", content[:5000], {}),
        ("empty", b"", {}),
        ("damaged", damaged, {}),
    ):
        file.write_bytes(bytes_)
        found = run("steady", file, **more)
        assert found["seen"] == [0, 1, 2, 3, 4], name
        assert (found["digest"] == whole) == (not more), name
    file.write_bytes(content)
    assert run("one-cycle", file)["seen"] == [0, 1, 2, 3, 4]
