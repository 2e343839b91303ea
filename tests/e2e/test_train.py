"""``optkit train`` as a user has it: real images, runs of seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import OPTKIT, Result, artifact_hashes, optkit, report_of

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ("--baseline", "mlp-128", "--train-samples", "6000", "--epochs", "1")


def train(folder: Path, *arguments: str) -> Result:
    return optkit("train", *arguments, "--out", str(folder))


def read(folder: Path, name: str = "train.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished run of the small settings."""
    folder = tmp_path_factory.mktemp("train") / "run"
    return folder, train(folder, *SMALL, "--metric", "auc")


def test_it_writes_all_that_it_says(trained: tuple[Path, Result]) -> None:
    folder, result = trained
    assert result.returncode == 0, result.stderr
    report = read(folder)
    accuracy = report["accuracy"]
    assert accuracy["total"] == 10_000
    assert accuracy["correct"] == sum(accuracy["confusion"][label][label] for label in range(10)) > 8_500
    assert accuracy["ci95"][0] < accuracy["top1"] < accuracy["ci95"][1]
    assert report["accuracy_validation"]["total"] == 5_000
    assert 0.9 < report["metrics"]["keras"]["test"]["values"]["auc"] <= 1
    assert report["data"]["train"] == 6_000
    assert report["summary"]["parameters"] == 101_770
    assert report["summary"]["macs"] == 784 * 128 + 128 * 10
    wrong = {(pair["label"], pair["answer"]): pair["images"] for pair in report["confused"]}
    assert all(accuracy["confusion"][label][answer] == images for (label, answer), images in wrong.items())
    assert all(example["picture"] for pair in report["confused"] for example in pair["examples"])
    history = read(folder, "history.json")
    assert [point["epoch"] for point in history["epochs"]] == [1]
    assert history["epochs"] == report["curve"]
    assert history["epochs"][0]["learning_rate"] == pytest.approx(0.001)
    manifest = read(folder, "manifest.json")
    assert manifest["files"].keys() == {
        "history.json",
        "models/mlp-128.h5",
        "models/mlp-128.keras",
        "recipe.toml",
        "train.html",
        "train.json",
        "train.md",
    }
    assert f"next: optkit compress {folder}/models/mlp-128.keras" in result.stdout
    assert (folder / "train.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_same_again_redoes_nothing_and_a_damaged_file_is_made_again(trained: tuple[Path, Result]) -> None:
    folder, first = trained
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in {".json", ".h5", ".html"}}
    hashes = artifact_hashes(folder)
    again = train(folder, *SMALL, "--metric", "auc")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    model = folder / "models" / "mlp-128.h5"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    assert train(folder, *SMALL, "--metric", "auc").returncode == 0
    assert artifact_hashes(folder) == hashes
    # By the recipe too.
    other = folder.with_name("other")
    assert train(other, "--recipe", str(folder / "recipe.toml")).returncode == 0
    assert artifact_hashes(other) == hashes


@pytest.mark.slow
def test_train_then_compress_is_the_single_command(trained: tuple[Path, Result], tmp_path: Path) -> None:
    """The equality promise: weights exactly, every answer, every file's size, with the same seed and threads."""
    folder, _ = trained
    train(folder, *SMALL, "--metric", "auc")
    one, two = tmp_path / "one", tmp_path / "two"
    single = optkit(
        "compress", "--quick", "--baseline", "mlp-128", "--epochs", "1", "--recipe", "int8", "--out", str(one)
    )
    model = str(folder / "models" / "mlp-128.keras")
    after = optkit("compress", model, "--quick", "--recipe", "int8", "--out", str(two))
    assert (single.returncode, after.returncode) == (0, 0), single.stderr + after.stderr
    kinds = [f"{precision}.{file_format}" for precision in ("fp32", "int8") for file_format in ("onnx", "tflite")]
    sizes = [{name: (run / "artifacts" / name).stat().st_size for name in kinds} for run in (one, two)]
    assert sizes[0] == sizes[1]
    answers = [_answers(run) for run in (one, two)]
    assert answers[0].keys() == answers[1].keys() == {"fp32.onnx", "fp32.tflite", "int8.onnx", "int8.tflite"}
    for name, found in answers[0].items():
        assert found.shape == (10_000,)
        assert (found == answers[1][name]).all(), name
    # What was trained answers as what was exported.
    accuracy = {name: (found == _labels()).sum() for name, found in answers[0].items()}
    assert accuracy["fp32.tflite"] == read(folder)["accuracy"]["correct"]
    files = [folder / "models" / "mlp-128.h5", one / "models" / "baseline.h5", two / "models" / "baseline.h5"]
    weights = [_weights(path) for path in files]
    assert len(weights[0]) == 4
    for other in weights[1:]:
        assert all((mine == theirs).all() for mine, theirs in zip(weights[0], other, strict=True))


def _answers(folder: Path) -> dict[str, np.ndarray]:
    """Class of every test image, as each file answered it in its runtime."""
    found = {}
    for path in (folder / "cache").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))["record"]
        if record["stage"].startswith("check "):
            with np.load(folder / "cache" / f"{record['key']}.answers.npz") as archive:
                found[record["stage"].removeprefix("check ")] = archive["test"]
    return found


def _labels() -> np.ndarray:
    from optkit import data

    return data.load("mnist").test.labels


def _weights(path: Path) -> list[np.ndarray]:
    import h5py

    found: list[np.ndarray] = []
    with h5py.File(path) as tree:
        tree["model_weights"].visititems(
            lambda _, node: found.append(node[()]) if isinstance(node, h5py.Dataset) else None
        )
    return found


FAULTS = {
    "overfitting": ("--train-samples", "300", "--epochs", "40", "--dropout", "0"),
    "diverging": ("--train-samples", "6000", "--epochs", "4", "--learning-rate", "1.0"),
    "too slow": ("--train-samples", "6000", "--epochs", "5", "--learning-rate", "0.00001"),
    "underfitting": ("--train-samples", "6000", "--epochs", "15", "--layers", "flatten,dense:2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_runs_made_to_have_a_fault_are_told_it(kind: str, tmp_path: Path) -> None:
    result = train(tmp_path / "run", "--baseline", "mlp-128", *FAULTS[kind])
    assert result.returncode == 0, result.stderr
    findings = read(tmp_path / "run")["diagnosis"]["findings"]
    assert [finding["kind"] for finding in findings if finding["is_fault"]] == [kind]
    assert findings[0]["cures"][0]["option"] in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("diverging", ("--optimizer", "sgd", "--learning-rate", "100", "--epochs", "3")),
        ("underfitting", ("--l2", "0.1", "--epochs", "8")),
    ],
)
def test_so_are_those_by_another_cause(kind: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--baseline", "mlp-128", "--train-samples", "6000", *arguments).returncode == 0
    findings = read(tmp_path / "run")["diagnosis"]["findings"]
    assert [finding["kind"] for finding in findings if finding["is_fault"]] == [kind]


@pytest.mark.slow
def test_a_healthy_run_has_no_fault(tmp_path: Path) -> None:
    result = train(tmp_path / "run", "--baseline", "mlp-128", "--train-samples", "10000", "--epochs", "5")
    assert result.returncode == 0, result.stderr
    assert [one for one in read(tmp_path / "run")["diagnosis"]["findings"] if one["is_fault"]] == []
    assert "Diagnosis: Nothing is wrong" in result.stdout


@pytest.mark.slow
def test_a_network_of_no_numbers_is_partial_and_leaves_no_model(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # Each step multiplies all weights by 1 − 2 · 100 · 10.
    lost = ("--optimizer", "sgd", "--learning-rate", "100", "--l2", "10")
    result = train(folder, "--baseline", "mlp-128", "--train-samples", "500", *lost)
    assert result.returncode == 4, result.stdout + result.stderr
    assert "the trained network gives no numbers" in result.stderr
    assert read(folder)["diagnosis"]["findings"][0]["kind"] == "diverging"
    assert read(folder)["accuracy"] is None
    assert list((folder / "models").iterdir()) == []
    assert "Training diverged" in (folder / "train.html").read_text(encoding="utf-8")


def test_values_far_from_zero_are_learned_in_their_own_unit(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(0, 1, (600, 3))
    price = 50_000 + 1_500 * (features @ [1.0, -0.5, 0.2])
    rows = "\n".join(",".join(map(str, (*row, one))) for row, one in zip(features, price, strict=True))
    (tmp_path / "prices.csv").write_text(f"a,b,c,price\n{rows}\n", encoding="utf-8")
    knobs = ("--baseline", "mlp-128", "--layers", "flatten,dense:32", "--epochs", "30", "--learning-rate", "0.01")
    result = optkit("train", "--data", "prices.csv", *knobs, "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = read(tmp_path / "run")
    assert report["errors"]["mae"] < 0.1 * np.std(price)
    # The judged model is the saved one: its error is what training saw, in the same unit.
    assert report["curve"][-1]["validation_loss"] == pytest.approx(report["errors_validation"]["rmse"] ** 2, rel=1e-3)
    assert report["start"]["loss"] == pytest.approx(np.var(price), rel=1.0)
    assert report["summary"]["layers"][-1]["kind"] == "Dense"


@pytest.mark.slow
def test_a_table_of_values_is_trained_logged_and_compressed(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(50, 20, (600, 3))
    price = features @ [3.0, -2.0, 0.5] + generator.normal(0, 5, 600)
    rows = "\n".join(
        ",".join(f"{value:.4f}" for value in (*row, one)) for row, one in zip(features, price, strict=True)
    )
    (tmp_path / "prices.csv").write_text(f"a,b,c,price\n{rows}\n", encoding="utf-8")
    arguments = (
        "train",
        "--data",
        "prices.csv",
        "--target",
        "price",
        "--normalize",
        "standard",
        "--baseline",
        "mlp-128",
        "--layers",
        "flatten,dense:32",
        "--epochs",
        "30",
        "--learning-rate",
        "0.01",
        "--metric",
        "r2_score",
        "--out",
        "run",
    )
    result = optkit(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    report = read(tmp_path / "run")
    assert report["errors"]["mae"] < 20
    assert report["metrics"]["keras"]["test"]["values"]["r2_score"] > 0.8
    assert report["accuracy"] is None
    logs = optkit(*arguments, "--tensorboard", cwd=tmp_path)
    assert logs.returncode == 0, logs.stderr
    assert _logged(tmp_path / "run" / "logs" / "train") == [point["loss"] for point in report["curve"]]
    told = result.stdout.rpartition("next: optkit ")[2].split()
    assert told[0] == "compress"
    compressed = optkit(*told, "--recipe", "int8", "--formats", "tflite", "--out", "small", cwd=tmp_path)
    assert compressed.returncode == 0, compressed.stderr
    fp32 = next(one for one in report_of(tmp_path / "small")["variants"] if one["name"] == "fp32")
    assert fp32["errors"]["mae"] == pytest.approx(report["errors"]["mae"], rel=1e-4)


def _logged(folder: Path) -> list[Any]:
    """Losses in TensorBoard's event files, in order."""
    code = (
        "import sys, json, tensorflow as tf\n"
        "found = [(event.step, value.simple_value) for file in tf.io.gfile.glob(sys.argv[1])\n"
        "         for event in tf.compat.v1.train.summary_iterator(file) for value in event.summary.value\n"
        "         if value.tag == 'loss']\n"
        "print(json.dumps([one for _, one in sorted(found)]))"
    )
    done = subprocess.run(
        [OPTKIT[0], "-c", code, str(folder / "*")], capture_output=True, text=True, check=True, timeout=300
    )
    return [pytest.approx(value, rel=1e-6) for value in json.loads(done.stdout.splitlines()[-1])]


BAD = [
    (("--epochs", "0"), "epochs expects int >= 1, found 0"),
    (("--learning-rate", "-1"), "learning-rate expects"),
    (("--optimizer", "sdg"), "optimizer expects one of adagrad, adam, adamw"),
    (("--baseline", "lenet"), "lenet5"),
    (("--layers", "conv:32x3,pol:2"), "unknown layer 'pol:2': did you mean pool?"),
    (("--layers", "conv:32x31,flatten"), "conv:32x31"),
    (("--train-samples", "55001"), "--train-samples expects at most the 55,000 training examples of mnist"),
    (("--data", "nothing.npz"), "cannot read the data file nothing.npz"),
    (("--normalize", "half"), "normalize expects one of none, standard, unit"),
    (("--normalize", "unit", "--scale", "1/255"), "--normalize and --scale"),
    (("--nesterov",), "--nesterov is a form of momentum"),
    (("--warmup-epochs", "6"), "--warmup-epochs must be less than --epochs"),
    (("--metric", "acuracy"), "accuracy"),
    (("--recipe", "prune+int8"), "--recipe expects a file whose name ends in .toml"),
    (("--recipe", "not-there.toml"), "cannot read the recipe file not-there.toml"),
    (("--mean", "a"), "--mean expects numbers"),
    (("--mean", "1,2,3"), "--mean expects one number, or one for each of the 28 values of the last axis"),
    (("--layers", " , "), "--layers expects layers such as flatten,dense:128, found none"),
    (("--target", "price"), "--target names a column of a table, and --data mnist is none"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_bad_input_is_one_line_and_leaves_nothing(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = optkit("train", *arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stderr.startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_with_unknown_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[settings]\nepoch = 3\n", encoding="utf-8")
    result = optkit("train", "--recipe", "mine.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert "unknown setting 'epoch': did you mean epochs" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_comes_out_the_same(trained: tuple[Path, Result], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [*OPTKIT, "train", *SMALL, "--metric", "auc", "--out", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    # Trained, not yet judged.
    while time.monotonic() < until and not (folder / "models" / "mlp-128.keras").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "train.json").exists()
    result = train(folder, *SMALL, "--metric", "auc")
    assert result.returncode == 0, result.stderr
    assert artifact_hashes(folder) == artifact_hashes(trained[0])
    assert read(folder)["accuracy"] == read(trained[0])["accuracy"]
