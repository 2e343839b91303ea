"""A bundle for microcontrollers: its C files hold the model, compile, and say what the interpreter says."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import Result, optkit

from optkit import readback
from optkit.bundle import mcu
from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="no tflite-micro here")
INT8 = "prune+cluster+qat+int8"
ARM = shutil.which("arm-none-eabi-gcc")


@pytest.fixture(scope="module")
def bundled(small_run: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, result = small_run
    assert result.returncode == 0, result.stderr
    out = tmp_path_factory.mktemp("mcu") / "bundle"
    done = optkit("bundle", str(run / "artifacts" / f"{INT8}.tflite"), "--target", "mcu", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def manifest_of(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return found


def numbers(text: str, name: str) -> list[int]:
    """The values of a C array."""
    body = text.partition(f"{name}[")[2].partition("= {")[2].partition("};")[0]
    return [int(one, 0) for one in re.findall(r"0x[0-9a-f]+|-?\d+", body)]


def test_the_array_is_the_model(bundled: Path) -> None:
    source = (bundled / "src" / "model_data.c").read_text(encoding="utf-8")
    assert bytes(numbers(source, "g_model_data")) == (bundled / "model.tflite").read_bytes()
    assert "aligned(16)" in source


def test_the_resolver_has_the_models_operators_and_no_other(bundled: Path) -> None:
    text = (bundled / "src" / "model_operators.h").read_text(encoding="utf-8")
    added = re.findall(r"resolver\.Add(\w+)\(\)", text)
    kinds = {one.kind for one in readback.read(bundled / "model.tflite").operators}
    assert sorted(name.upper() for name in added) == sorted(kind.replace("_", "") for kind in kinds)
    assert f"MicroMutableOpResolver<{len(kinds)}>" in text


def test_the_arena_is_the_least_that_works(bundled: Path) -> None:
    from tflite_micro.python.tflite_micro import runtime

    memory = manifest_of(bundled)["memory"]
    content = (bundled / "model.tflite").read_bytes()
    runtime.Interpreter.from_bytes(content, arena_size=memory["arena_bytes"])
    with pytest.raises(RuntimeError, match="allocate"):
        runtime.Interpreter.from_bytes(content, arena_size=memory["arena_bytes"] - 32)
    total = memory["arena_bytes"] + memory["arena_margin_bytes"]
    assert f"kTensorArenaBytes = {total};" in (bundled / "src" / "model_settings.h").read_text(encoding="utf-8")
    assert "upper estimate" in memory["arena_found_on"]


def test_it_is_held_against_litert_on_the_whole_test_set(bundled: Path) -> None:
    versus = manifest_of(bundled)["versus_litert"]
    assert versus["total"] == 10_000
    assert versus["different_answers"] == 0
    assert versus["correct"] > 7000
    readme = (bundled / "README.md").read_text(encoding="utf-8")
    assert "0 are answered otherwise" in readme
    assert "not linked here" in readme


def test_the_vectors_are_what_the_interpreter_answers(bundled: Path) -> None:
    from tflite_micro.python.tflite_micro import runtime

    text = (bundled / "src" / "test_vectors.c").read_text(encoding="utf-8")
    inputs = np.array(numbers(text, "g_test_inputs"), np.int8).reshape(10, 1, 28, 28)
    outputs = np.array(numbers(text, "g_test_outputs"), np.int8).reshape(10, 10)
    interpreter = runtime.Interpreter.from_file(str(bundled / "model.tflite"))
    shape = interpreter.get_input_details(0)["shape"]
    for given, expected in zip(inputs, outputs, strict=True):
        interpreter.set_input(given.reshape(shape), 0)
        interpreter.invoke()
        assert np.array_equal(interpreter.get_output(0)[0], expected)
    assert len({int(one.argmax()) for one in outputs}) > 4


@pytest.mark.skipif(ARM is None, reason="no arm-none-eabi-gcc here")
@pytest.mark.parametrize("processor", ["cortex-m0plus", "cortex-m4"])
def test_the_c_files_compile_without_a_warning(bundled: Path, tmp_path: Path, processor: str) -> None:
    memory = manifest_of(bundled)["memory"]
    (compiled,) = [one for one in memory["compiled"] if one["processor"] == processor]
    # The map's figure is that of the arrays, but for a few bytes that move them into place.
    least = memory["model_bytes"] + memory["test_vector_bytes"]
    assert least <= compiled["flash"] <= least + 64
    command = [str(ARM), f"-mcpu={processor}", "-mthumb", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command += ["-c", "-o", str(tmp_path / "object.o"), str(bundled / "src" / "model_data.c")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    # A warning would end it.
    broken = tmp_path / "model_data.c"
    broken.write_text("#include <stdint.h>\nstatic int nobody(void) { return 1; }\n", encoding="utf-8")
    assert subprocess.run([*command[:-1], str(broken)], capture_output=True, check=False).returncode != 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_main_is_compiled_and_a_fault_in_it_is_seen(bundled: Path, tmp_path: Path) -> None:
    there = shutil.copytree(bundled, tmp_path / "there")
    assert "stand-ins" in mcu.prove(there)[0]
    main = there / "src" / "main.cc"
    main.write_text(main.read_text(encoding="utf-8").replace("AllocateTensors", "AllocateTensor"), encoding="utf-8")
    with pytest.raises(InputError, match="does not compile"):
        mcu.prove(there)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake here")
def test_the_cmake_project_builds(bundled: Path, tmp_path: Path) -> None:
    for step in (["-S", str(bundled), "-B", str(tmp_path)], ["--build", str(tmp_path)]):
        done = subprocess.run(["cmake", *step], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("libmodel.a"))


@pytest.mark.parametrize(
    ("file", "options", "code", "words"),
    [
        ("fp32.tflite", (), 2, f"found float32 in fp32.tflite; nearest that would work: {INT8}.tflite"),
        ("fp32.onnx", (), 2, ".tflite"),
        (f"{INT8}.tflite", ("--ram", "1000"), 3, "more than --ram 1,000; nearest that would work: --ram"),
        (f"{INT8}.tflite", ("--flash", "1000"), 3, "more than --flash 1,000"),
    ],
)
def test_what_the_target_cannot_run_is_named_and_nothing_written(
    small_run: tuple[Path, Result], tmp_path: Path, *, file: str, options: tuple[str, ...], code: int, words: str
) -> None:
    run, _ = small_run
    out = tmp_path / "out"
    done = optkit("bundle", str(run / "artifacts" / file), "--target", "mcu", "--out", str(out), *options)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert not list(tmp_path.iterdir())
