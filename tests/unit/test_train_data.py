from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from optkit import data
from optkit.cli.compress import command as compress
from optkit.cli.preprocessing import declared
from optkit.errors import InputError
from optkit.pipeline import train_data
from optkit.pipeline.train_settings import resolve_training
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Pictures of three channels, of which one is always the same, in an npz file."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (80, 4, 4, 3), dtype=np.uint8)
    images[..., 1] = 51
    images[..., 2] //= 4
    labels = np.arange(80) % 4
    path = tmp_path / "colours.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[::-1] ^ 1, y_test=labels)
    return path


def loaded(**given: Any) -> data.Dataset:
    return train_data.load(resolve_training(given))


def test_nothing_asked_for_is_as_the_data_set_has_it(colours: Path) -> None:
    assert loaded().preprocessing == Preprocessing(scale=1 / 255)
    assert loaded(data=str(colours)).preprocessing == Preprocessing()


def test_mnist_gets_its_customary_figures_and_compress_the_same() -> None:
    found = loaded(normalize="standard")
    assert found.preprocessing == Preprocessing(scale=1 / 255, mean=(0.130636,), std=(0.308088,))
    real = found.real(found.train.images[:])
    assert abs(float(real.mean())) < 1e-4
    assert float(real.std()) == pytest.approx(1, abs=1e-4)


def test_the_figures_are_those_of_the_examples_in_use() -> None:
    assert loaded(normalize="standard", train_samples=50).preprocessing != loaded(normalize="standard").preprocessing


def test_each_channel_has_its_own_and_a_still_one_is_zero(colours: Path) -> None:
    found = loaded(data=str(colours), normalize="standard")
    real = found.real(found.train.images[:])
    assert np.abs(real.mean(axis=(0, 1, 2))).max() < 1e-4
    assert real.std(axis=(0, 1, 2)) == pytest.approx([1, 0, 1], abs=1e-4)
    assert loaded(data=str(colours), normalize="unit").preprocessing == Preprocessing(scale=1 / 255)
    assert loaded(normalize="none").preprocessing == Preprocessing()


def test_more_examples_than_there_are_are_refused(colours: Path) -> None:
    assert len(loaded(train_samples=55_000).train.labels) == 55_000
    with pytest.raises(InputError, match="--train-samples expects at most the 55,000 training examples of mnist"):
        loaded(train_samples=55_001)
    with pytest.raises(InputError, match="at most the 60 training examples"):
        loaded(data=str(colours), train_samples=61)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"normalize": "none"},
        {"normalize": "unit"},
        {"normalize": "standard"},
        {"scale": "0.01", "mean": [-1.0]},
        {"resize": "14x14", "channels": "rgb", "scale": "1/255"},
        {"data": "colours"},
        {"data": "colours", "normalize": "standard"},
        {"data": "colours", "normalize": "unit", "channels": "grey"},
    ],
)
def test_compress_is_told_what_feeds_the_same_values(given: dict[str, Any], colours: Path) -> None:
    if "data" in given:
        given = given | {"data": str(colours)}
    settings = resolve_training(given)
    trained = train_data.load(settings)
    words = shlex.split(shlex.join(train_data.compress_options(settings, trained)))
    options = compress.make_context("compress", ["model.keras", *words]).params
    fed = data.load(data.DataSpec(options["data"] or "mnist", declared(options), options["target"]))
    assert fed.preprocessing == trained.preprocessing
    assert fed.train.images.shape == trained.train.images.shape
