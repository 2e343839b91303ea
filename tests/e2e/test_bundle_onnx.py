"""Bundles for ONNX Runtime's own format, for TensorRT and for browsers, and for Android: made of a real run."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from conftest import Result, optkit

from optkit.bundle import _half, _symmetric, android
from optkit.data import DataSpec
from optkit.data._evaluation import load_evaluation
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

INT8 = "prune+cluster+qat+int8"


@pytest.fixture(scope="module")
def artifacts(small_run: tuple[Path, Result]) -> Path:
    run, result = small_run
    assert result.returncode == 0, result.stderr
    return run / "artifacts"


def bundle(source: Path, target: str, out: Path) -> Result:
    return optkit("bundle", str(source), "--target", target, "--out", str(out))


def test_ort_format_runs_and_names_what_it_needs(artifacts: Path, tmp_path: Path) -> None:
    out = tmp_path / "ort"
    done = bundle(artifacts / "fp32.onnx", "ort", out)
    assert done.returncode == 0, done.stderr
    # A flatbuffer with its own identifier, and no ONNX file beside it.
    assert (out / "model.ort").read_bytes()[4:8] == b"ORTM"
    assert not list(out.glob("*.onnx"))
    configuration = (out / "required_operators_and_types.config").read_text(encoding="utf-8")
    assert "Gemm" in configuration
    assert str(tmp_path) not in configuration
    tested = subprocess.run(
        [sys.executable, str(out / "selftest.py"), "--no-timing", "--out", str(tmp_path / "report.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stderr


def test_tensorrt_gets_zero_points_of_0(artifacts: Path, tmp_path: Path) -> None:
    out = tmp_path / "nvidia"
    source = artifacts / f"{INT8}.onnx"
    done = bundle(source, "nvidia", out)
    assert done.returncode == 0, done.stderr
    assert "on an NVIDIA GPU: not measured" in done.stdout
    assert not _symmetric.faults((out / "int8.onnx").read_bytes())
    # The checker does find what TensorRT would refuse: in the file before, and in one without any QDQ.
    assert any("zero point" in one for one in _symmetric.faults(source.read_bytes()))
    assert _symmetric.faults((artifacts / "fp32.onnx").read_bytes()) == ["there is no QuantizeLinear"]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["changed_answers"] <= 300
    assert manifest["measured_on_gpu"] is None
    # The run has no float16 file of its own: it is made from the float32 one, and answers alike.
    assert not _half.faults((out / "fp16.onnx").read_bytes())
    assert manifest["fp16_changed_answers"] <= 20
    assert "trtexec --onnx=int8.onnx --int8" in (out / "README.md").read_text(encoding="utf-8")
    refused = bundle(artifacts / "fp32.onnx", "nvidia", tmp_path / "no")
    assert refused.returncode == 2
    assert "found none of them" in refused.stderr
    assert not (tmp_path / "no").exists()


def test_android_assets_answer_as_before(artifacts: Path, tmp_path: Path) -> None:
    out = tmp_path / "android"
    done = bundle(artifacts / f"{INT8}.tflite", "android", out)
    assert done.returncode == 0, done.stderr
    assert b"TFLITE_METADATA" in (out / "assets" / "model.tflite").read_bytes()
    sample = (out / "kotlin" / "Classifier.kt").read_text(encoding="utf-8")
    assert "INPUT_VALUES = 784" in sample
    # Integers as well: kernels of another processor round otherwise.
    assert "LIMIT = 2f" in sample
    script = subprocess.run(["sh", "-n", str(out / "benchmark.sh")], capture_output=True, text=True, check=False)
    assert script.returncode == 0, script.stderr
    outputs = out / "assets" / "test_outputs.bin"
    content = np.fromfile(outputs, np.int8)
    content[3] += 1
    content.tofile(outputs)
    with pytest.raises(InputError, match="answers otherwise"):
        android.prove(out)


@pytest.mark.skipif(None in {shutil.which("kotlinc"), shutil.which("javac")}, reason="Kotlin is not installed")
@pytest.mark.parametrize("name", [INT8, "fp32"])
def test_the_sample_for_android_compiles_and_feeds_the_same_bytes(artifacts: Path, tmp_path: Path, name: str) -> None:
    out, classes, stand_ins = tmp_path / "android", tmp_path / "classes", Path(__file__).with_name("android_stand_ins")
    assert bundle(artifacts / f"{name}.tflite", "android", out).returncode == 0
    sources = [str(path) for path in stand_ins.rglob("*.java")]
    subprocess.run(["javac", "-d", str(classes), *sources], check=True)
    kotlin = [str(out / "kotlin" / "Classifier.kt"), str(stand_ins / "Main.kt")]
    jar = tmp_path / "sample.jar"
    options = ["-Werror", "-include-runtime", "-cp", str(classes), "-d", str(jar)]
    subprocess.run(["kotlinc", *options, *kotlin], check=True)
    images = load_evaluation(DataSpec("mnist")).test.images
    images[np.linspace(0, len(images) - 1, 100).astype(int)].tofile(tmp_path / "raw.bin")
    command = ["java", "-cp", f"{jar}:{classes}", "MainKt", str(out / "assets"), str(tmp_path / "raw.bin")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    fed, right, wrong = done.stdout.splitlines()
    assert fed.startswith("0 of ")
    assert (right, wrong) == ("100 alike", "99 alike")


@pytest.fixture(scope="module")
def page(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None or CHROMIUM is None:
        pytest.skip("npm or Chromium is not installed")
    out = tmp_path_factory.mktemp("web") / "bundle"
    done = bundle(artifacts / f"{INT8}.onnx", "web", out)
    if "npm cannot fetch" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return out


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(page: Path, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A copy of the bundle on a server of localhost."""
    there = shutil.copytree(page, tmp_path / "served")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(there)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield there, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


def outcome(browser: Browser) -> str:
    end = time.monotonic() + 60
    while (text := browser.run("document.getElementById('outcome').textContent")) == "running…":
        assert time.monotonic() < end
        time.sleep(0.1)
    return str(text)


def test_the_page_tests_itself_and_classifies_a_drawing(served: tuple[Path, str], tmp_path: Path) -> None:
    _, address = served
    with Browser(tmp_path, 800) as browser:
        browser.visit(address)
        said = outcome(browser)
        assert said.startswith("PASSED: 100 examples, 0 answered otherwise"), said
        assert browser.console == []
        # Everything that it asked for is in the bundle.
        assert browser.requests
        assert all(one.startswith((address, "blob:" + address)) for one in browser.requests)
        box = "document.getElementById('sheet').getBoundingClientRect()"
        left, top = browser.run(f"(({{left, top}}) => [left, top])({box})")
        browser.drag([(left + 140, top + y) for y in range(40, 250, 10)])
        end = time.monotonic() + 20
        while (answer := browser.run("document.getElementById('answer').textContent")) == "–":
            assert time.monotonic() < end
            time.sleep(0.1)
        assert answer == "1"
        first, lines = (
            "document.querySelector('#bars .first').textContent",
            "document.querySelectorAll('#bars li').length",
        )
        assert (browser.run(first)[0], browser.run(lines)) == ("1", 10)


def test_the_page_sees_other_answers(served: tuple[Path, str], tmp_path: Path) -> None:
    there, address = served
    outputs = np.fromfile(there / "test" / "outputs.bin", "<f4").reshape(100, 10)
    outputs[5] = outputs[5, ::-1]
    outputs.tofile(there / "test" / "outputs.bin")
    with Browser(tmp_path, 800) as browser:
        browser.visit(address)
        assert outcome(browser).startswith("FAILED: 100 examples, 1 answered otherwise")
