from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sample_training import NETWORK, PLAN, START, facts, healthy, overfitting, points

from optkit.cli import training_options
from optkit.cli.train import command
from optkit.pipeline.train_settings import resolve_training
from optkit.report.diagnosis import diagnose
from optkit.report.diagnosis_cures import Facts
from optkit.report.train_record import Start
from optkit.training import Augmentation

if TYPE_CHECKING:
    from optkit.report.train_record import CurvePoint, Diagnosis, Finding

replace = msgspec.structs.replace
TEN = range(1, 11)


def judged(curve: list[CurvePoint], start: Start = START, **changed: object) -> Diagnosis:
    return diagnose(curve, start, facts(**({"kept_epoch": len(curve)} | changed)))


def only(found: Diagnosis) -> Finding:
    assert len(found.findings) == 1, found.sentence
    return found.findings[0]


def test_a_real_healthy_curve_has_no_fault_and_still_improves() -> None:
    found = judged(healthy())
    assert [finding.kind for finding in found.findings] == ["still improving"]
    assert not found.findings[0].is_fault
    assert found.sentence.startswith("Nothing is wrong. The validation loss was still falling at the end")


def test_a_curve_that_has_come_to_rest_has_no_finding_at_all() -> None:
    loss = [0.1 + math.exp(-epoch) for epoch in TEN]
    accuracy = [0.97 - 0.3 * math.exp(-epoch) for epoch in TEN]
    found = judged(points(loss, [value + 0.02 for value in loss], accuracy, accuracy))
    assert found.findings == []
    assert found.sentence == "Nothing is wrong with the learning curve."


def test_overfitting_is_told_with_the_epoch_and_how_much() -> None:
    finding = only(judged(overfitting()))
    assert (finding.kind, finding.is_fault) == ("overfitting", True)
    assert 7 <= finding.since_epoch <= 10
    figures = {one.name: one.figure for one in finding.evidence}
    assert figures["training accuracy at the end"] == "100.0 %"
    assert figures["gap"] == "9.0 points"
    assert "the validation loss has risen by 4" in finding.words or "by 3" in finding.words
    assert [cure.option for cure in finding.cures][:2] == ["--early-stopping 3", "--train-samples 55000"]


def test_what_early_stopping_left_behind_is_not_held_against_it() -> None:
    plan = replace(PLAN, early_stopping=3)
    curve = overfitting()[:11]
    stopped = [replace(point, accuracy=point.validation_accuracy + 0.01) for point in curve]
    found = judged(stopped, plan=plan, kept_epoch=8)
    assert [finding for finding in found.findings if finding.is_fault] == []
    assert "early stopping ended training after epoch 11 and went back to epoch 8" in found.notes[0]


def test_what_early_stopping_ended_is_not_said_to_improve_still() -> None:
    curve = [*healthy(), replace(healthy()[-1], epoch=6, validation_loss=0.2)]
    assert judged(curve, plan=replace(PLAN, early_stopping=1), kept_epoch=5).findings == []


@pytest.mark.parametrize("course", ["loss", "validation_loss"])
def test_a_loss_that_is_no_number_is_diverging(course: str) -> None:
    curve = healthy()
    curve[2] = replace(curve[2], **{course: None})
    finding = only(judged(curve))
    assert (finding.kind, finding.since_epoch) == ("diverging", 3)
    assert finding.cures[0].option == "--learning-rate 0.0001"


def test_a_loss_over_its_start_is_diverging() -> None:
    curve = points([759_271, 42.28, 42.53], [42.6, 23.2, 38.9], [0.274, 0.253, 0.306], [0.295, 0.312, 0.298])
    finding = only(judged(curve, plan=replace(PLAN, optimizer="sgd", learning_rate=100)))
    assert (finding.kind, finding.since_epoch) == ("diverging", 1)
    assert finding.words == "Training diverged: the loss ended at 42.5, over the 2.37 before it began."
    # A tenth of 100 would still be far too much.
    assert finding.cures[0].option == "--learning-rate 0.01"


def test_a_loss_that_comes_back_is_diverging_since_its_lowest() -> None:
    loss = [0.5, 0.3, 0.2, 0.9, 1.2, 1.3]
    accuracy = [0.85, 0.91, 0.94, 0.7, 0.6, 0.6]
    finding = only(judged(points(loss, loss, accuracy, accuracy)))
    assert (finding.kind, finding.since_epoch) == ("diverging", 4)


def test_a_training_loss_near_nothing_may_double() -> None:
    loss = [0.4, 0.01, 0.0001, 0.00005, 0.0001]
    accuracy = [0.9, 0.99, 1.0, 1.0, 1.0]
    found = judged(points(loss, [0.2, 0.1, 0.1, 0.1, 0.1], accuracy, [0.95, 0.98, 0.985, 0.985, 0.985]))
    assert found.findings == []


STUCK = points([54.91, 2.396, 2.4, 2.383], [2.47, 2.37, 2.39, 2.35], [0.11, 0.10, 0.11, 0.10], [0.09, 0.12, 0.12, 0.1])


@pytest.mark.parametrize(
    ("rate", "penalty", "kind"),
    [(1.0, 0.0, "diverging"), (1e-3, 0.0, "diverging"), (1e-6, 0.0, "too slow"), (1e-3, 0.5, "underfitting")],
)
def test_stuck_at_chance_has_the_cause_that_the_settings_tell(rate: float, penalty: float, kind: str) -> None:
    finding = only(judged(STUCK, plan=replace(PLAN, learning_rate=rate), network=replace(NETWORK, l2=penalty)))
    assert finding.kind == kind
    assert "always naming one class" in finding.words


def test_a_curve_that_does_not_bend_is_too_slow() -> None:
    curve = points(
        [2.303, 2.163, 2.037, 1.908, 1.779],
        [2.222, 2.086, 1.954, 1.826, 1.702],
        [0.13, 0.24, 0.347, 0.474, 0.559],
        [0.181, 0.349, 0.498, 0.6, 0.67],
    )
    finding = only(judged(curve, plan=replace(PLAN, learning_rate=1e-5)))
    assert finding.kind == "too slow"
    # Ten times as much would still be too little.
    assert finding.cures[0].option == "--learning-rate 0.001"
    assert "93 % of what an epoch brought on average" in finding.words


def test_a_network_that_does_not_learn_its_own_examples_underfits() -> None:
    loss = [1.3 + math.exp(-epoch / 2) for epoch in range(1, 16)]
    accuracy = [0.5 - 0.3 * math.exp(-epoch / 2) for epoch in range(1, 16)]
    finding = only(judged(points(loss, loss, accuracy, accuracy)))
    assert finding.kind == "underfitting"
    assert "50.0 % of its own training examples" in finding.words


def test_strong_dropout_is_not_taken_for_underfitting() -> None:
    loss = [0.5 + math.exp(-epoch) for epoch in TEN]
    curve = points(loss, [0.2 + math.exp(-epoch) for epoch in TEN], [0.85] * 10, [0.96] * 10)
    assert judged(curve).findings == []


def test_blended_examples_are_not_held_against_a_network() -> None:
    loss = [1.0 + math.exp(-epoch) for epoch in TEN]
    plan = replace(PLAN, augmentation=Augmentation(mixup=0.2))
    curve = points(loss, [0.3 + math.exp(-epoch) for epoch in TEN], [0.66] * 10, [0.89] * 10)
    assert judged(curve, plan=plan).findings == []
    worse = [replace(point, validation_accuracy=0.6) for point in curve]
    assert "60.0 % of the validation examples" in only(judged(worse, plan=plan)).words


def test_values_to_predict_are_judged_by_their_losses() -> None:
    falling = [100 * math.exp(-epoch) for epoch in TEN]
    start = Start(120.0, None)
    given = {"largest_class": None, "constant_loss": 100.0}
    overfit = judged(points(falling, [30 + value for value in falling]), start, **given)
    assert only(overfit).kind == "overfitting"
    assert "--dropout 0.5" not in [cure.option for cure in overfit.findings[0].cures]
    flat = judged(
        points([90 + value / 10 for value in falling], [92 + value / 10 for value in falling]), start, **given
    )
    assert only(flat).kind == "underfitting"
    good = judged(points([5 + value for value in falling], [5.5 + value for value in falling]), start, **given)
    assert good.findings == []


def test_one_epoch_shows_no_trend_and_the_note_says_so() -> None:
    found = judged(healthy()[:1])
    assert found.findings == []
    assert "one epoch shows no trend" in found.notes[0]


def noisy(generator: np.random.Generator, share: float, epochs: int, trained: int, validated: int) -> list[CurvePoint]:
    """A network that is as good as it gets after three epochs, as two samples see it: nothing but noise is left."""
    right = generator.binomial(trained, share, epochs) / trained
    validated_right = generator.binomial(validated, share, epochs) / validated
    approach = [2 * math.exp(-3 * (epoch + 1)) for epoch in range(epochs)]
    # Each wrong answer costs the same, so that losses have the noise of the accuracies.
    return points(
        [3 * (1 - one) + early + 1e-6 for one, early in zip(right, approach, strict=True)],
        [3 * (1 - one) + early + 1e-6 for one, early in zip(validated_right, approach, strict=True)],
        right.tolist(),
        validated_right.tolist(),
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0.905, 0.999),
    epochs=st.integers(1, 60),
    trained=st.sampled_from([300, 6_000, 55_000]),
    validated=st.sampled_from([100, 1_000, 5_000]),
)
def test_the_noise_of_a_sample_is_no_fault(seed: int, share: float, epochs: int, trained: int, validated: int) -> None:
    curve = noisy(np.random.default_rng(seed), share, epochs, trained, validated)
    found = judged(curve, train_examples=trained, validation_examples=validated)
    assert [finding for finding in found.findings if finding.is_fault] == []


def test_of_thousands_of_noisy_curves_hardly_any_has_a_finding() -> None:
    generator = np.random.default_rng(5)
    kinds = []
    for _ in range(3_000):
        epochs, validated = int(generator.integers(1, 61)), int(generator.choice([100, 1_000, 5_000]))
        curve = noisy(generator, float(generator.uniform(0.905, 0.999)), epochs, 6_000, validated)
        kinds += [one.kind for one in judged(curve, train_examples=6_000, validation_examples=validated).findings]
    assert len(kinds) <= 3, kinds


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(0, 1e30)),
            st.one_of(st.none(), st.floats(0, 1e30)),
            st.floats(0, 1),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=70,
    ),
    st.booleans(),
)
def test_any_curve_gets_a_sentence(rows: list[tuple[float | None, float | None, float, float]], values: bool) -> None:
    loss, validation, accuracy, validated = (list(course) for course in zip(*rows, strict=True))
    curve = points(loss, validation) if values else points(loss, validation, accuracy, validated)
    changed = {"largest_class": None, "constant_loss": 1.0} if values else {}
    found = judged(curve, **changed)
    assert found.sentence
    assert all(finding.evidence and finding.cures for finding in found.findings)
    assert len({finding.kind for finding in found.findings}) == len(found.findings)


EVERY = [
    (overfitting(), {}),
    (STUCK, {}),
    (STUCK, {"plan": replace(PLAN, learning_rate=1e-7, optimizer="sgd")}),
    (STUCK, {"network": replace(NETWORK, l2=0.5, l1=0.1, activation="sigmoid")}),
    (STUCK, {"is_normalized": False, "plan": replace(PLAN, learning_rate=50.0)}),
    (healthy(), {}),
]


@pytest.mark.parametrize(("curve", "changed"), EVERY)
def test_every_cure_is_an_option_that_the_command_takes(curve: list[CurvePoint], changed: dict[str, object]) -> None:
    options = [cure.option for finding in judged(curve, **changed).findings for cure in finding.cures if cure.option]
    assert options
    for option in options:
        words = shlex.split(option)
        if words == ["--layers"]:
            continue
        context = command.make_context("train", words)
        plan = facts(**changed).plan
        given = {"baseline": "mlp-128", "optimizer": plan.optimizer, "learning_rate": plan.learning_rate}
        resolve_training(given | training_options.settings(context.params))


def test_an_option_that_is_none_would_be_noticed() -> None:
    assert CliRunner().invoke(command, ["--drop-out", "0.5"]).exit_code == 2


def test_a_cure_that_is_applied_already_is_not_named() -> None:
    plan = replace(PLAN, early_stopping=3)
    network = replace(NETWORK, dropout=0.5, l2=1e-4)
    found = judged(overfitting(), plan=plan, network=network, train_examples=55_000, are_pictures=False)
    assert [cure.option for cure in found.findings[0].cures] == ["--layers"]


def test_facts_know_the_rate_against_the_customary_one() -> None:
    assert facts(plan=replace(PLAN, optimizer="sgd", learning_rate=0.1)).rate_against_default == pytest.approx(10)
    assert isinstance(facts(), Facts)
