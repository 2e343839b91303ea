"""The lessons' experiments without training: what is asked, what the figures are, what is written."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import _lessons_figures as figures
from benchmarks import _lessons_plots
from benchmarks._lessons_experiments import EXPERIMENTS, Arm, Experiment, trainings
from benchmarks._lessons_outcome import Outcome, outcome
from benchmarks._lessons_rules import best
from benchmarks._lessons_train import Look, Run, Training
from optkit.pipeline.train_settings import resolve_training
from optkit.schema import Epoch

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def epoch(accuracy: float, validation: float, loss: float | None) -> Epoch:
    return Epoch(loss, accuracy, loss, validation, 1.0)


def made(seed: int, right: int, *, epochs: int = 3, **settings: Any) -> Run:
    """A training of two classes with 10 test images each, of which ``right`` of class 1 are right."""
    training = Training({"baseline": "mlp-128", "epochs": epochs, **settings}, (epochs,), 20, seed)
    confusion = [[10, 0], [10 - right, right]]
    course = [epoch(0.8 + 0.05 * index, 0.9, 0.5 if index == 1 else 0.6) for index in range(epochs)]
    return Run(training, [Look(epochs, 19, 20, confusion)], course, 2.0)


def tried(curve: str = "validation_loss") -> Outcome:
    experiment = Experiment(
        "some",
        "Some <title> & more",
        "a does better than b, which is said in so many words that they take more than one line of the plot's width",
        (Arm("a", {}), Arm("b", {})),
        "two classes",
        best("a", "b"),
        test_images=20,
        curve=curve,
    )
    runs = [[made(seed, 9, batch=16) for seed in range(3)], [made(seed, 5 + seed, batch=32) for seed in range(3)]]
    return outcome(experiment, runs, "2026-01-01")


def test_every_experiment_can_be_judged_and_trained() -> None:
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
    for experiment in EXPERIMENTS:
        arms = {arm.name for arm in experiment.arms}
        assert len(arms) == len(experiment.arms)
        # What has room beside the plot.
        assert max(map(len, arms)) <= 22
        for statement in experiment.statements:
            assert {statement.of, statement.less} - {None} <= arms
            assert statement.low > -math.inf or statement.high < math.inf
        for arm in experiment.arms:
            settings = resolve_training(arm.settings)
            assert (arm.at or 1) <= settings.plan.epochs


def test_the_issues_numbers_are_asked() -> None:
    by_name = {experiment.name: experiment for experiment in EXPERIMENTS}
    asked = trainings(EXPERIMENTS, full=False)
    base = resolve_training(by_name["structure"].arms[0].settings)
    assert base.network.layers == ("dense:256", "dense:128", "dropout:0.5")
    assert (base.network.activation, base.plan.optimizer, base.plan.learning_rate) == ("sigmoid", "sgd", 0.1)
    assert (base.plan.batch, base.plan.epochs, base.train_samples) == (32, 3, 6_000)
    few = resolve_training(by_name["epochs-gap"].arms[2].settings)
    assert (few.train_samples, few.plan.epochs) == (1_500, 60)
    assert not any("dropout" in words for words in few.network.layers)
    cut = resolve_training(by_name["plateau"].arms[1].settings).plan
    assert (cut.schedule, cut.plateau_patience, cut.plateau_factor, cut.plateau_floor) == ("plateau", 5, 0.5, 1e-5)
    rates = [resolve_training(arm.settings).plan.learning_rate for arm in by_name["optimizers"].arms]
    assert rates == [0.01, 0.001, 0.001, 0.001]
    assert {one.test_images for arm in asked["epochs-gap"] for one in arm} == {6_000}
    assert {one.test_images for arm in asked["structure"] for one in arm} == {1_000}
    assert all(len({one.seed for one in arm}) >= 3 for arms in asked.values() for arm in arms)


def test_arms_of_one_training_share_it() -> None:
    asked = trainings(EXPERIMENTS, full=False)
    keys = {one.key for arm in asked["epochs-gap"] for one in arm}
    assert len(keys) == len(asked["epochs-gap"][0])
    assert keys == {one.key for arm in asked["epochs-test"] for one in arm}
    assert {one.looks for arm in asked["epochs-gap"] for one in arm} == {(5, 10, 60)}
    assert asked["digits"][0] == asked["longer-loss"][0]


def test_full_takes_all_images_but_where_few_are_the_subject() -> None:
    asked = trainings(EXPERIMENTS, full=True)
    for name, samples in (("structure", None), ("augmentation", None), ("epochs-gap", 1_500)):
        assert {one.settings.get("train_samples") for arm in asked[name] for one in arm} == {samples}
    assert [arm[0].settings["train_samples"] for arm in asked["more-data"]] == [6_000, 12_000]
    assert {one.test_images for arm in asked["structure"] for one in arm} == {10_000}


def test_the_key_tells_apart_whatever_changes_the_result() -> None:
    one = Training({"baseline": "mlp-128", "epochs": 3}, (3,), 20, 0)
    others = [
        Training({"baseline": "mlp-128", "epochs": 4}, (3,), 20, 0),
        Training({"baseline": "mlp-128", "epochs": 3}, (2, 3), 20, 0),
        Training({"baseline": "mlp-128", "epochs": 3}, (3,), 21, 0),
        Training({"baseline": "mlp-128", "epochs": 3}, (3,), 20, 1),
    ]
    assert len({one.key, *(other.key for other in others)}) == 5
    assert one.key == Training({"epochs": 3, "baseline": "mlp-128"}, (3,), 20, 0).key


def test_figures_of_a_known_confusion() -> None:
    run = made(0, 8)
    assert figures.test_accuracy(run, None) == 90
    assert figures.gap(run, 3) == 5
    assert figures.wrong_of(1)(run, 3) == 20
    assert figures.wrong_of(0)(run, 3) == 0
    assert figures.taken_for(1, 0)(run, 3) == 100
    assert figures.taken_for(0, 1)(run, 3) == 0
    assert figures.best_epoch(run, None) == 2
    assert figures.validation_accuracy(run, 1) == 90


def test_a_training_that_diverged_is_judged_as_it_was_then() -> None:
    run = made(0, 8)
    diverged = Run(
        run.training, [Look(2, 1, 20, [[10, 0], [10, 0]])], [epoch(0.3, 0.7, 2.1), epoch(0.1, 0.5, None)], 1.0
    )
    assert figures.test_accuracy(diverged, 3) == 50
    assert figures.validation_accuracy(diverged, 3) == 50
    assert figures.best_epoch(diverged, None) == 1


def test_an_outcome_holds_every_value() -> None:
    one = tried()
    assert [setting.values for setting in one.settings] == [[95.0] * 3, [75.0, 80.0, 85.0]]
    assert (one.settings[1].mean, one.settings[1].deviation, one.settings[1].epoch) == (80.0, 5.0, 3)
    assert one.verdict == "held"
    assert one.train_seconds == 12.0
    assert [curve.label for curve in one.curves] == ["a", "b"]
    assert one.curves[0].values == [[0.6, 0.5, 0.6]] * 3


@pytest.mark.parametrize("curve", ["", "validation_loss", "validation_accuracy"])
def test_a_plot_is_sound_and_stays_inside(curve: str) -> None:
    root = ET.fromstring(_lessons_plots.draw(tried(curve)))  # noqa: S314  # written right here
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert len(root.findall(f".//{SVG}circle")) == 6
    assert len(root.findall(f".//{SVG}path")) == (4 if curve else 0)
    # Also of the seeds that agree.
    assert len({(dot.get("cx"), dot.get("cy")) for dot in root.iter(f"{SVG}circle")}) == 6
    words = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert "Some <title> & more" in words
    assert "✓ held" in words
    assert max(len(line) for line in words) <= 104
    for element in root.iter():
        spots = [(element.get(x), element.get(y)) for x, y in (("x", "y"), ("cx", "cy"), ("x1", "y1"), ("x2", "y2"))]
        spots += re.findall(r"([-\d.]+) ([-\d.]+)", element.get("d", ""))
        for x, y in spots:
            if x is not None and y is not None:
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height


def test_plots_of_experiments_that_are_no_more_go(tmp_path: Path) -> None:
    (tmp_path / "gone.svg").write_text("<svg/>")
    _lessons_plots.write([tried()], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["some.svg"]
