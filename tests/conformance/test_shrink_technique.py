"""``shrink`` on a small network and real images: its scores, steps and goals, and that it proves what it rebuilds."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import msgspec
import numpy as np
import pytest
import tf_keras
from rebuild_checks import WARNINGS
from tf_keras import layers

from optkit import data, techniques
from optkit.errors import InputError, InternalError, UnreachableError
from optkit.pipeline.stages import for_training
from optkit.problem import Task
from optkit.techniques import shrink
from optkit.techniques._shrink import rebuilding, scores, statistics
from optkit.techniques._shrink.follow import follow

pytestmark = [pytest.mark.filterwarnings(line) for line in WARNINGS]

SCORES = ("l1", "l2", "batch-norm", "taylor", "activation")
WEAK = 2


def network() -> Any:
    """Two convolutions, of which the first has a weak filter, and a dense layer."""
    tf_keras.utils.set_random_seed(1)
    parts = [
        layers.Conv2D(6, 5, strides=3, input_shape=(28, 28, 1), name="first"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="relu"),
        layers.Conv2D(5, 3, activation="relu", name="second"),
        layers.Flatten(name="flat"),
        layers.Dense(10, activation="softmax", name="digit"),
    ]
    model = tf_keras.Sequential(parts)
    for name in ("first", "norm"):
        layer = model.get_layer(name)
        values = layer.get_weights()
        values[0][..., WEAK] *= 1e-3
        layer.set_weights(values)
    return model


def images(count: int = 256) -> data.Dataset:
    return for_training(data.load("mnist", train_samples=count))


def work(told: list[dict[str, Any]] | None = None, **params: Any) -> techniques.Work:
    found: list[dict[str, Any]] = [] if told is None else told
    return techniques.Work(
        params=msgspec.convert(params, shrink.Params),
        history=(),
        data=images(),
        task=Task(),
        seed=0,
        skip_layers=(),
        tell=found.append,
    )


def run(model: Any, wanted: techniques.Work) -> techniques.Outcome:
    return techniques.run("shrink", model, wanted, [layer.name for layer in model.layers])


@pytest.mark.parametrize("score", SCORES)
def test_a_weak_filter_is_the_least_important(score: str) -> None:
    model = network()
    followed = follow(model)
    found = scores.scores(model, followed, score, data=images(), task=Task(), seed=0)
    first = followed.group[followed.made["first",].channels]
    assert first[np.argmin(found[first])] == first[WEAK]
    others = np.delete(found[first], WEAK)
    assert found[first][WEAK] < 0.1 * others.min()
    # Only the first convolution is normalized: of the second this score says nothing.
    second = followed.group[followed.made["second",].channels]
    assert np.isnan(found[second]).all() == (score == "batch-norm")


def test_taylor_is_the_mean_square_of_the_losss_slope() -> None:
    """Against differences of the loss when what reads a channel is scaled, example by example."""
    model, dataset = network(), images()
    dataset = dataclasses.replace(dataset, train=dataset.train.first(6))
    followed = follow(model)
    found = scores.scores(model, followed, "taylor", data=dataset, task=Task(), seed=0)
    reader, step = model.get_layer("second"), 1e-2
    kernel, bias = reader.get_weights()
    real, labels = dataset.real(dataset.train.images[:], (28, 28, 1)), dataset.train.labels

    def losses(channel: int, factor: float) -> np.ndarray:
        scaled = kernel.copy()
        scaled[:, :, channel] *= factor
        reader.set_weights([scaled, bias])
        outputs = model.predict(real, verbose=0).astype(np.float64)
        reader.set_weights([kernel, bias])
        return -np.log(outputs[np.arange(len(labels)), labels])

    for channel, group in enumerate(followed.group[followed.made["first",].channels]):
        slopes = (losses(channel, 1 + step) - losses(channel, 1 - step)) / (2 * step)
        # A difference of float32 losses of about 2, over a step of a hundredth, is good to some 1e-4.
        assert found[group] == pytest.approx((slopes**2).mean(), rel=0.05, abs=1e-6)


def test_normalization_takes_its_statistics_from_what_goes_in_now() -> None:
    model, dataset = network(), images()
    before = tf_keras.Model(model.inputs, model.get_layer("first").output)
    seen = before.predict(dataset.real(dataset.train.images[:], (28, 28, 1)), verbose=0).reshape(-1, 6)
    norm = model.get_layer("norm")
    statistics.renew(model, dataset, 0)
    # Variances are means of those within batches of 64.
    assert norm.moving_mean.numpy() == pytest.approx(seen.mean(axis=0), rel=1e-3, abs=1e-5)
    assert norm.moving_variance.numpy() == pytest.approx(seen.var(axis=0), rel=0.05)
    assert norm.momentum == 0.99
    norm.trainable = False
    norm.moving_mean.assign([7.0] * 6)
    statistics.renew(model, dataset, 0)
    assert norm.moving_mean.numpy().tolist() == [7.0] * 6


def test_a_wrong_model_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The technique itself proves what it has rebuilt."""
    right = rebuilding.rebuild

    def wrong(*given: Any) -> Any:
        made = right(*given)
        kernel, bias = made.get_layer("digit").get_weights()
        made.get_layer("digit").set_weights([np.roll(kernel, 1, axis=0), bias])
        return made

    monkeypatch.setattr(rebuilding, "rebuild", wrong)
    with pytest.raises(InternalError, match="must answer within"):
        run(network(), work(macs=0.5, epochs=0))


def test_steps_share_the_epochs_and_tell_of_all_of_them() -> None:
    told: list[dict[str, Any]] = []
    outcome = run(network(), work(told, parameters=0.3, steps=2, epochs=3))
    assert len(outcome.epochs) == 3
    assert [one["done"] for one in told] == sorted(one["done"] for one in told)
    assert {one["total"] for one in told} == {told[-1]["done"]}
    assert [one["epoch"] for one in told] == [1, 2, 3]
    assert all(check.passed for check in outcome.checks)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = (techniques.weights_digest(run(network(), work(macs=0.4, epochs=1)).model) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("goal", [{"channels": 0.5}, {"macs": 20_000}, {"parameters": 0.4}])
def test_goals_are_reached(goal: dict[str, float], scope: str) -> None:
    outcome = run(network(), work(**goal, scope=scope, epochs=0))
    assert all(check.passed for check in outcome.checks)
    asked = [check for check in outcome.checks if check.reason.startswith("asked for")]
    assert len(asked) == 1
    kept = {note.layer: note.reason for note in outcome.notes}
    if scope == "layer" and "channels" in goal:
        assert kept["first"].startswith("3 of 6 filters kept")
        assert kept["second"].startswith(("2 of 5 filters kept", "3 of 5 filters kept"))


def test_a_goal_in_bytes_is_measured() -> None:
    measured: list[int] = []

    def file_bytes(model: Any, precision: str) -> int:
        assert precision == "int8"
        measured.append(1000 + model.count_params())
        return measured[-1]

    wanted = dataclasses.replace(work(bytes=2000, epochs=0), file_bytes=file_bytes)
    outcome = run(network(), wanted)
    assert 1700 < 1000 + outcome.model.count_params() <= 2000
    assert len(measured) < 30
    with pytest.raises(InternalError, match="needs an exporter"):
        run(network(), work(bytes=2000, epochs=0))


def test_what_cannot_be_reached_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        UnreachableError, match=r"parameters=20 allows 20 parameters, of .*; the least .* is (\d+)"
    ) as found:
        run(network(), work(parameters=20, epochs=0))
    nearest = int(re.findall(r"left is (\d+)", str(found.value))[0])
    assert run(network(), work(parameters=nearest, epochs=0)).model.count_params() == nearest
    with pytest.raises(UnreachableError, match="ask for less"):
        run(network(), work(macs=1, epochs=0))


def test_a_model_without_channels_to_remove_is_refused() -> None:
    plain = tf_keras.Sequential([layers.Flatten(input_shape=(28, 28, 1)), layers.Dense(10, name="digit")])
    with pytest.raises(UnreachableError, match=r"no channel can be removed \(digit: output of the model\)"):
        run(plain, work())
    without = tf_keras.Sequential([layers.Conv2D(4, 3, input_shape=(28, 28, 1)), layers.Flatten(), layers.Dense(10)])
    with pytest.raises(UnreachableError, match="choose another score"):
        run(without, work(score="batch-norm"))


def test_a_model_that_keras_cannot_build_again_is_refused() -> None:
    class Own(layers.Layer):  # type: ignore[misc]  # Keras ships no types
        def call(self, inputs: Any) -> Any:
            return inputs

    given = layers.Input((28, 28, 1))
    x = layers.Flatten()(Own()(layers.Conv2D(4, 3)(layers.Conv2D(4, 3)(given))))
    with pytest.raises(UnreachableError, match="cannot build net again from its own configuration"):
        run(tf_keras.Model(given, layers.Dense(10)(x), name="net"), work(score="l1", epochs=0))


def test_weights_that_are_no_numbers_are_refused() -> None:
    model = network()
    kernel, bias = model.get_layer("digit").get_weights()
    model.get_layer("digit").set_weights([kernel * np.float32(np.nan), bias])
    with pytest.raises(InputError, match="found NaN or infinity, which the model has; train it again"):
        run(model, work(score="l1", epochs=0))
