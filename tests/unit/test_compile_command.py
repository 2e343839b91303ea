"""``optkit compile``: a complete folder, or one line and nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tflite_networks
from ai_edge_litert import schema_py_generated as schema
from codegen_networks import COMPILER, answers, feed, interpreter
from tflite_builder import OPERATORS, TYPES, Builder

from optkit import readback, registry, runtimes, tflite_schema
from optkit.cli import main
from optkit.errors import InputError
from optkit.measure import footprint

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "CMakeLists.txt",
    "Makefile",
    "compile.json",
    "main.c",
    "memory.svg",
    "model.c",
    "model.h",
    "model.tflite",
    "report.md",
    "test_vectors.h",
}
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
needs_arm = pytest.mark.skipif(
    footprint.compiler_for("cortex-m4") is None, reason="there is no arm-none-eabi-gcc on this machine"
)


def run(
    *arguments: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["optkit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    told = capsys.readouterr()
    return int(str(ended.value.code)), told.out, told.err


def convolution(build: Builder, given: int, *, activation: int = 1) -> int:
    """A convolution of 3 by 3 with 6 filters, fitting scales."""
    random = np.random.default_rng(1)
    shape = (6, 3, 3, build.shape(given)[3])
    values = random.integers(-127, 128, shape).astype(np.int8)
    weights = build.tensor(shape, TYPES.INT8, scales=[0.002], zeros=[0], values=values)
    scales = [build.scale(given) * 0.002]
    biases = build.tensor((6,), TYPES.INT32, scales=scales, zeros=[0], values=np.arange(6, dtype=np.int32) * 300)
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = activation
    made = build.tensor((1, *build.shape(given)[1:3], 6), scales=[0.02], zeros=[-128])
    return build.operator(OPERATORS.CONV_2D, [given, weights, biases], made, options, 3)


def pooling(build: Builder, given: int) -> int:
    options = schema.Pool2DOptionsT()
    options.strideH = options.strideW = options.filterHeight = options.filterWidth = 2
    _, height, width, channels = build.shape(given)
    made = build.tensor((1, height // 2, width // 2, channels), scales=[build.scale(given)], zeros=[build.zero(given)])
    return build.operator(OPERATORS.MAX_POOL_2D, [given], made, options, 2)


def start(size: int = 12) -> tuple[Builder, int]:
    build = Builder()
    return build, build.tensor((1, size, size, 1), scales=[1 / 255], zeros=[-128])


def small(path: Path) -> Path:
    build, given = start()
    last = pooling(build, convolution(build, pooling(build, convolution(build, given))))
    path.write_bytes(build.finish([given], [last]))
    return path


@needs_compiler
@pytest.mark.parametrize("prefer", ["flash", "ram", "speed"])
@pytest.mark.parametrize("arena", ["stack", "caller"])
def test_a_complete_folder_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prefer: str, arena: str
) -> None:
    path, out = small(tmp_path / "small.tflite"), tmp_path / "out"
    arguments = ["compile", path, "--out", out, "--prefer", prefer, "--arena", arena]
    code, shown, said = run(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert (code, said) == (0, "")
    assert "8 of 8 random inputs" in shown
    assert {one.name for one in out.iterdir()} == FILES
    told = json.loads((out / "compile.json").read_text())
    # For the wide registers of this machine rows of weights are filled up to a multiple of 32.
    rows = (32, 64) if prefer == "speed" else (9, 9 * 6)
    assert told["bytes"]["weight_bytes"] == sum(rows) * 6
    assert told["bytes"]["flash_bytes"] > told["bytes"]["weight_bytes"]
    streamed = any(", " in stage for stage in told["stages"])
    assert streamed == (prefer == "ram")
    text = (out / "model.c").read_text()
    assert ("arena[" in text) == (arena == "stack")
    # The same command again takes the place of its own folder, and makes the same files.
    before = {name: (out / name).read_bytes() for name in FILES}
    assert run(*arguments, monkeypatch=monkeypatch, capsys=capsys)[0] == 0
    assert before == {name: (out / name).read_bytes() for name in FILES}
    done = subprocess.run(["make", "-s", "-C", out, "test"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "8 of 8 answers are right\n")
    # The self-test notices a wrong answer.
    vectors = (out / "test_vectors.h").read_text()
    place = vectors.index("{", vectors.index("model_test_output[")) + 7
    digit = next(at for at in range(place, len(vectors)) if vectors[at].isdigit())
    other = str((int(vectors[digit]) + 1) % 2)
    (out / "test_vectors.h").write_text(vectors[:digit] + other + vectors[digit + 1 :])
    done = subprocess.run(["make", "-s", "-C", out, "test"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "7 of 8" in done.stdout


def _float(path: Path) -> None:
    build = Builder()
    given = build.tensor((1, 4), TYPES.FLOAT32)
    made = build.tensor((1, 4), TYPES.FLOAT32)
    path.write_bytes(build.finish([given], [build.operator(OPERATORS.RELU, [given], made)]))


def _dynamic_range(path: Path) -> None:
    build = Builder()
    given, made = build.tensor((1, 4), TYPES.FLOAT32), build.tensor((1, 2), TYPES.FLOAT32)
    values = np.ones((2, 4), np.int8)
    weights = build.tensor((2, 4), TYPES.INT8, scales=[0.1], zeros=[0], values=values)
    options = schema.FullyConnectedOptionsT()
    build.operator(OPERATORS.FULLY_CONNECTED, [given, weights, -1], made, options, 3)
    path.write_bytes(build.finish([given], [made]))


def _dynamic_shape(path: Path) -> None:
    build, given = start()
    last = convolution(build, given)
    for index in (given, last):
        build.graph.tensors[index].shapeSignature = np.array([1, -1, 12, 1], np.int32)
    path.write_bytes(build.finish([given], [last]))


def _uncovered(path: Path) -> None:
    build, given = start()
    last = convolution(build, given)
    made = build.tensor(build.shape(last), scales=[0.02], zeros=[0])
    path.write_bytes(build.finish([given], [build.operator(OPERATORS.FLOOR, [last], made)]))


def _version(path: Path) -> None:
    build, given = start()
    last = convolution(build, given)
    build.model.operatorCodes[0].version = 99
    path.write_bytes(build.finish([given], [last]))


def _activation(path: Path) -> None:
    build, given = start()
    path.write_bytes(build.finish([given], [convolution(build, given, activation=4)]))


def _truncated(path: Path) -> None:
    small(path)
    path.write_bytes(path.read_bytes()[:700])


def _later(path: Path) -> None:
    build, given = start()
    last = pooling(build, convolution(build, given))
    build.graph.operators.reverse()
    path.write_bytes(build.finish([given], [last]))


def _biases(path: Path) -> None:
    build, given = start()
    last = convolution(build, given)
    buffer = build.model.buffers[build.graph.tensors[given + 2].buffer]
    buffer.data = np.frombuffer(np.full(6, 2**31 - 1, np.int32).tobytes(), np.uint8)
    path.write_bytes(build.finish([given], [last]))


BAD = {
    "a float file": (_float, "RELU (operator 0) computes in float32"),
    "a dynamic-range file": (_dynamic_range, "dynamic-range file: FULLY_CONNECTED (operator 0)"),
    "a dynamic shape": (_dynamic_shape, "has the shape [1, -1, 12, 1]"),
    "an operator that is not covered": (_uncovered, "no code can be generated for FLOOR (operator 1)"),
    "a version that is not covered": (_version, "CONV_2D (operator 0) is of version 99; covered are versions 1 to 8"),
    "an activation that is not covered": (_activation, "CONV_2D (operator 0) has the activation TANH in it"),
    "a truncated file": (_truncated, "damaged TFLite file"),
    "operators in another order": (_later, "uses a tensor that is made later"),
    "a sum beyond 32 bits": (_biases, "CONV_2D (operator 0) can sum up to"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    make, words = BAD[what]
    path = tmp_path / "bad.tflite"
    make(path)
    code, shown, said = run("compile", path, "--out", tmp_path / "out", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, shown) == (2, "")
    assert said.count("\n") == 1
    assert words in said
    assert [one.name for one in tmp_path.iterdir()] == ["bad.tflite"]


def test_activations_too_large_for_a_stack_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build, given = start(1500)
    path = tmp_path / "large.tflite"
    path.write_bytes(build.finish([given], [pooling(build, convolution(build, given))]))
    arguments = ["compile", path, "--out", tmp_path / "out", "--prefer", "flash"]
    code, _, said = run(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "too many for a stack; give --arena caller" in said


def test_a_file_cut_anywhere_is_one_line(tmp_path: Path) -> None:
    from optkit import codegen

    whole = small(tmp_path / "small.tflite").read_bytes()
    random, refused = np.random.default_rng(0), list[str]()
    for _ in range(150):
        damaged = bytearray(whole[: int(random.integers(1, len(whole) + 1))])
        for _ in range(int(random.integers(0, 4))):
            damaged[int(random.integers(0, len(damaged)))] = int(random.integers(0, 256))
        # Whatever else is raised fails the test.
        try:
            codegen.generate([("model", codegen.read(bytes(damaged), "it"))])
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in words for words in refused)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "cortex-m5"], "did you mean cortex-m"),
        (["--prefer", "size"], "choose one of flash, ram, speed"),
        (["--vectors", "0"], "--vectors expects a number from 1 to 1000"),
        (["--flash", "8"], "--flash expects a number and its unit"),
    ],
)
def test_bad_options_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    path = small(tmp_path / "small.tflite")
    code, _, said = run("compile", path, "--out", tmp_path / "out", *arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert words in said
    assert not (tmp_path / "out").exists()


def test_the_folder_of_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = small(tmp_path / "small.tflite"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    code, _, said = run("compile", path, "--out", out, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "expects a new folder or one of optkit compile" in said
    assert [one.name for one in out.iterdir()] == ["mine.txt"]


@needs_arm
@needs_compiler
def test_limits_are_met_or_the_nearest_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = small(tmp_path / "small.tflite"), tmp_path / "out"
    arguments = ["compile", path, "--out", out, "--target", "cortex-m4"]
    assert run(*arguments, "--flash", "4KiB", "--ram", "1KiB", monkeypatch=monkeypatch, capsys=capsys)[0] == 0
    used = json.loads((out / "compile.json").read_text())["bytes"]
    assert used["flash_bytes"] <= 4096
    assert used["ram_bytes"] <= 1024
    code, _, said = run(*arguments, "--ram", "100B", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 3
    nearest = json.loads((out / "compile.json").read_text())["bytes"]["ram_bytes"]
    assert f"--ram 100 is missed by {nearest - 100:,} bytes" in said
    assert {one.name for one in out.iterdir()} == FILES


def test_without_a_compiler_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("optkit.measure.footprint.shutil.which", lambda _: None)
    path, out = small(tmp_path / "small.tflite"), tmp_path / "out"
    code, shown, _ = run("compile", path, "--out", out, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert "was not run: this machine has no C compiler" in shown
    assert json.loads((out / "compile.json").read_text())["bytes"]["code_bytes"] is None
    code, _, said = run("compile", path, "--out", out, "--flash", "8KiB", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "need a compiler for c99" in said


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from optkit.bundle._c_folder import Options
    from optkit.pipeline.compile import compile_file

    folder = tmp_path_factory.mktemp("built")
    compile_file(small(folder / "small.tflite"), folder / "out", Options(prefer="ram", caller_arena=True))
    return folder / "out" / "model.c"


@needs_compiler
def test_the_runtime_answers_as_the_reference_kernels(built: Path) -> None:
    content = built.with_suffix(".tflite").read_bytes()
    opened, random = interpreter(content), np.random.default_rng(4)
    session = runtimes.open_raw(built, registry.load("runtimes", "c").KERNELS[0])
    for _ in range(5):
        given = feed(opened, random)
        assert all(map(np.array_equal, session.run(list(given)), answers(opened, given)))
    timed = runtimes.open_model(built)
    images = random.random((3, 12, 12, 1), np.float32)
    native = timed.to_native(images)
    wanted = [answers(opened, (native[row : row + 1],))[0].reshape(-1) for row in range(3)]
    assert np.array_equal(runtimes.predict(timed, images, batch=3).reshape(3, -1), wanted)
    assert np.array_equal(runtimes.predict(timed, images, batch=1).reshape(3, -1), wanted)
    facts = readback.read(built)
    assert (facts.format, len(facts.operators)) == ("c", 4)


@needs_compiler
def test_code_that_was_changed_is_never_run(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built.parent, tmp_path / "changed")
    changed = tmp_path / "changed" / "model.c"
    changed.write_text(changed.read_text().replace("return 0;", "return 0; /* mine */"))
    with pytest.raises(InputError, match="only generated code is run"):
        runtimes.open_model(changed)
    changed.with_suffix(".tflite").unlink()
    with pytest.raises(InputError, match=r"expected model\.tflite beside"):
        runtimes.open_model(changed)


@needs_compiler
def test_it_is_benchmarked_like_any_other(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = (built.with_suffix(".tflite"), built)
    arguments = ["benchmark", *files, "--min-time", "0.1", "--max-time", "1", "--width", "0.9"]
    code, _, said = run(*arguments, "--json", tmp_path / "r.json", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, said) == (0, "")
    told: list[dict[str, Any]] = json.loads((tmp_path / "r.json").read_text())["variants"]
    assert [one["format"] for one in told] == ["tflite", "c"]
    assert all(one["latency"]["p50_us"] > 0 for one in told)


def test_random_networks_are_files_that_a_reader_takes() -> None:
    content, used = tflite_networks.network(np.random.default_rng(0), ["conv_2d", "relu"])
    tflite_schema.check_identifier(content, "it")
    assert used


def test_what_a_killed_run_left_is_taken_away_and_a_running_one_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f".optkit-tmp-compile-{ended.pid}-x", f".optkit-tmp-compile-{os.getpid()}-y", ".optkit-tmp-compile-z"):
        (tmp_path / name / "made").mkdir(parents=True)
    path = small(tmp_path / "small.tflite")
    assert run("compile", path, "--out", tmp_path / "out", monkeypatch=monkeypatch, capsys=capsys)[0] == 0
    left = {one.name for one in tmp_path.iterdir()} - {"small.tflite", "out"}
    assert left == {f".optkit-tmp-compile-{os.getpid()}-y", ".optkit-tmp-compile-z"}


@needs_compiler
def test_odd_folder_names_change_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small(tmp_path / "small.tflite")
    counted = []
    for name in ("plain", 'it\'s "odd" $x; a'):
        out = tmp_path / name / "out put"
        assert run("compile", path, "--out", out, monkeypatch=monkeypatch, capsys=capsys)[0] == 0
        counted.append(json.loads((out / "compile.json").read_text())["bytes"])
        done = subprocess.run(["make", "-C", str(out), "test"], capture_output=True, text=True, check=False)
        assert "8 of 8 answers are right" in done.stdout, done.stderr
    assert counted[0] == counted[1]
    assert counted[0]["stack_bytes"] > 100
