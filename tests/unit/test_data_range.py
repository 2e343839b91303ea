"""The calibration guard: data scaled otherwise than the model wants, and calibration data unlike the training data."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optkit import data
from optkit.data._calibration import choose
from optkit.data._preprocessing import declared, read_scale
from optkit.errors import InputError
from optkit.problem import Preprocessing, Task
from optkit.verify import data_range

if TYPE_CHECKING:
    from optkit.problem import Outputs

MNIST = data.load("mnist")
RAW, LABELS = MNIST.train.images[:500], MNIST.train.labels[:500]
UNIT = Preprocessing(scale=1 / 255)
TASK = Task("multiclass", "logits", 10)


def centres(images: np.ndarray) -> np.ndarray:
    """A real classifier for values from 0 to 1: nearness to each class's mean image, in a sharp nonlinear way."""
    known = MNIST.real(MNIST.train.images[500:5500]).reshape(5000, -1)
    means = np.stack([known[MNIST.train.labels[500:5500] == digit].mean(axis=0) for digit in range(10)])
    flat = images.reshape(len(images), -1)
    outputs: np.ndarray = -((flat[:, None] - means) ** 2).sum(axis=-1)
    return outputs


def test_data_scaled_as_the_model_wants_are_left_alone() -> None:
    assert data_range.judge(centres, RAW, LABELS, TASK, UNIT, allowed=False) == []


def test_0_to_255_for_a_model_of_0_to_1_is_refused_with_the_cure() -> None:
    with pytest.raises(InputError, match=r"--scale 1/255.*--allow range"):
        data_range.judge(centres, RAW, LABELS, TASK, Preprocessing(), allowed=False)


def test_0_to_1_for_a_model_of_0_to_255_is_refused() -> None:
    def of_bytes(images: np.ndarray) -> np.ndarray:
        return centres(images / 255)

    with pytest.raises(InputError, match="--scale 1;"):
        data_range.judge(of_bytes, RAW, LABELS, TASK, UNIT, allowed=False)


@functools.cache
def softmax_weights(scale: float, units: str) -> np.ndarray:
    """Softmax regression trained on values of 0 to 1 or of 0 to 255: what it answers hardly depends on the scale."""
    images = MNIST.train.images[:3000].reshape(3000, -1).astype(np.float64) * scale
    wanted, weights = np.eye(10)[MNIST.train.labels[:3000]], np.zeros((784, 10))
    step = {"0-1": 0.5, "0-255": 0.5 / 255**2}[units]
    for _ in range(150):
        weights -= step * images.T @ (probabilities(images @ weights) - wanted) / len(images)
    return weights


def probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return found


PROBABILITIES = Task("multiclass", "probabilities", 10)


def trained(scale: float, units: str, images: np.ndarray) -> np.ndarray:
    return probabilities(images.reshape(len(images), -1) @ softmax_weights(scale, units)).astype(np.float32)


def test_a_model_whose_answers_do_not_depend_on_the_scale_is_found_by_its_loss() -> None:
    def of_unit(images: np.ndarray) -> np.ndarray:
        return trained(1 / 255, "0-1", images)

    def of_bytes(images: np.ndarray) -> np.ndarray:
        return trained(1.0, "0-255", images)

    right, as_they_are = (of_unit(data.to_real(RAW, one)).argmax(axis=1) for one in (UNIT, Preprocessing()))
    assert (right == as_they_are).all()
    with pytest.raises(InputError, match=r"cross-entropy.*--scale 1/255"):
        data_range.judge(of_unit, RAW, LABELS, PROBABILITIES, Preprocessing(), allowed=False)
    assert data_range.judge(of_unit, RAW, LABELS, PROBABILITIES, UNIT, allowed=False) == []
    with pytest.raises(InputError, match="--scale 1;"):
        data_range.judge(of_bytes, RAW, LABELS, PROBABILITIES, UNIT, allowed=False)
    assert data_range.judge(of_bytes, RAW, LABELS, PROBABILITIES, Preprocessing(), allowed=False) == []


def test_data_of_0_to_1_for_a_model_of_minus_1_to_1_are_refused() -> None:
    with pytest.raises(InputError, match="--scale 2 --mean 1;"):
        data_range.judge(lambda images: centres((images + 1) / 2), REAL, LABELS, TASK, Preprocessing(), allowed=False)


def test_where_nothing_tells_the_scale_it_is_said() -> None:
    """Outputs that are bounded, as behind sigmoids: right at any scale, and about as sure."""

    def bounded(images: np.ndarray) -> np.ndarray:
        answers = trained(1 / 255, "0-1", images).argmax(axis=1)
        sure = 0.9 if images.max() > 2 else 0.8
        found: np.ndarray = 0.01 + sure * np.eye(10, dtype=np.float32)[answers]
        return found

    def same_at_any_scale(images: np.ndarray) -> np.ndarray:
        return bounded(images / images.max())

    (warning,) = data_range.judge(bounded, RAW, LABELS, PROBABILITIES, Preprocessing(), allowed=False)
    assert "--scale 1/255" in warning
    assert data_range.judge(bounded, RAW, LABELS, PROBABILITIES, UNIT, allowed=False) == []
    assert data_range.judge(same_at_any_scale, RAW, LABELS, PROBABILITIES, Preprocessing(), allowed=False) == []
    assert data_range.judge(bounded, REAL, LABELS, PROBABILITIES, Preprocessing(), allowed=False) == []


def test_right_answers_alone_do_not_excuse_a_certainty_that_training_cannot_reach() -> None:
    right = trained(1 / 255, "0-1", data.to_real(RAW, UNIT)).argmax(axis=1) == LABELS
    chosen = RAW[right], LABELS[right]

    def surer(images: np.ndarray) -> np.ndarray:
        return probabilities(2 * images.reshape(len(images), -1) @ softmax_weights(1 / 255, "0-1"))

    def trained_on_bytes(images: np.ndarray) -> np.ndarray:
        return trained(1.0, "0-255", images)

    with pytest.raises(InputError, match=r"100.0% right.*100.0% right.*--scale 1/255"):
        data_range.judge(surer, *chosen, PROBABILITIES, Preprocessing(), allowed=False)
    assert data_range.judge(surer, *chosen, PROBABILITIES, UNIT, allowed=False) == []
    assert data_range.judge(trained_on_bytes, *chosen, PROBABILITIES, Preprocessing(), allowed=False) == []


def test_a_model_that_scales_its_input_itself_is_left_alone() -> None:
    def itself(images: np.ndarray) -> np.ndarray:
        return trained(1 / 255, "0-1", images / images.max(axis=(1, 2), keepdims=True))

    assert data_range.judge(itself, RAW, LABELS, PROBABILITIES, Preprocessing(), allowed=False) == []


@pytest.mark.parametrize("outputs", ["probabilities", "logits"])
def test_two_classes_with_one_output_are_judged_by_their_loss_too(outputs: Outputs) -> None:
    rows, task = (LABELS == 3) | (LABELS == 5), Task("binary", outputs, 1)
    weights = softmax_weights(1 / 255, "0-1")[:, 5] - softmax_weights(1 / 255, "0-1")[:, 3]

    def five(images: np.ndarray) -> np.ndarray:
        logits = images.reshape(len(images), -1) @ weights[:, None]
        return logits if outputs == "logits" else 1 / (1 + np.exp(-np.clip(logits, -80, 80)))

    chosen = RAW[rows], (LABELS[rows] == 5).astype(np.int64)
    with pytest.raises(InputError, match="cross-entropy"):
        data_range.judge(five, *chosen, task, Preprocessing(), allowed=False)
    assert data_range.judge(five, *chosen, task, UNIT, allowed=False) == []


def test_allowed_it_is_a_warning() -> None:
    (warning,) = data_range.judge(centres, RAW, LABELS, TASK, Preprocessing(), allowed=True)
    assert "--scale 1/255" in warning


def test_a_model_that_guesses_proves_nothing() -> None:
    random = np.random.default_rng(0)
    assert (
        data_range.judge(
            lambda images: random.normal(size=(len(images), 10)), RAW, LABELS, TASK, Preprocessing(), allowed=False
        )
        == []
    )


def test_regression_is_judged_by_its_error() -> None:
    task = Task("regression", "values", 1)
    ink = MNIST.real(RAW).reshape(500, -1).sum(axis=1)

    def ink_of(images: np.ndarray) -> np.ndarray:
        sums: np.ndarray = images.reshape(len(images), -1).sum(axis=1, keepdims=True)
        return sums

    assert data_range.judge(ink_of, RAW, ink, task, UNIT, allowed=False) == []
    with pytest.raises(InputError, match="mean absolute error"):
        data_range.judge(ink_of, RAW, ink, task, Preprocessing(), allowed=False)


def test_outputs_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        data_range.judge(lambda images: np.full((len(images), 10), np.nan), RAW, LABELS, TASK, UNIT, allowed=False)


REAL = MNIST.real(RAW)


def judged(calibration: np.ndarray, *, allowed: bool = False) -> list[str]:
    return data_range.judge_calibration(calibration, REAL, source="these", allowed=allowed)


def test_calibration_data_like_the_training_data_pass() -> None:
    assert judged(MNIST.real(MNIST.train.images[1000:1200])) == []


@pytest.mark.parametrize(
    ("calibration", "reason"),
    [
        (REAL * 255, "divide them by 255"),
        (REAL / 255, "divided by 255 already"),
        (np.zeros_like(REAL), "the value 0 alone"),
        (np.random.default_rng(0).random(REAL.shape, np.float32), "noise"),
        (np.random.default_rng(0).permuted(REAL.reshape(500, -1), axis=1).reshape(REAL.shape), "noise"),
    ],
)
def test_calibration_data_unlike_the_training_data_are_refused(calibration: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        judged(calibration)


def test_another_range_can_be_allowed_and_noise_not() -> None:
    (warning,) = judged(REAL * 255, allowed=True)
    assert "--allow range" in warning
    with pytest.raises(InputError):
        judged(np.random.default_rng(0).random(REAL.shape, np.float32), allowed=True)


def test_calibration_examples_that_are_in_the_test_data_are_passed_over() -> None:
    leaked = replace(MNIST, test=data.Part(MNIST.train.images[MNIST.calibration[:30]], MNIST.test.labels[:30]))
    chosen = choose(leaked, 50)
    assert len(chosen) == 50
    assert data.overlap(chosen, leaked.test.images) == 0
    # Without the leak they would have been taken.
    assert data.overlap(choose(MNIST, 50), leaked.test.images) == 30


def test_calibration_data_of_ones_own_must_not_be_test_data() -> None:
    own = replace(MNIST, calibration_images=MNIST.test.images[:20])
    with pytest.raises(InputError, match="20 of the 20 calibration examples are in the test data"):
        choose(own, 50)


def test_training_data_that_are_all_test_data_leave_none_to_calibrate_with() -> None:
    with pytest.raises(InputError, match="none is left"):
        choose(replace(MNIST, test=MNIST.train, calibration=MNIST.calibration[:200]), 50)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_scale_is_read_as_a_fraction(above: int, below: int) -> None:
    assert read_scale(f"{above}/{below}") == above / below
    assert read_scale(str(above)) == above


@pytest.mark.parametrize("text", ["", "0", "1/0", "a", "1/2/3", "nan", "inf", "0/5"])
def test_what_is_no_scale_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--scale"):
        read_scale(text)


def test_what_is_declared() -> None:
    assert declared() is None
    wanted = Preprocessing(scale=1 / 127.5, mean=(1.0,), resize=(32, 48), channels="rgb")
    assert declared("1/127.5", [1.0], (), "32x48", "rgb") == wanted
    assert declared(resize="28") == Preprocessing(resize=(28, 28))


@pytest.mark.parametrize(
    "options", [{"std": [0.0]}, {"mean": [float("nan")]}, {"resize": "0x3"}, {"resize": "big"}, {"resize": "5000"}]
)
def test_what_cannot_be_declared_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        declared(**options)  # type: ignore[arg-type]


def test_dividing_by_a_whole_number_is_exact() -> None:
    pixels = np.arange(256, dtype=np.uint8)
    assert (data.to_real(pixels, UNIT) == pixels.astype(np.float32) / np.float32(255)).all()
    assert (data.to_real(pixels, Preprocessing(mean=(3.0,), std=(2.0,))) == (pixels.astype(np.float32) - 3) / 2).all()


def outputs_for(answers: np.ndarray, classes: int = 10) -> np.ndarray:
    rows: np.ndarray = np.eye(classes, dtype=np.float32)[answers]
    return rows


def test_a_model_with_another_order_of_classes_is_noticed() -> None:
    names = tuple("abcdefghij")
    assert data_range.judge_answers(outputs_for(LABELS), LABELS, TASK, names, source="mine") == []
    (warning,) = data_range.judge_answers(outputs_for((LABELS + 1) % 10), LABELS, TASK, names, source="mine")
    assert "0=a, 1=b" in warning
    assert "is that the model's order" in warning


def test_two_classes_that_look_swapped_are_said_to_be() -> None:
    task, labels = Task("binary", "logits", 1), LABELS % 2
    (warning,) = data_range.judge_answers(0.5 - labels[:, None], labels, task, (), source="mine")
    assert "swapped" in warning


def test_scalings_of_pixels_are_not_tried_on_a_table() -> None:
    """Columns of any unit: the commonest class alone would make another scaling look better."""
    table = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32) * 1000
    labels = (np.arange(400) % 3 == 0).astype(np.int64)

    def wrong_unless_small(rows: np.ndarray) -> np.ndarray:
        guess: np.ndarray = np.where(np.abs(rows).max() > 100, labels < 1, labels > 0)[:, None] - 0.5
        return guess

    task = Task("binary", "logits", 1)
    assert data_range.judge(wrong_unless_small, table, labels, task, Preprocessing(), allowed=False) == []
