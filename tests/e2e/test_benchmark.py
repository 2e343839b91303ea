"""``optkit benchmark`` on files that no optkit run made, as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import model_files
import numpy as np
import pytest
from conftest import OPTKIT, optkit

SHORT = ("--min-time", "0.3", "--max-time", "3")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    made = {}
    for name in ("fp32", "int8"):
        made[f"{name}.tflite"] = model_files.write_tflite(folder, model_files.network(), name)
        made[f"{name}.onnx"] = model_files.write_onnx(folder, model_files.network(), name)
    made["integer.onnx"] = folder / "integer.onnx"
    made["integer.onnx"].write_bytes(model_files.onnx_integer(model_files.network()).SerializeToString())
    return made


def report_at(path: Path) -> dict[str, object]:
    report = json.loads(path.read_text())
    schema = Path(__file__).parents[2] / "optkit" / "report" / "report.schema.json"
    jsonschema.validate(report, json.loads(schema.read_text()))
    return report


def test_any_mix_of_files_with_data(files: dict[str, Path], tmp_path: Path) -> None:
    paths = [str(files[name]) for name in ("fp32.tflite", "int8.tflite", "fp32.onnx", "int8.onnx", "integer.onnx")]
    result = optkit("benchmark", *paths, "--data", "mnist", *SHORT, "--batch", "1,8", "--out", str(tmp_path / "b"))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    report = report_at(tmp_path / "b" / "report.json")
    variants = report["variants"]
    assert [f"{v['name']}.{v['format']}" for v in variants] == [Path(path).name for path in paths]
    for variant in variants:
        assert variant["status"] == "ok"
        assert variant["recipe"] is None
        assert 0.8 < variant["accuracy"]["top1"] < 1
        assert variant["accuracy"]["total"] == 10_000
        assert variant["accuracy_validation"]["total"] == 5_000
        assert variant["memory"]["peak_rss_bytes"] > 0
        assert variant["runtime_facts"]["nodes"] > 0
        assert [(point["batch"], point["threads"]) for point in variant["scaling"]] == [(1, 1), (8, 1)]
        assert variant["scaling"][1]["images_per_second"] > variant["scaling"][0]["images_per_second"] / 4
        assert (variant["latency"]["speedup"] is None) == variant["is_baseline"] == ("fp32" in variant["path"])
        assert (variant["accuracy"]["versus_baseline"] is None) == variant["is_baseline"]
    assert {stop["reason"] for stop in report["stopping"]} <= {"narrow enough", "time is up"}
    assert report["data"] == {
        "name": "mnist",
        "sha256": report["data"]["sha256"],
        "train": None,
        "validation": 5000,
        "test": 10_000,
        "calibration": None,
        "preprocessing": {"scale": 1 / 255, "mean": [], "std": [], "resize": None, "channels": "as they are"},
        "class_names": [str(digit) for digit in range(10)],
    }
    assert "the most accurate file" in report["recommendation"]["rule"]
    assert (tmp_path / "b" / "report.html").stat().st_size < 2e6


def test_without_data_accuracy_is_null_and_the_screen_says_why(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    result = optkit("benchmark", str(files["int8.tflite"]), *SHORT, "--json", str(out))
    assert result.returncode == 0, result.stderr
    assert "inputs were generated" in result.stdout
    report = report_at(out)
    (variant,) = report["variants"]
    assert (variant["accuracy"], variant["accuracy_validation"], report["data"]) == (None, None, None)
    assert variant["latency"]["p50_us"] > 0
    assert report["recommendation"] is None
    assert report["seed"] == 0
    assert not list(tmp_path.glob(".optkit-tmp-*"))


def test_endings_in_capitals(files: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(files["fp32.tflite"], tmp_path / "A.TFLITE")
    shutil.copy(files["fp32.onnx"], tmp_path / "A.ONNX")
    out = tmp_path / "report.json"
    result = optkit("benchmark", str(tmp_path / "A.TFLITE"), str(tmp_path / "A.ONNX"), *SHORT, "--json", str(out))
    assert result.returncode == 0, result.stderr
    assert [(v["name"], v["format"]) for v in report_at(out)["variants"]] == [("a", "tflite"), ("a", "onnx")]


def test_json_to_the_screen_is_nothing_but_json(files: dict[str, Path]) -> None:
    result = optkit("benchmark", str(files["fp32.onnx"]), *SHORT, "--json", "-")
    assert json.loads(result.stdout)["variants"][0]["format"] == "onnx"


def test_a_users_own_data_with_channels_first(files: dict[str, Path], tmp_path: Path) -> None:
    images = (model_files.images()[:64] * 255).astype(np.uint8).transpose(0, 3, 1, 2)
    answers = model_files.network().predict(model_files.images()[:64]).argmax(axis=1)
    np.savez(tmp_path / "mine.npz", x_test=images, y_test=answers)
    out = tmp_path / "r.json"
    command = ("benchmark", str(files["fp32.tflite"]), "--data", str(tmp_path / "mine.npz"), *SHORT, "--json", str(out))
    assert optkit(*command, "--scale", str(1 / 255)).returncode == 0
    assert report_at(out)["variants"][0]["accuracy"]["correct"] == 64
    # No validation part: nothing may be chosen.
    assert report_at(out)["recommendation"] is None


def test_data_in_the_wrong_range_are_told(files: dict[str, Path], tmp_path: Path) -> None:
    images = (model_files.images()[:64] * 255).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", x_test=images, y_test=np.zeros(64, int))
    result = optkit("benchmark", str(files["int8.tflite"]), "--data", str(tmp_path / "mine.npz"), *SHORT)
    assert "input range covers the data fails" in " ".join(result.stdout.split())


def test_what_fails_is_listed_and_the_others_are_measured(files: dict[str, Path], tmp_path: Path) -> None:
    whole = files["fp32.tflite"].read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "other.onnx").write_bytes(whole)
    shutil.copy(files["fp32.tflite"], tmp_path / "good.tflite")
    names = ["cut.tflite", "empty.onnx", "other.onnx", "good.tflite"]
    out = tmp_path / "report.json"
    result = optkit("benchmark", *[str(tmp_path / name) for name in names], *SHORT, "--json", str(out))
    assert result.returncode == 4, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "3 of 4 files failed" in result.stderr
    by_name = {Path(v["path"]).name: v for v in report_at(out)["variants"]}
    assert {name for name, v in by_name.items() if v["status"] == "failed" and v["failures"]} == set(names[:3])
    # The first file failed, so the next is the reference.
    assert by_name["good.tflite"]["is_baseline"]
    # Our own words, without the name of a Python class before them.
    assert by_name["cut.tflite"]["failures"][0].startswith("LiteRT cannot open")


def test_a_poor_model_is_not_recommended_for_being_as_good_as_its_poor_reference(
    files: dict[str, Path], tmp_path: Path
) -> None:
    good = model_files.network()
    poor = replace(good, dense=-good.dense)
    (tmp_path / "poor").mkdir()
    small = model_files.write_onnx(tmp_path / "poor", poor, "int8")
    out = tmp_path / "report.json"
    command = ("benchmark", str(files["fp32.tflite"]), str(small), "--data", "mnist", *SHORT, "--json", str(out))
    assert optkit(*command).returncode == 0
    chosen = report_at(out)["recommendation"]
    assert (chosen["variant"], chosen["format"]) == (files["fp32.tflite"].stem, "tflite")
    assert f"{chosen['variant']}.tflite" in chosen["rule"]


def test_labels_that_the_model_has_no_output_for(files: dict[str, Path], tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x_test=model_files.images()[:20], y_test=np.full(20, 10))
    out = tmp_path / "report.json"
    command = ("benchmark", str(files["fp32.tflite"]), "--data", str(tmp_path / "mine.npz"), *SHORT, "--json", str(out))
    alone = optkit(*command)
    assert (alone.returncode, out.exists()) == (2, False)
    assert "labels go up to 10" in alone.stderr
    assert len(alone.stderr.strip().splitlines()) == 1
    wide = write_wide(tmp_path)
    beside = optkit(*command, str(wide))
    assert beside.returncode == 4, beside.stderr
    failed, used = report_at(out)["variants"]
    assert "labels go up to 10" in failed["failures"][0]
    assert (used["status"], used["accuracy"]["total"]) == ("ok", 20)


def write_wide(folder: Path) -> Path:
    """A file with an output for each of eleven classes."""
    good = model_files.network()
    wide = replace(good, dense=np.vstack([good.dense, good.dense[:1]]), dense_bias=np.append(good.dense_bias, 9))
    model = model_files.onnx_float(wide)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 11
    path = folder / "wide.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_images_that_do_not_fit(files: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros((8, 27, 28, 1), np.float32))
    result = optkit("benchmark", str(files["fp32.tflite"]), "--data", str(tmp_path / "mine.npy"), *SHORT)
    assert result.returncode == 2
    assert "takes [28, 28, 1] per image, the data have [27, 28, 1]" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tflite"], "No such file"),
        (["/"], "expected files that end in"),
        (["{fp32.tflite}", "--threads", "0"], "--threads expects"),
        (["{fp32.tflite}", "--batch", "two"], "--batch expects"),
        (["{fp32.tflite}", "--threads", "1000"], "--threads expects"),
        (["{fp32.tflite}", "--batch", "1000000000"], "--batch expects"),
        (["{fp32.tflite}", "--seed", "-1"], "--seed expects"),
        (["x" * 300 + ".onnx"], "File name too long"),
        (["{fp32.tflite}", "--width", "2"], "--width expects"),
        (["{fp32.tflite}", "--min-time", "nan"], "--min-time expects"),
        (["{fp32.tflite}", "--data", "mnits"], "did you mean mnist"),
        (["{fp32.tflite}", "--prefer", "sise"], "did you mean size"),
        (["{fp32.tflite}", "--baseline", "{int8.tflite}"], "--baseline expects"),
        (["{fp32.tflite}", "--json", "/nowhere/report.json"], "--json expects"),
        (["{fp32.tflite}", "--out", "{fp32.tflite}"], "--out expects"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    files: dict[str, Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [str(files.get(text.strip("{}"), text)) for text in arguments]
    result = optkit("benchmark", *given, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*OPTKIT, "benchmark", str(files["fp32.tflite"]), "--min-time", "60", "--out", str(out)]
    reset = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=reset) as run:  # noqa: PLW1509
        while not (out / "log.txt").is_file() or not (out / "log.txt").stat().st_size:
            time.sleep(0.05)
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(20) == 130
        assert "no report was written" in run.stderr.read()
    assert [path.name for path in out.iterdir()] == ["log.txt"]


def test_no_tensorflow_and_the_first_block_soon(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    started = time.monotonic()
    command = [*OPTKIT, "benchmark", str(files["fp32.tflite"]), *SHORT, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
        while not (out / "log.txt").is_file() or b"measuring begins" not in (out / "log.txt").read_bytes():
            assert time.monotonic() - started < 60
            time.sleep(0.005)
        first = time.monotonic() - started
        maps = [Path(f"/proc/{run.pid}/maps"), *(child / "maps" for child in _children(run.pid))]
        assert not any("tensorflow/" in path.read_text() for path in maps)
        assert run.wait(60) == 0
    # 1.5 s on an idle machine (benchmarks/results/startup.json); a busy one may take longer.
    assert first < 6


def _children(parent: int) -> list[Path]:
    found = (Path(f"/proc/{parent}/task/{parent}/children").read_text()).split()
    return [Path("/proc") / pid for pid in found]
