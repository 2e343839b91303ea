"""Whatever is in a file, reading it without running it ends in facts or in one line; never in another error."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from functools import cache
from typing import TYPE_CHECKING

import model_files
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_report import sample_report

from benchmarks._mutations import mutate
from optkit import readback, recipes
from optkit.errors import InputError, without_control
from optkit.pipeline.compare import compare
from optkit.report import json_file, screen
from optkit.report.plausible import check_plausible

if TYPE_CHECKING:
    from pathlib import Path


@cache
def sound(name: str) -> bytes:
    """Bytes of a sound file."""
    net = model_files.network()
    if name == "int8.tflite":
        return model_files.tflite_int8(net, model_files.images()[:20])
    if name == "fp32.tflite":
        return model_files.tflite_float(net)
    if name == "fp32.onnx":
        content: bytes = model_files.onnx_float(net).SerializeToString()
        return content
    return json_file.to_json(sample_report())


def refused_in_one_line(action: object, *arguments: object) -> bool:
    """Do it; whether it was refused, in one line that says something."""
    try:
        action(*arguments)  # type: ignore[operator]
    except InputError as error:
        said = str(error)
    else:
        return False
    assert len(said) > 20
    assert "\n" not in said
    return True


@pytest.mark.parametrize("name", ["int8.tflite", "fp32.tflite", "fp32.onnx"])
def test_mutated_models_end_in_facts_or_one_line(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    path = tmp_path_factory.mktemp("mutated") / name
    refusals = 0

    @settings(max_examples=150)
    @given(st.integers(0, 2**32))
    def each(seed: int) -> None:
        nonlocal refusals
        path.write_bytes(mutate(sound(name), str(seed))[1])
        refusals += refused_in_one_line(readback.read, path)

    each()
    assert refusals > 15


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_any_bytes_end_in_one_line(tmp_path_factory: pytest.TempPathFactory, suffix: str) -> None:
    path = tmp_path_factory.mktemp("any") / f"any.{suffix}"
    start = b"\x18\0\0\0TFL3" if suffix == "tflite" else b"\x08\x08"

    @settings(max_examples=150)
    @given(st.binary(max_size=400), st.sampled_from([b"", start]))
    def each(data: bytes, beginning: bytes) -> None:
        path.write_bytes(beginning + data)
        assert refused_in_one_line(readback.read, path)

    each()


def test_mutated_reports_end_in_a_report_or_one_line() -> None:
    refusals = 0

    @settings(max_examples=200)
    @given(st.integers(0, 2**32))
    def each(seed: int) -> None:
        nonlocal refusals
        refusals += refused_in_one_line(read_report, mutate(sound("report.json"), str(seed))[1])

    each()
    assert refusals > 40


def read_report(data: bytes) -> None:
    check_plausible(json_file.from_json(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=150)
@given(st.data())
def test_another_value_at_any_place_of_a_report_ends_in_a_report_or_one_line(data: st.DataObject) -> None:
    plain = json.loads(sound("report.json"))
    place = plain
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    refused_in_one_line(read_report, json.dumps(plain).encode())


@pytest.mark.parametrize(
    "text",
    [
        "[settings]\nseed = " + "9" * 5000,
        "a = " + "[" * 100_000,
        "[settings]\nseed = 1979-05-27T07:32:00Z",
        "[[recipe]]\nsteps = [{name = 'prune', params = {sparsity = nan}}, {name = 'int8'}]",
        "[[recipe]]\nsteps = [{name = 'prune', params = {sparsity = 1e400}}, {name = 'int8'}]",
        "[[recipe]]\nsteps = []",
        "recipe = 1",
    ],
)
def test_hostile_recipes_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    if text.startswith("[settings]\nseed = 19"):
        # Settings are checked by whoever takes them.
        recipes.load_toml(path)
    else:
        assert refused_in_one_line(recipes.load_toml, path)


STEPS = b"steps = [{ name = 'prune', params = { sparsity = 0.5 } }, { name = 'int8' }]"
TOML = b"[settings]\nseed = 3\n\n[[recipe]]\n" + STEPS + b"\n"


def test_mutated_recipes_end_in_recipes_or_one_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("toml") / "mine.toml"
    refusals = 0

    @settings(max_examples=200)
    @given(st.integers(0, 2**32))
    def each(seed: int) -> None:
        nonlocal refusals
        path.write_bytes(mutate(TOML, str(seed))[1])
        refusals += refused_in_one_line(recipes.load_toml, path)

    each()
    assert refusals > 100


def test_an_onnx_file_with_its_nodes_backwards_is_read_in_time(tmp_path: Path) -> None:
    count = 10_000
    node = onnx.helper.make_node
    chain = [node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(count)]
    nodes = [*reversed(chain), node("Identity", ["x"], ["t0"]), node("Identity", [f"t{count}"], ["y"])]
    model = model_files.onnx_model(nodes, {}, {"x": [1, 4]}, {"y": [1, 4]})
    path = tmp_path / "backwards.onnx"
    onnx.save(model, path)
    started = time.process_time()
    facts = readback.read(path)
    # Two seconds are enough for 20,000; with a time that grows with the square these would take a minute.
    assert time.process_time() - started < 10
    assert len(facts.operators) == count + 2
    assert facts.operators[0].output_dtypes == ("float32",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"path": "/dev/zero"}, "no file"), ({"path": "bad\0name"}, "null"), ({"path": "/etc"}, "no file")],
)
def test_a_report_that_names_a_device_is_not_read_without_end(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    plain = json.loads(sound("report.json"))
    for variant in plain["variants"]:
        variant.update(changes, sha256="0" * 64)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(plain))
        plain["variants"][0]["sha256"] = "1" * 64
    found = compare(tmp_path / "old", tmp_path / "new", fail_on=["p50>+5%"], remeasure=True)
    reasons = [one.reason for one in found.judgements if one.metric == "p50"]
    assert any(words in reason for reason in reasons)


def test_names_in_a_file_do_not_steer_the_terminal() -> None:
    stream = io.StringIO()
    screen.show(lambda console: console.print("a\x1b[2Jb\x07c\x9bd\x0be", markup=False), stream)
    # rich drops some of them itself.
    assert stream.getvalue() == "a�[2Jbc�de\n"
    assert without_control("red \x1b[31mname\x1b[0m\tand\nmore") == "red \x1b[31mname\x1b[0m\tand\nmore"


def test_an_error_about_a_file_does_not_either(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "optkit.cli.main", "inspect", "\x1b]0;title\x07\x1b[2J.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 2
    assert "�]0;title�" in done.stderr
    assert "\x1b" not in done.stderr
