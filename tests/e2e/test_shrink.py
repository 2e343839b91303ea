"""``shrink`` through the command line: smaller networks in both formats, or a goal that is refused with the nearest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, Result, artifact_hashes, optkit, report_of

STEP = "shrink:macs=0.4,epochs=1"
BYTES = ("--formats", "tflite", "--recipe", "shrink:bytes=20000,epochs=1+int8")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Keras 3 model (a residual sum, batch normalization, strides) and its data."""
    folder = tmp_path_factory.mktemp("own")
    subprocess.run([sys.executable, str(Path(__file__).with_name("own_models.py")), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def run(own: Path) -> Path:
    """That model shrunk alone, and with training for zeros and for int8."""
    recipes = [f"{STEP}+{rest}" for rest in ("fp32", "int8", "qat:epochs=1+int8", "prune:epochs=1,sparsity=0.5+int8")]
    arguments = [argument for recipe in recipes for argument in ("--recipe", recipe)]
    result = optkit(
        "compress", "own.keras", "--data", "digits.npz", "--scale", "1/255", "--out", "run", *arguments, cwd=own
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return own / "run"


@pytest.fixture(scope="module")
def to_size(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A perceptron shrunk to a file of 20,000 bytes."""
    folder = tmp_path_factory.mktemp("bytes") / "run"
    return folder, optkit("compress", *SMALL, *BYTES, "--out", str(folder))


def variants(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["name"], one["format"]): one for one in report_of(folder)["variants"]}


def test_every_file_is_smaller_and_proved(run: Path) -> None:
    found = variants(run)
    assert {one["status"] for one in found.values()} == {"ok"}, [one["failures"] for one in found.values()]
    for (name, suffix), one in found.items():
        if not name.startswith("shrink"):
            continue
        whole = found["fp32", suffix]
        assert one["compute"]["macs"] <= 0.4 * whole["compute"]["macs"]
        assert one["size"]["parameters"] < whole["size"]["parameters"]
        checks = {check["name"] for check in one["checks"]}
        assert {"answers of the rebuilt model", "multiply-accumulates", "bytes of conv", "bytes of dense"} <= checks
        assert {"multiply-accumulates of conv_2", "parameters"} <= checks
    for suffix in ("tflite", "onnx"):
        # Nothing but weights is gone: the rest of the file is what it was.
        whole, small = (found[name, suffix]["size"] for name in ("fp32", "shrink+fp32"))
        removed = whole["weight_bytes"] - small["weight_bytes"]
        assert whole["file_bytes"] - small["file_bytes"] == pytest.approx(removed, abs=200)
    pruned = found["shrink+prune+int8", "tflite"]["size"]
    assert pruned["nonzero_parameters"] < 0.7 * pruned["parameters"]


def test_every_layer_is_reported(run: Path) -> None:
    noted = variants(run)["shrink+fp32", "tflite"]["layers"]
    layers = {one["layer"]: one for one in noted if one["reason"].startswith("shrink: ")}
    assert "filters kept" in layers["conv"]["reason"]
    # The two that are added keep the same channels.
    kept = [layers[name]["reason"].split(": ")[1].split(" filters")[0] for name in ("conv", "branch")]
    assert kept[0] == kept[1]
    assert "channels kept" in layers["norm"]["reason"]
    assert "all 10 units kept (output of the model)" in layers["digit"]["reason"]


def test_the_smaller_model_comes_out_for_keras_3(run: Path) -> None:
    script = (
        "import sys, keras\n"
        "whole, small = (keras.saving.load_model(path) for path in sys.argv[1:])\n"
        "print(whole.count_params(), small.count_params(), small.get_layer('conv').filters)"
    )
    models = [str(run / "models" / f"{name}.keras") for name in ("baseline", "shrink")]
    done = subprocess.run([sys.executable, "-c", script, *models], check=True, capture_output=True, text=True)
    whole, small, filters = map(int, done.stdout.split())
    assert small < whole
    assert 1 <= filters < 8


def test_a_file_is_as_small_as_was_asked(to_size: tuple[Path, Result]) -> None:
    folder, result = to_size
    assert result.returncode == 0, result.stdout + result.stderr
    small = variants(folder)["shrink+int8", "tflite"]
    assert small["status"] == "ok", small["failures"]
    # A unit of this network is worth some 800 bytes.
    assert 18_500 <= small["size"]["file_bytes"] <= 20_000
    check = next(check for check in small["checks"] if check["name"] == "bytes of the file")
    assert (check["observed"], check["limit"]) == (small["size"]["file_bytes"], 20_000)


def test_the_same_seed_gives_the_same_bytes(to_size: tuple[Path, Result], tmp_path: Path) -> None:
    assert optkit("compress", *SMALL, *BYTES, "--out", str(tmp_path / "again")).returncode == 0
    assert artifact_hashes(tmp_path / "again") == artifact_hashes(to_size[0])


REFUSED = {
    "a layer would be left empty": ("shrink:parameters=100,epochs=1+int8", "the least that can be left is 805 (0.79%)"),
    "nothing to remove": ("shrink:parameters=200000,epochs=1+int8", "the model has 101,770"),
    "nothing to score by": ("shrink:score=batch-norm,epochs=1+int8", "choose another score"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_goal_that_cannot_be_reached_ends_the_run(to_size: tuple[Path, Result], case: str) -> None:
    folder, _ = to_size
    recipe, message = REFUSED[case]
    before = artifact_hashes(folder)
    result = optkit("compress", *SMALL, "--formats", "tflite", "--recipe", recipe, "--out", str(folder))
    assert result.returncode == 2, result.stdout + result.stderr
    assert message in " ".join(result.stderr.split())
    assert artifact_hashes(folder) == before


def test_a_model_whose_channels_all_stay_is_refused(to_size: tuple[Path, Result]) -> None:
    arguments = (*SMALL, "--formats", "tflite", "--recipe", "shrink+int8", "--skip-layer", "dense_1")
    result = optkit("compress", *arguments, "--out", str(to_size[0]))
    assert result.returncode == 2, result.stdout + result.stderr
    assert "dense_1: named in --skip-layer" in " ".join(result.stderr.split())
