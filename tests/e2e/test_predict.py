"""``optkit predict`` as a user has it: real digits, both ways round, in each format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from conftest import optkit
from model_files import network, write_onnx, write_tflite
from PIL import Image

from optkit import data

if TYPE_CHECKING:
    from pathlib import Path


def _pictures(folder: Path, count: int) -> tuple[list[str], list[str], np.ndarray]:
    """Digits as PNG, white on black and black on white, and what the network answers."""
    digits = np.array(data.load("mnist").test.images[:count])
    night, paper = [], []
    for index, digit in enumerate(digits):
        Image.fromarray(digit).save(folder / f"night{index}.png")
        Image.fromarray(255 - digit).save(folder / f"paper{index}.png")
        night.append(f"night{index}.png")
        paper.append(f"paper{index}.png")
    return night, paper, network().predict(digits[..., None].astype(np.float32) / 255)


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
def test_both_ways_round_give_the_networks_answers(tmp_path: Path, file_format: str) -> None:
    write = write_tflite if file_format == "tflite" else write_onnx
    model = write(tmp_path, network(), "fp32")
    night, paper, expected = _pictures(tmp_path, 12)
    result = optkit("predict", model.name, *night, *paper, "--top", "2", "--json", "-", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)["pictures"]
    assert len(found) == 24
    for position, picture in enumerate(found):
        row = expected[position % 12]
        best = np.argsort(-row)[:2]
        assert [one["answer"] for one in picture["answers"]] == best.tolist()
        assert picture["answers"][0]["probability"] == pytest.approx(float(row[best[0]]), abs=1e-3)
        way = "white on black" if position < 12 else "black on white"
        assert any(way in words for words in picture["done"])


def test_the_table_says_what_was_taken_for_what(tmp_path: Path) -> None:
    model = write_tflite(tmp_path, network(), "int8")
    night, paper, _ = _pictures(tmp_path, 1)
    result = optkit("predict", model.name, *night, *paper, cwd=tmp_path)
    assert "taken as white on black: night0.png" in result.stdout
    assert "taken as black on white: inverted: paper0.png" in result.stdout
    assert "the range of the input's scale" in result.stdout


def test_exit_codes(tmp_path: Path) -> None:
    model = write_tflite(tmp_path, network(), "fp32")
    night, _, _ = _pictures(tmp_path, 1)
    (tmp_path / "text.png").write_text("no picture")
    some = optkit("predict", model.name, *night, "text.png", cwd=tmp_path)
    assert some.returncode == 4
    assert "text.png" in some.stdout
    assert "1 of 2 pictures" in some.stderr
    none = optkit("predict", model.name, "text.png", "gone.png", cwd=tmp_path)
    assert none.returncode == 2
    assert none.stdout == ""
    assert len(none.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.tflite"], "gone.tflite"),
        (["cut.tflite"], "cut.tflite"),
        (["night0.png"], "expected a model file"),
        (["fp32.tflite", "--scale", "x"], "--scale"),
        (["fp32.tflite", "--top", "0"], "--top"),
        (["fp32.tflite", "--resize", "30x30"], "resize"),
        (["fp32.tflite", "--json", "none/such.json"], "--json"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    whole = write_tflite(tmp_path, network(), "fp32").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[:3000])
    _pictures(tmp_path, 1)
    result = optkit("predict", *arguments, "night0.png", cwd=tmp_path)
    assert result.returncode == 2, result.stdout
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
