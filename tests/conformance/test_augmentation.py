"""Random changes of the training images: as large as was asked for, of the seed alone, on any picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

pytestmark = pytest.mark.slow
NAMES = ("moves", "bends", "holes_and_blends", "trained", "colours")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    jobs = [Job(name, f"augmentation_jobs:{name}", {}) for name in NAMES]
    with Workers(PRELOAD, environment, tmp_path_factory.mktemp("log") / "log.txt") as pool:
        found = pool.run(jobs, cores=2, on_event=lambda *_: None)
    for name, result in found.items():
        assert not isinstance(result, Failure), f"{name}: {result}"
    return found


def uniform(found: list[float], middle: float, most: float) -> None:
    """Draws fill the range to both sides evenly: [least, mean, most, standard deviation]."""
    least, mean, largest, deviation = found
    assert middle - most - 0.02 <= least <= middle - 0.9 * most
    assert middle + 0.9 * most <= largest <= middle + most + 0.02
    assert mean == pytest.approx(middle, abs=0.12 * most)
    assert deviation == pytest.approx(most / 3**0.5, rel=0.12)


def still(found: list[float], value: float, most: float = 0.02) -> None:
    assert abs(found[0] - value) <= most
    assert abs(found[2] - value) <= most


def test_shift_is_a_share_of_each_side(results: dict[str, Any]) -> None:
    found = results["moves"]["shift"]
    uniform(found["x"], 0, 6)
    uniform(found["y"], 0, 4)
    still(found["size"], 1)
    still(found["angle"], 0)
    # Nothing of a square in the middle is lost on the way.
    assert results["moves"]["square"] == pytest.approx([16, 16], abs=1e-3)


def test_rotation_is_about_the_middle(results: dict[str, Any]) -> None:
    found = results["moves"]["rotation"]
    uniform(found["angle"], 0, 20)
    still(found["size"], 1)
    # Half a pixel from the middle: it moves by 0.25 pixels at most.
    still(found["x"], 0, 0.25)
    still(found["y"], 0, 0.25)


def test_zoom_goes_both_ways(results: dict[str, Any]) -> None:
    found = results["moves"]["zoom"]
    uniform(found["size"], 1, 0.2)
    still(found["angle"], 0)
    still(found["x"], 0, 0.15)


def test_the_bending_path_moves_as_the_other(results: dict[str, Any]) -> None:
    found = results["moves"]["all three, then bent by hardly anything"]
    uniform(found["angle"], 0, 20)
    uniform(found["size"], 1, 0.2)
    assert 5 < found["x"][2] < 6 / 0.8 + 0.5
    assert 3.5 < found["y"][2] < 4 / 0.8 + 0.5


def test_elastic_displacements_are_smooth_and_as_large_as_asked(results: dict[str, Any]) -> None:
    found = results["bends"]
    assert found["deviation"] == pytest.approx([1, 1], abs=0.06)
    assert found["each pixel"] == pytest.approx([1, 1], abs=0.15)
    assert found["mean"] < 0.2
    assert 0.05 < found["steps"] < 0.25
    assert abs(found["x and y"]) < 0.05
    assert abs(found["neighbours"]) < 0.15


def test_holes_are_squares_of_background(results: dict[str, Any]) -> None:
    found = results["holes_and_blends"]
    assert found["whole pixels"]
    assert found["area"]
    assert found["everywhere"]
    assert found["labels as they were"]
    # Half of the shorter side, 20; less where it reaches beyond the picture, one pixel more or less by its place.
    for least, most in found["sides"]:
        assert 4 <= least <= 6
        assert 10 <= most <= 11


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_blends_have_the_beta_distribution_and_their_labels_go_along(results: dict[str, Any], alpha: float) -> None:
    found = results["holes_and_blends"][f"blend {alpha}"]
    assert found["mean"] == pytest.approx(0.5, abs=0.06)
    assert found["variance"] == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)
    assert found["sums"] < 1e-5
    assert found["apart"] < 1e-3
    assert found["two at most"] == 2


@pytest.mark.parametrize("elastic", [0.0, 1e-6])
def test_what_lies_outside_is_background(results: dict[str, Any], elastic: float) -> None:
    least, most, corner = results["holes_and_blends"][f"corner {elastic}"]
    assert (least, most, corner) == pytest.approx((-0.4, 1.0, -0.4), abs=1e-5)


def test_the_seed_alone_decides(results: dict[str, Any]) -> None:
    found = results["trained"]
    for same in ("again", "small chunks", "flat", "without channels"):
        assert found[same] == found["first"], same
    for other in ("other seed", "plain"):
        assert found[other] != found["first"], other


def test_colour_pictures_of_any_size(results: dict[str, Any]) -> None:
    found = results["colours"]
    # Raw zero as a real value: (0 - mean) / std.
    assert found["background"] == pytest.approx([-2.0, -5 / 3, -1.5])
    assert found["loss"] > 0
    assert 0.2 < found["accuracy"] < 1
