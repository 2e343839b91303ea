"""A limit for the drop of int8, through the command line: what is left in float, and what a missed limit looks like."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from conftest import optkit, report_of

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Result

# A network in which a channel of the last but one layer, and one before it, are always 0 and have large weights: no
# step of 8 bits is left for the others.
MODEL = """
import sys, keras, numpy as np
from optkit import data
keras.utils.set_random_seed(0)
part = data.load("mnist").train.first(6000)
images, labels = part.images[:].reshape(-1, 28, 28, 1) / np.float32(255), part.labels
model = keras.Sequential([
    keras.Input((28, 28, 1)), keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv_1"),
    keras.layers.Conv2D(16, 3, strides=2, activation="relu", name="conv_2"), keras.layers.Flatten(name="flat"),
    keras.layers.Dense(32, "relu", name="dense"), keras.layers.Dense(10, "softmax", name="digits")])
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
model.fit(images, labels, batch_size=64, epochs=3, verbose=0)
conv, dense, digits = (model.get_layer(name) for name in ("conv_2", "dense", "digits"))
for before, layer, channels in ((conv, dense, 16), (dense, digits, 32)):
    kernel, bias = before.get_weights()
    bias[0] = -1000
    before.set_weights([kernel, bias])
    kernel, bias = layer.get_weights()
    kernel.reshape(-1, channels, kernel.shape[1])[:, 0] = 60
    layer.set_weights([kernel, bias])
model.save(sys.argv[1])
"""
RECIPES = ("--recipe", "int8:drop=1pt", "--recipe", "int8:drop=1pt,float_layers=1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "broken.keras"
    subprocess.run([sys.executable, "-c", MODEL, str(path)], check=True, capture_output=True, timeout=600)
    return path


@pytest.fixture(scope="module")
def run(model: Path) -> tuple[Path, Result]:
    folder = model.parent / "run"
    arguments = ("--data", "mnist", "--scale", "1/255", "--formats", "tflite", "--slim", *RECIPES)
    return folder, optkit("compress", str(model), *arguments, "--out", str(folder))


def variant(folder: Path, name: str) -> dict[str, Any]:
    return next(one for one in report_of(folder)["variants"] if one["name"] == name)


def test_the_two_layers_that_8_bits_break_are_in_float_and_the_file_is_right(run: tuple[Path, Result]) -> None:
    folder, _ = run
    found, fp32 = variant(folder, "int8"), variant(folder, "fp32")
    assert found["status"] == "ok", found["failures"]
    assert set(found["sensitivity"]["excluded"]) == {"dense", "digits"}
    assert found["sensitivity"]["validation"] == 5_000
    assert abs(found["accuracy"]["correct"] - fp32["accuracy"]["correct"]) < 100
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["excluded layers are float"]["observed"] == "dense (float32), digits (float32)"
    assert checks["drop on validation data"]["observed"] <= 1
    assert any(why["cause"] == "layers left in float" and "in float" in why["detail"] for why in found["why"])
    assert "## Which layers lose most when quantized" in (folder / "report.md").read_text(encoding="utf-8")


def test_a_limit_that_is_not_met_fails_the_file_with_figures(run: tuple[Path, Result]) -> None:
    folder, result = run
    assert result.returncode == 4
    found = variant(folder, "int8-1")
    assert found["status"] == "failed"
    assert any("drop on validation data: observed" in one and "1 allowed" in one for one in found["failures"])
    assert (folder / found["path"]).is_file()
    told = " ".join(result.stdout.split())
    assert "int8-1.tflite: the limit is 1pt, and is not met with the 1 most sensitive of 4 layers in float" in told
    assert report_of(folder)["recommendation"]["variant"] == "int8"


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("int8:drop=0.05pt", "is smaller than these data can show"),
        ("int8:drop=5%", "percent of what?"),
    ],
)
def test_a_limit_that_the_data_cannot_show_is_refused_before_any_work(model: Path, recipe: str, words: str) -> None:
    folder = model.parent / "refused"
    arguments = ("--data", "mnist", "--scale", "1/255", "--recipe", recipe, "--out", str(folder))
    result = optkit("compress", str(model), *arguments)
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())
    assert not folder.exists()
