"""Distillation: the loss is the paper's, teacher and student see the same picture, and the student learns from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

NAMES = ("soft_answers", "same_picture", "copies", "narrow", "learned", "regression")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, tmp_path_factory.mktemp("log") / "log.txt") as pool:
        found = pool.run([Job(name, f"distill_jobs:{name}", {}) for name in NAMES], cores=2, on_event=lambda *_: None)
    for name, result in found.items():
        assert not isinstance(result, Failure), f"{name}: {result}"
    return found


def test_losses_follow_their_formulas(results: dict[str, Any]) -> None:
    assert len(results["soft_answers"]) == 10
    for name, (found, wanted) in results["soft_answers"].items():
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-5), name
        assert max(wanted) > 0.1, name


def test_teacher_and_student_are_given_the_very_same_augmented_picture(results: dict[str, Any]) -> None:
    found = results["same_picture"]
    assert found["steps"] == [1, 1]
    assert found["same"]
    assert found["augmented"]


def test_copies_come_round_again_and_every_answer_is_that_to_the_picture_shown(results: dict[str, Any]) -> None:
    found = results["copies"]
    assert found["shape"] == [2, 256, 1]
    # A sum of 784 pixels in 16 bits.
    assert found["largest difference"] < 0.1
    assert found["spread"] > 10
    assert found["alike"] == [[one % 2 == other % 2 for other in range(5)] for one in range(5)]


def test_a_teacher_is_asked_once_and_again_where_its_answers_are_damaged(results: dict[str, Any]) -> None:
    assert results["copies"]["asked"] == [8, 0, 4]
    assert results["copies"]["same"]


def test_a_student_that_is_taught_answers_more_like_its_teacher(results: dict[str, Any]) -> None:
    taught, alone = results["learned"]["0.9"], results["learned"]["1e-06"]
    assert taught["failed"] == []
    # Labels of a tenth of the weight alone make it 0.75 times as far.
    assert taught["distance"] < 0.6 * alone["distance"]
    assert taught["distance"] < 0.5 * taught["limit"]


def test_the_student_takes_the_models_place(results: dict[str, Any]) -> None:
    found = results["learned"]["0.9"]
    assert found["ports"] == [["image"], ["probabilities"]]
    assert found["parameters"] == 14 * 14 * 12 + 12 + 12 * 10 + 10
    assert set(found["layers"]) == {"image", "pool", "dense_1_flatten", "dense_1", "probabilities"}
    assert set(found["notes"]) == set(found["layers"])
    assert found["notes"]["pool"] == "of the student, trained on the teachers' answers"


def test_kernels_of_4_bits_with_one_step_each_learn_from_a_teacher(results: dict[str, Any]) -> None:
    found = results["narrow"]
    assert found["failed"] == []
    assert found["notes"]["batchnorm_1"] == "folded into conv_1"
    assert "batchnorm_1" not in found["layers"]
    assert found["notes"]["conv_2"] == "weights rounded to 4 bits and activations to int8 in training"
    assert found["scales"] == [1, 1, 1]


def test_several_teachers_are_averaged(results: dict[str, Any]) -> None:
    assert results["learned"]["two teachers"] < 1e-6


def test_what_makes_no_sense_is_refused_with_the_way_out(results: dict[str, Any]) -> None:
    itself, changed, two, after, skipped = results["learned"]["refusals"]
    assert "its own teacher" in itself
    assert changed is two is None
    assert "takes the place of the model that factorize made" in after
    assert "--skip-layer 'dense_2' is no layer of the student: did you mean dense_1" in skipped


def test_values_to_predict_are_learned_by_their_squared_error(results: dict[str, Any]) -> None:
    passed, observed, limit, unit = results["regression"]["distance to the teachers' answers"]
    assert passed
    assert unit == "mean squared error"
    assert 0 < observed < limit < 0.2
