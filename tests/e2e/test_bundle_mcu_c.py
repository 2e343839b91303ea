"""A bundle for microcontrollers with plain C: its self-test has real examples, and both engines stand side by side."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import optkit

from optkit.bundle import _mcu_c, _mcu_engines
from optkit.errors import InputError

FILE = Path(__file__).parents[2] / "benchmarks" / "pareto" / "files" / "6144-int8.tflite"
FED = ("--data", "mnist", "--scale", "1/255")
pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no C compiler"),
    pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc here"),
]


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mcu-c") / "bundle"
    done = optkit("bundle", str(FILE), "--target", "mcu", "--engine", "c", *FED, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "self-test, built with make on this machine: 10 of 10 answers are right" in done.stdout
    return out


def manifest(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_it_answers_the_test_set_as_the_reference_kernels(bundled: Path) -> None:
    versus = manifest(bundled)["versus_litert"]
    assert (versus["total"], versus["exact_total"], versus["exact_differing"]) == (10_000, 1000, 0)
    assert versus["steps"] <= 1
    assert versus["correct"] > 9900


def test_both_engines_are_told_for_the_same_model(bundled: Path) -> None:
    ours, theirs = manifest(bundled)["engines"]
    assert (ours["engine"], theirs["engine"]) == ("c", "tflm")
    assert ours["flash_bytes"] == sum(ours["flash_parts"].values())
    assert ours["ram_bytes"] == sum(ours["ram_parts"].values())
    file_bytes = (bundled / "model.tflite").stat().st_size
    assert theirs["flash_bytes"] == file_bytes + _mcu_engines.TFLM_FRAMEWORK_BYTES
    readme = (bundled / "README.md").read_text(encoding="utf-8")
    assert "published, not measured here" in readme
    assert f"{ours['flash_bytes']:,}" in readme
    if importlib.util.find_spec("tflite_micro") is None:
        assert theirs["ram_bytes"] is None
        assert "tflite-micro" in theirs["lacking"]
    else:
        assert ours["ram_bytes"] < 0.6 * theirs["ram_bytes"]


def test_a_self_test_that_fails_is_noticed(bundled: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(bundled, tmp_path / "spoilt")
    text = (spoilt / "model.c").read_text()
    assert ") >> 31)" in text
    (spoilt / "model.c").write_text(text.replace(") >> 31)", ") >> 30)"))
    with pytest.raises(InputError, match="self-test of the C fails"):
        _mcu_c.prove(spoilt)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--target", "mcu", "--engine", "C99"), 2, "--engine: choose one of tflm, c"),
        (("--target", "linux", "--engine", "c"), 2, "--engine is not for --target linux"),
        (("--target", "mcu", "--engine", "c", "--flash", "3000"), 3, "--flash 3,000 is missed by"),
        (("--target", "mcu", "--engine", "c", "--ram", "1000"), 3, "--ram 1,000 is missed by"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_written(
    tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    done = optkit("bundle", str(FILE), *options, *FED, "--out", str(tmp_path / "out"))
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert not list(tmp_path.iterdir())
