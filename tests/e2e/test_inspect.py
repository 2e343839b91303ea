"""``optkit inspect`` on files of every kind, Keras ones too, and the layers of Keras files in ``optkit diff``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from conftest import optkit
from model_files import network, write_onnx, write_tflite

if TYPE_CHECKING:
    from pathlib import Path

# A convolution of 8 kernels of 5×5 over 12×12 places, and a dense layer of 1,152 × 10.
MACS = 8 * 25 * 12 * 12 + 1152 * 10
PARAMETERS = 8 * 25 + 8 + 1152 * 10 + 10
_MAKE = """
import sys
import keras, numpy as np, tf_keras
folder = sys.argv[1]
def build(of):
    layers = of.layers
    model = of.Sequential([
        layers.Input((28, 28, 1)),
        layers.Conv2D(8, 5, strides=2, activation="relu", name="first"),
        layers.Flatten(name="flat"),
        layers.Dense(10, activation="softmax", name="digit"),
    ])
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.1, weight.shape) for weight in model.get_weights()])
    return model
three, two = build(keras), build(tf_keras)
three.save(folder + "/three.keras")
two.save(folder + "/two.keras")
two.save(folder + "/two.h5", save_format="h5")
two.export(folder + "/saved")
kernel = three.get_layer("digit").kernel.numpy()
kernel[:, 3] *= -1
three.get_layer("digit").kernel.assign(kernel)
three.save(folder + "/changed.keras")
"""


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that Keras 3 and tf_keras wrote."""
    folder = tmp_path_factory.mktemp("keras")
    subprocess.run([sys.executable, "-c", _MAKE, str(folder)], check=True, capture_output=True)
    return folder


def _inspected(path: Path) -> dict[str, Any]:
    result = optkit("inspect", str(path), "--json", "-")
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("name", ["three.keras", "two.keras", "two.h5"])
def test_keras_files_tell_their_layers(keras_files: Path, name: str) -> None:
    found = _inspected(keras_files / name)
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert layers["first"]["outputs"][0]["shape"] == [-1, 12, 12, 8]
    assert layers["first"]["macs"] == 8 * 25 * 12 * 12
    assert found["totals"]["macs"] == MACS
    assert found["totals"]["parameters"] == PARAMETERS
    assert found["metadata"]["Keras version"].startswith("3." if name.startswith("three") else "2.")
    assert sum(found["bytes_by_kind"].values()) == (keras_files / name).stat().st_size


def test_a_saved_model_tells_its_operators(keras_files: Path) -> None:
    found = _inspected(keras_files / "saved")
    kinds = found["totals"]["operators_by_kind"]
    assert kinds["Conv2D"] == 1
    assert kinds["MatMul"] == 1
    assert found["totals"]["parameters"] == PARAMETERS
    assert sum(found["bytes_by_kind"].values()) == found["file_bytes"]


@pytest.mark.parametrize("name", ["fp32.tflite", "int8.tflite", "int8.onnx"])
def test_the_table_for_people(tmp_path: Path, name: str) -> None:
    precision, _, file_format = name.partition(".")
    write = write_tflite if file_format == "tflite" else write_onnx
    path = write(tmp_path, network(), precision)
    result = optkit("inspect", str(path))
    assert result.returncode == 0, result.stderr
    assert "multiply-accumulates" in result.stdout
    assert "weights" in result.stdout


def test_a_changed_kernel_of_a_keras_file_is_named(keras_files: Path) -> None:
    result = optkit(
        "diff", str(keras_files / "three.keras"), str(keras_files / "changed.keras"), "--data", "mnist", "--json", "-"
    )
    assert result.returncode == 0, result.stderr
    layers = json.loads(result.stdout)["layers"]
    assert layers["layers"][layers["first"]]["name"] == "digit"
    assert layers["layers"][0]["snr_db"] is None
    assert layers["layers"][layers["first"]]["kernels"] == "different"


@pytest.mark.parametrize("name", ["gone.keras", "noise.keras", "noise.h5", "cut.keras"])
def test_what_is_no_keras_file_is_one_line(keras_files: Path, tmp_path: Path, name: str) -> None:
    whole = (keras_files / "three.keras").read_bytes()
    if "noise" in name:
        (tmp_path / name).write_bytes(b"noise" * 200)
    if "cut" in name:
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    result = optkit("inspect", name, cwd=tmp_path)
    assert result.returncode == 2, result.stdout
    assert name in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
