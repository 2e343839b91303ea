"""The calibration guard: data scaled otherwise than the model wants, and calibration data unlike the training data."""

from __future__ import annotations

from dataclasses import replace

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
