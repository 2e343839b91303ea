"""Training does what its plan says: rules, rates, losses and averages against formulas worked out in NumPy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from training_jobs import RATE, STEPS

from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

pytestmark = pytest.mark.slow
NAMES = ("optimizers", "losses", "rates", "stops", "averages", "odd_ends")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, tmp_path_factory.mktemp("log") / "log.txt") as pool:
        found = pool.run([Job(name, f"training_jobs:{name}", {}) for name in NAMES], cores=2, on_event=lambda *_: None)
    for name, result in found.items():
        assert not isinstance(result, Failure), f"{name}: {result}"
    return found


def test_optimizers_follow_their_formulas(results: dict[str, Any]) -> None:
    assert len(results["optimizers"]) == 9
    for name, (distance, moved) in results["optimizers"].items():
        assert distance < 2e-5 * moved, name
        assert moved > 1e-3, name


def test_the_loss_that_is_told_is_the_one_that_was_asked_for(results: dict[str, Any]) -> None:
    assert len(results["losses"]) == 24
    for name, (loss, accuracy, penalty, loss_here, accuracy_here, penalty_here) in results["losses"].items():
        assert loss == pytest.approx(loss_here, rel=1e-4), name
        assert penalty == pytest.approx(penalty_here, rel=1e-5), name
        assert penalty > 0.1
        assert (accuracy is None) == name.startswith("mean") * name.endswith("value, 0.0")
        assert accuracy == pytest.approx(accuracy_here), name


def expected_rate(schedule: str, warmup: float, step: int) -> float:
    warm = 10 * warmup
    if step < warm:
        return RATE * min(1.0, (step + 1) / warm)
    done = (step - warm) / (40 - warm)
    if schedule == "cosine":
        return RATE * (1 + math.cos(math.pi * done)) / 2
    if schedule == "one-cycle":
        return RATE * (0.04 + 0.96 * done / 0.3 if done < 0.3 else (1 - done) / 0.7)
    return RATE


@pytest.mark.parametrize("warmup", [0.0, 1.5])
@pytest.mark.parametrize("schedule", ["constant", "plateau", "cosine", "one-cycle"])
def test_rates_follow_their_schedule(results: dict[str, Any], schedule: str, warmup: float) -> None:
    expected = [expected_rate(schedule, warmup, step) for step in STEPS]
    assert results["rates"][f"{schedule} {warmup}"] == pytest.approx(expected, rel=1e-4)


def test_plateau_cuts_the_rate_down_to_its_floor(results: dict[str, Any]) -> None:
    found = results["rates"]["plateau on data that never get better"]
    half, floor = RATE / 2, RATE / 3
    assert found == pytest.approx([RATE] * 3 + [half] * 2 + [floor] * 4, rel=1e-6)
    assert results["rates"]["low plateau"] == pytest.approx([RATE] * 9)


def test_an_epoch_notes_the_rate_of_its_last_step(results: dict[str, Any]) -> None:
    # 48 examples in batches of 5: 9 steps, 4 epochs.
    last = [9 * epoch + 8 for epoch in range(4)]
    cosine = [RATE * (1 + math.cos(math.pi * step / 36)) / 2 for step in last]
    assert results["rates"]["trained cosine"] == pytest.approx(cosine, rel=1e-4)
    cycle = [RATE * min(0.04 + 0.96 * step / 36 / 0.3, (1 - step / 36) / 0.7) for step in last]
    assert results["rates"]["trained one-cycle"] == pytest.approx(cycle, rel=1e-4)


def test_early_stopping_goes_back_to_the_best_epoch(results: dict[str, Any]) -> None:
    found = results["stops"]
    assert found["worse"] == {"epochs": 4, "kept": 0, "at": 0}
    assert found["better"] == {"epochs": 8, "kept": 7, "at": 7}
    assert found["without"] == 0


def test_averaged_weights_are_evaluated_and_kept(results: dict[str, Any]) -> None:
    found = results["averages"]
    assert found["distance"] < 1e-6
    assert found["from plain"] > 1e-3
    assert found["end"] == 0
    assert found["loss"][0] == pytest.approx(found["loss"][1], rel=1e-5)
    assert found["restored"] == 0


def test_odd_ends(results: dict[str, Any]) -> None:
    found = results["odd_ends"]
    assert found["wild"][:2] == [None, None]
    assert found["wild"][2] < 60
    assert found["alone"][:2] == [None, None]
    assert found["alone"][2] > 0
    assert found["ended"] == 2
    assert found["large"] > 0
