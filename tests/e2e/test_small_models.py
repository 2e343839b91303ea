"""Models that are truly smaller, through the command line: factorize, distill, equalize and bias-correct."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SMALL, optkit, report_of

if TYPE_CHECKING:
    from pathlib import Path

STUDENT = "pool:2/dense:16"
RECIPES = (
    "int8",
    "factorize:share=0.25,epochs=1+int8",
    "factorize:share=0.25,epochs=1+distill:epochs=1+int8",
    "equalize+int8",
    "equalize+bias-correct+int8",
    f"distill:student={STUDENT},epochs=2,copies=1,learning_rate=0.005,shift=0.05+int8",
    "distill:epochs=1+fp32",
)
# Makes, in a process of its own, teachers as users have them: with current Keras.
TEACHERS = """
import sys, keras, numpy as np
from optkit import data
keras.utils.set_random_seed(0)
part = data.load("mnist").train.first(6000)
images, labels = part.images[:].reshape(-1, 28, 28, 1) / np.float32(255), part.labels
for name, classes in (("good", 10), ("five", 5)):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(64, "relu"),
                              keras.layers.Dense(classes)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, labels % classes, batch_size=64, epochs=2, verbose=0)
    model.save(f"{sys.argv[1]}/{name}.keras")

# Channels of very different sizes, which the next layer makes up for.
model = keras.Sequential([
    keras.Input((28, 28, 1)), keras.layers.Conv2D(8, 5, strides=2, use_bias=False, name="conv"),
    keras.layers.BatchNormalization(name="norm"), keras.layers.ReLU(),
    keras.layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise"),
    keras.layers.Conv2D(16, 1, activation="relu", name="pointwise"), keras.layers.MaxPooling2D(2),
    keras.layers.Flatten(), keras.layers.Dense(10, "softmax", name="digit")])
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
model.fit(images, labels, batch_size=64, epochs=3, verbose=0)
norm, depthwise, pointwise, digit = (model.get_layer(name) for name in ("norm", "depthwise", "pointwise", "digit"))
one, two, three = (np.exp(np.random.default_rng(n).uniform(-5, 5, (8, 8, 16)[n])) for n in range(3))
gamma, beta, mean, variance = norm.get_weights()
norm.set_weights([gamma * one, beta * one, mean, variance])
kernel, bias = depthwise.get_weights()
depthwise.set_weights([kernel / one[:, None] * two[:, None], bias * two])
kernel, bias = pointwise.get_weights()
pointwise.set_weights([kernel / two[:, None] * three, bias * three])
kernel, bias = digit.get_weights()
digit.set_weights([(kernel.reshape(-1, 16, 10) / three[:, None]).reshape(kernel.shape), bias])
model.save(f"{sys.argv[1]}/ill.keras")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truly-small") / "run"
    chosen = [part for recipe in RECIPES for part in ("--recipe", recipe)]
    result = optkit("compress", *SMALL, *chosen, "--out", str(folder))
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teachers")
    subprocess.run([sys.executable, "-c", TEACHERS, str(folder)], check=True)
    return folder


def by_file(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Variants of a report."""
    return {(one["name"], one["format"]): one for one in report_of(folder)["variants"]}


def test_every_recipe_is_made_in_both_formats_and_proved(run: Path) -> None:
    report = report_of(run)
    # What has nothing to learn.
    assert {one["name"] for one in report["skipped"]} == {"distill+fp32"}
    assert all("the student is its own teacher" in one["reason"] for one in report["skipped"])
    names = {"fp32", "int8", "factorize+int8", "factorize+distill+int8", "equalize+int8"}
    names |= {"equalize+bias-correct+int8", "distill+int8"}
    assert {(one["name"], one["format"]) for one in report["variants"]} == {
        (name, suffix) for name in names for suffix in ("tflite", "onnx")
    }
    assert [one["failures"] for one in report["variants"] if one["status"] != "ok"] == []


def test_what_is_split_or_replaced_is_smaller_in_the_file_by_as_much(run: Path) -> None:
    files = by_file(run)
    # Of 784 · 128 and 128 · 10 weights a quarter: the output layer stays whole, each rank of the other has 784 + 128.
    factorized = 26 * (784 + 128) + 128 * 10
    assert factorized <= 0.25 * (784 * 128 + 128 * 10) < factorized + 784 + 128
    for suffix in ("tflite", "onnx"):
        whole = files["int8", suffix]
        assert whole["compute"]["macs"] == 784 * 128 + 128 * 10
        for name in ("factorize+int8", "factorize+distill+int8"):
            assert files[name, suffix]["compute"]["macs"] == factorized
            saved = whole["size"]["file_bytes"] - files[name, suffix]["size"]["file_bytes"]
            # Two layers more have their own scales, names and operators.
            assert saved > (784 * 128 - factorized) * 0.9
        student = files["distill+int8", suffix]
        assert student["compute"]["macs"] == 196 * 16 + 16 * 10
        assert student["size"]["file_bytes"] < whole["size"]["file_bytes"] / 5
        assert files["equalize+int8", suffix]["compute"]["macs"] == whole["compute"]["macs"]


def test_they_still_know_their_digits(run: Path) -> None:
    files = by_file(run)
    for suffix in ("tflite", "onnx"):
        right = files["int8", suffix]["accuracy"]["top1"]
        assert right > 0.85
        assert files["factorize+int8", suffix]["accuracy"]["top1"] > right - 0.03
        assert files["factorize+distill+int8", suffix]["accuracy"]["top1"] > right - 0.03
        assert abs(files["equalize+int8", suffix]["accuracy"]["top1"] - right) < 0.005
        assert abs(files["equalize+bias-correct+int8", suffix]["accuracy"]["top1"] - right) < 0.005
        assert files["distill+int8", suffix]["accuracy"]["top1"] > 0.75


def test_the_report_says_what_was_done_with_each_layer(run: Path) -> None:
    files = by_file(run)
    notes = {note["layer"]: note["reason"] for note in files["factorize+distill+int8", "tflite"]["layers"][:6]}
    assert "factorize: split at rank 26 of 128 (channel)" in notes["dense_1"]
    assert notes["dense_1"].endswith("distill: trained on the teachers' answers")
    assert notes["dense_1_factor"].startswith("factorize: the first factor of dense_1")
    gone = [note["reason"] for note in files["distill+int8", "onnx"]["layers"]]
    assert any(f"distill: gone: the student is {STUDENT}" in reason for reason in gone)
    checks = {check["name"]: check for check in files["equalize+int8", "onnx"]["checks"]}
    assert checks["float outputs unchanged"]["passed"]
    assert checks["channel ranges of dense_1 and probabilities"]["observed"] < 1.01


def test_the_second_run_redoes_nothing(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (run / "models").iterdir()}
    chosen = [part for recipe in RECIPES for part in ("--recipe", recipe)]
    assert optkit("compress", *SMALL, *chosen, "--out", str(run)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (run / "models").iterdir()} == before


def test_a_teacher_of_the_users_own_teaches_and_another_one_teaches_anew(teachers: Path) -> None:
    folder = teachers / "taught"
    chosen = (
        "--recipe",
        f"distill:student={STUDENT},epochs=1,teachers=good.keras:baseline+fp32",
        "--formats",
        "tflite",
    )
    command = ("compress", *SMALL, *chosen, "--out", str(folder))
    result = optkit(*command, cwd=teachers)
    assert result.returncode == 0, result.stdout + result.stderr
    first = (folder / "models" / "distill.h5").read_bytes()
    assert optkit(*command, cwd=teachers).returncode == 0
    assert (folder / "models" / "distill.h5").read_bytes() == first
    # The same name, other weights.
    make = TEACHERS.replace("set_random_seed(0)", "set_random_seed(1)")
    subprocess.run([sys.executable, "-c", make, str(teachers)], check=True)
    assert optkit(*command, cwd=teachers).returncode == 0
    assert (folder / "models" / "distill.h5").read_bytes() != first


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("distill:teachers=five.keras+fp32", "expected outputs like those of the model to be taught, 10 probabilities"),
        ("distill:teachers=none.keras+fp32", "none.keras"),
        ("distill:student=lenet+fp32", "unknown student 'lenet': did you mean lenet5"),
    ],
)
def test_what_cannot_teach_is_refused_before_anything_is_trained(
    teachers: Path, tmp_path: Path, recipe: str, message: str
) -> None:
    folder = tmp_path / "run"
    result = optkit("compress", *SMALL, "--recipe", recipe, "--out", str(folder), cwd=teachers)
    assert result.returncode == 2, result.stdout + result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not folder.exists()


def test_equalizing_gives_an_int8_model_back_what_channels_of_all_sizes_take(teachers: Path) -> None:
    chosen = ("--recipe", "int8", "--recipe", "equalize+int8", "--out", "evened")
    result = optkit("compress", "ill.keras", "--scale", "1/255", *chosen, cwd=teachers)
    # The plain int8 files are failures, which are told.
    assert result.returncode == 4, result.stdout + result.stderr
    files = by_file(teachers / "evened")
    for suffix in ("tflite", "onnx"):
        whole, plain, evened = (files[name, suffix] for name in ("fp32", "int8", "equalize+int8"))
        assert plain["status"] == "failed"
        assert evened["status"] == "ok", evened["failures"]
        assert plain["accuracy"]["top1"] < whole["accuracy"]["top1"] - 0.2
        assert evened["accuracy"]["top1"] > whole["accuracy"]["top1"] - 0.005
        notes = {note["layer"]: note["reason"] for note in evened["layers"] if note["reason"].startswith("equalize")}
        assert notes["norm"] == "equalize: folded into conv"
        assert notes["depthwise"] == "equalize: channel ranges evened out with pointwise and conv"
