"""Models and data of the user's own: what Keras 3 saves goes in, every file comes out, and a Keras 3 file again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import optkit, report_of

SHORT = ("--recipe", "int8", "--recipe", "prune:epochs=1,sparsity=0.5,learning_rate=0.001+int8")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models and data of the user's own."""
    folder = tmp_path_factory.mktemp("own")
    subprocess.run([sys.executable, str(Path(__file__).with_name("own_models.py")), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def run(own: Path) -> Path:
    """A finished run on a Keras 3 model."""
    folder = own / "run"
    arguments = ("own.keras", "--data", "digits.npz", "--scale", "1/255", "--out", str(folder))
    result = optkit("compress", *arguments, *SHORT, cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def in_keras(script: str, *arguments: str, cwd: Path | None = None) -> str:
    """What a script prints in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def test_a_keras_3_model_comes_out_in_every_format(run: Path) -> None:
    names = {"fp32", "int8", "finetune+fp32", "prune+int8"}
    wanted = {f"{name}.{suffix}" for name in names for suffix in ("tflite", "onnx")}
    assert {path.name for path in (run / "artifacts").iterdir()} == wanted
    report = report_of(run)
    assert {variant["status"] for variant in report["variants"]} == {"ok"}
    # MNIST's own test images; the model was trained for seconds.
    assert min(variant["accuracy"]["top1"] for variant in report["variants"]) > 0.6
    assert report["data"]["calibration"]["disjoint_from_test"] is True


def test_the_files_answer_as_keras_does(own: Path, run: Path) -> None:
    script = (
        "import sys, keras, numpy as np\n"
        "data = np.load(sys.argv[2]); model = keras.saving.load_model(sys.argv[1])\n"
        "answers = model.predict(data['x_test'] / np.float32(255), verbose=0).argmax(axis=1)\n"
        "print((answers == data['y_test']).sum())"
    )
    right = int(in_keras(script, str(own / "own.keras"), str(own / "digits.npz")))
    found = [one["accuracy"]["correct"] for one in report_of(run)["variants"] if one["name"] == "fp32"]
    assert found == [right, right]


def test_compressed_models_are_keras_3_files_too(own: Path, run: Path) -> None:
    script = (
        "import sys, keras, numpy as np\n"
        "given, back = (keras.saving.load_model(path) for path in sys.argv[1:3])\n"
        "images = np.load(sys.argv[3])['x_test'][:200] / np.float32(255)\n"
        "print(abs(given.predict(images, verbose=0) - back.predict(images, verbose=0)).max())\n"
        "pruned = keras.saving.load_model(sys.argv[4])\n"
        "print((pruned.get_layer('dense').kernel.numpy() == 0).mean())"
    )
    models = [str(run / "models" / f"{name}.keras") for name in ("baseline", "prune")]
    difference, zeros = in_keras(script, str(own / "own.keras"), models[0], str(own / "digits.npz"), models[1]).split()
    assert float(difference) < 1e-5
    assert float(zeros) == pytest.approx(0.5, abs=0.01)


def test_the_manifest_says_how_images_are_fed(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["preprocessing"]["scale"] == 1 / 255
    assert manifest["task"]["kind"] == "multiclass"


def test_images_of_0_to_255_for_a_model_of_0_to_1_are_refused(own: Path, tmp_path: Path) -> None:
    arguments = ("own.keras", "--data", "digits.npz", "--out", str(tmp_path / "run"), *SHORT)
    result = optkit("compress", *arguments, cwd=own)
    assert result.returncode == 2, result.stdout + result.stderr
    assert "--scale 1/255" in result.stderr
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_rebuilt_runs_what_needs_no_training(own: Path, tmp_path: Path) -> None:
    arguments = ("own_saved", "--data", "digits.npz", "--scale", "1/255", "--out", str(tmp_path / "run"))
    result = optkit("compress", *arguments, *SHORT, cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(tmp_path / "run")
    assert {variant["name"] for variant in report["variants"]} == {"fp32", "int8"}
    skipped = {one["name"]: one["reason"] for one in report["skipped"]}
    assert {"finetune+fp32", "prune+int8"} == set(skipped)
    assert "training" in skipped["prune+int8"]


def test_a_binary_model_with_logits_that_rescales_itself(own: Path, tmp_path: Path) -> None:
    arguments = ("odd.keras", "--data", "odd.npz", "--metric", "AUC", "--out", str(tmp_path / "run"))
    result = optkit("compress", *arguments, *SHORT, cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(tmp_path / "run")
    assert {variant["status"] for variant in report["variants"]} == {"ok"}
    assert report["task"] == {"kind": "binary", "outputs": "logits", "size": 1, "metrics": ["AUC"]}
    for variant in report["variants"]:
        assert np.shape(variant["accuracy"]["confusion"]) == (2, 2)
        assert variant["accuracy"]["top1"] > 0.8
        assert 0.8 < variant["metrics"]["keras"]["test"]["values"]["AUC"] <= 1


def test_regression_from_a_table(own: Path, tmp_path: Path) -> None:
    arguments = ("ink.keras", "--data", "ink.csv", "--scale", "1/255", "--out", str(tmp_path / "run"))
    result = optkit("compress", *arguments, *SHORT, cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(tmp_path / "run")
    assert {variant["status"] for variant in report["variants"]} == {"ok"}
    for variant in report["variants"]:
        assert variant["accuracy"] is None
        assert variant["errors"]["mae"] < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.keras", "--data", "digits.npz"], "nowhere.keras"),
        (["own.keras", "--data", "nowhere.npz"], "nowhere.npz"),
        (["own.keras"], "20"),
        (["digits.npz", "--data", "digits.npz"], "digits.npz"),
        (["own.keras", "--data", "odd.npz", "--scale", "1/0"], "--scale"),
        (["ink.keras", "--data", "whole.csv", "--scale", "1/255"], "write values to predict with a decimal point"),
    ],
)
def test_what_does_not_fit_is_refused(own: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = optkit("compress", *arguments, "--out", str(tmp_path / "run"), cwd=own)
    assert result.returncode == 2, result.stdout + result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_large_pictures_go_through_a_wide_network(own: Path) -> None:
    arguments = ("photograph.keras", "--data", "photographs.npz", "--recipe", "fp32", "--formats", "tflite")
    result = optkit("compress", *arguments, "--out", "large", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    (file,) = report_of(own / "large")["variants"]
    assert (file["status"], file["accuracy"]["total"]) == ("ok", 40)


def test_of_several_outputs_the_one_that_fits_the_labels_is_compressed(own: Path) -> None:
    arguments = ("both.keras", "--data", "digits.npz", "--scale", "1/255", "--recipe", "int8", "--formats", "tflite")
    result = optkit("compress", *arguments, "--out", "both", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(own / "both")
    assert min(file["accuracy"]["top1"] for file in report["variants"]) > 0.6
    assert any("digit is compressed and judged, odd left out" in words for words in report["warnings"])
    result = optkit("compress", *arguments[:2], "odd.npz", *arguments[3:], "--output", "odd", "--out", "odd", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    assert min(file["accuracy"]["top1"] for file in report_of(own / "odd")["variants"]) > 0.7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("alike.keras",), "digit and other have the form that the labels of digits.npz need"),
        (("both.keras", "--output", "even"), "is none of the outputs of both.keras"),
        (
            ("both.keras", "--output", "odd"),
            "labels of digits.npz are whole numbers, which are 10 classes, and the output odd",
        ),
    ],
)
def test_an_output_that_is_not_clear_is_refused(own: Path, arguments: tuple[str, ...], words: str) -> None:
    result = optkit("compress", *arguments, "--data", "digits.npz", "--scale", "1/255", "--out", "unclear", cwd=own)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (own / "unclear").exists()


def test_whole_numbers_that_are_looked_up_go_in(own: Path) -> None:
    result = optkit("compress", "words.keras", "--data", "words.npz", "--recipe", "int8", "--out", "words", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(own / "words")
    assert {(file["name"], file["format"]) for file in report["variants"]} >= {("fp32", "tflite"), ("int8", "onnx")}
    assert min(file["accuracy"]["top1"] for file in report["variants"]) > 0.75
    assert any("takes whole numbers" in words for words in report["warnings"])


def test_numbers_that_are_in_no_table_are_refused(own: Path) -> None:
    result = optkit("compress", "words.keras", "--data", "beyond.npz", "--recipe", "int8", "--out", "beyond", cwd=own)
    assert result.returncode == 2
    assert "layer 'table' looks up numbers from 0 to 999, beyond.npz has 1 to 1000" in result.stderr
    assert not (own / "beyond").exists()


def test_a_model_with_several_inputs_comes_out_in_every_format(own: Path) -> None:
    train = ("cluster:epochs=1,learning_rate=0.0003+fp16", "qat:epochs=1+int8", "int16x8", "dynamic", "int8")
    recipes = (word for recipe in train for word in ("--recipe", recipe))
    arguments = ("several.keras", "--data", "several.npz", "--calibration-method", "percentile", *recipes)
    result = optkit("compress", *arguments, "--out", "several", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(own / "several")
    assert {f"{file['name']}.{file['format']}" for file in report["variants"]} == {
        *(f"{name}.tflite" for name in ("fp32", "finetune+fp32", "cluster+fp16", "qat+int8", "dynamic", "int8")),
        *(f"{name}.onnx" for name in ("fp32", "finetune+fp32", "cluster+fp16", "qat+int8", "dynamic", "int8")),
        "int16x8.tflite",
    }
    assert min(file["accuracy"]["top1"] for file in report["variants"]) > 0.75
    assert all(file["status"] == "ok" and file["latency"]["p50_us"] > 0 for file in report["variants"])
    answered = in_keras(
        "import sys, numpy as np, keras\n"
        "given = np.load('several.npz')\n"
        "model = keras.saving.load_model('several.keras')\n"
        "inputs = {name: given[f'x_test.{name}'] for name in ('upper', 'lower', 'ink')}\n"
        "print(int((model.predict(inputs, verbose=0).argmax(-1) == given['y_test']).sum()))\n",
        cwd=own,
    )
    fp32 = [file["accuracy"]["correct"] for file in report["variants"] if file["name"] == "fp32"]
    assert fp32 == [int(answered.split()[-1])] * 2


def test_files_with_several_inputs_are_judged_on_data_by_name(own: Path) -> None:
    files = ("several/artifacts/int8.tflite", "several/artifacts/int8.onnx", "several/models/baseline.keras")
    result = optkit("benchmark", *files, "--data", "several.npz", "--max-time", "10", "--out", "judged", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    correct = {
        file["path"].rpartition("/")[2]: file["accuracy"]["correct"] for file in report_of(own / "judged")["variants"]
    }
    ran = {
        f"{file['name']}.{file['format']}": file["accuracy"]["correct"]
        for file in report_of(own / "several")["variants"]
    }
    assert correct["int8.tflite"] == ran["int8.tflite"]
    assert correct["int8.onnx"] == ran["int8.onnx"]
    result = optkit("diff", "several/artifacts/fp32.tflite", files[0], "--data", "several.npz", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "of 1,000 answers changed" in result.stdout
    assert "layers are compared where there is one input" in " ".join(result.stdout.split())
    result = optkit("benchmark", *files[:2], "--max-time", "10", "--out", "generated", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_saved_model_with_several_inputs_goes_in(own: Path) -> None:
    result = optkit("compress", "halves", "--data", "halves.npz", "--recipe", "int8", "--out", "halved", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(own / "halved")
    assert {(file["name"], file["format"]) for file in report["variants"]} == {
        (name, kind) for name in ("fp32", "int8") for kind in ("tflite", "onnx")
    }
    assert min(file["accuracy"]["top1"] for file in report["variants"]) > 0.8


def test_one_input_that_is_looked_up_beside_one_that_is_not(own: Path) -> None:
    result = optkit("compress", "kinds.keras", "--data", "kinds.npz", "--recipe", "dynamic", "--out", "kinds", cwd=own)
    assert result.returncode == 0, result.stdout + result.stderr
    report = report_of(own / "kinds")
    assert len(report["variants"]) == 4
    assert min(file["accuracy"]["top1"] for file in report["variants"]) > 0.75
    assert any("takes whole numbers at 'kind'" in words for words in report["warnings"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("compress", "several.keras", "--data", "kinds.npz"),
            "takes the inputs upper [10, 20, 3], ink [20], lower [10, 20, 3], the data kinds.npz have the inputs kind",
        ),
        (("compress", "several.keras", "--data", "digits.npz"), "give arrays for each, x_train.upper and x_train.ink"),
        (("compress", "own.keras", "--data", "several.npz"), "takes one input, the data several.npz have the inputs"),
        (("compress", "several.keras", "--data", "several.npz", "--scale", "1/255"), "are for models with one input"),
        (("train", "--data", "several.npz"), "optkit's own networks take one input"),
        (("predict", "several/artifacts/int8.tflite", "digits.npz"), "expected a model with one input, a picture"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(own: Path, command: tuple[str, ...], words: str) -> None:
    out = () if command[0] == "predict" else ("--out", "unfit")
    result = optkit(*command, *out, cwd=own)
    assert result.returncode == 2, result.stdout + result.stderr
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (own / "unfit").exists()
