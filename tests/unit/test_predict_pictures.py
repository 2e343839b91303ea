"""How a picture becomes what a model takes, and how its values are known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from model_files import TFLiteBuilder, network, onnx_model, write_tflite
from onnx import helper, save
from PIL import Image

from optkit import data, readback, store
from optkit.device import pictures as predict_pictures
from optkit.device.pictures import Wanted
from optkit.errors import InputError
from optkit.pipeline import predict_preprocessing
from optkit.problem import Preprocessing
from optkit.readback import Port

if TYPE_CHECKING:
    from pathlib import Path

DIGIT = Wanted(28, 28, 1)


def _digit(index: int = 0) -> np.ndarray:
    return np.array(data.load("mnist").test.images[index])


def _prepared(path: Path, wanted: Wanted = DIGIT, *, invert: bool | None = None) -> tuple[np.ndarray, str]:
    values, done = predict_pictures.prepared(path, wanted, stretch=False, invert=invert)
    return values, "; ".join(done)


def test_white_on_black_stays_and_black_on_white_is_inverted(tmp_path: Path) -> None:
    for index in range(20):
        digit = _digit(index)
        Image.fromarray(digit).save(tmp_path / "night.png")
        Image.fromarray(255 - digit).save(tmp_path / "paper.png")
        night, said = _prepared(tmp_path / "night.png")
        assert "white on black" in said
        paper, said = _prepared(tmp_path / "paper.png")
        assert "black on white: inverted" in said
        assert (night[..., 0] == digit).all()
        assert (paper == night).all()


def test_the_user_has_the_last_word_on_inversion(tmp_path: Path) -> None:
    Image.fromarray(255 - _digit()).save(tmp_path / "paper.png")
    values, said = _prepared(tmp_path / "paper.png", invert=False)
    assert (values[..., 0] == 255 - _digit()).all()
    assert "not inverted, as asked" in said


def test_a_digit_on_a_large_sheet_is_centred_as_in_mnist(tmp_path: Path) -> None:
    digit = Image.fromarray(255 - _digit()).resize((140, 140))
    sheet = Image.new("L", (400, 300), 255)
    sheet.paste(digit, (230, 20))
    sheet.save(tmp_path / "sheet.jpg", quality=90)
    values, said = _prepared(tmp_path / "sheet.jpg")
    assert "centred as in MNIST" in said
    ink = values[..., 0] > 60
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    assert max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 in {18, 19, 20}
    weights = values[..., 0]
    centre = (weights.sum(axis=1) * np.arange(28)).sum() / weights.sum()
    assert centre == pytest.approx(14, abs=0.6)
    assert np.corrcoef(weights.ravel(), _digit().ravel())[0, 1] > 0.9


def test_an_empty_sheet_is_said_to_have_no_digit(tmp_path: Path) -> None:
    Image.new("L", (64, 64), 255).save(tmp_path / "blank.png")
    values, said = _prepared(tmp_path / "blank.png")
    assert "no digit found" in said
    assert values.max() == 0


def test_colour_transparency_and_size(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (10, 0, 30, 20))
    picture.save(tmp_path / "a.png")
    values, said = _prepared(tmp_path / "a.png", Wanted(10, 10, 3))
    assert values.shape == (10, 10, 3)
    assert "put on white" in said
    assert "the middle 20×20 of 40×20" in said
    assert (values[5, 5] == [0, 0, 255]).all()
    flipped, _ = _prepared(tmp_path / "a.png", Wanted(10, 10, 3, bgr=True))
    assert (flipped == values[..., ::-1]).all()
    grey, said = _prepared(tmp_path / "a.png", Wanted(10, 10, 1))
    assert grey.shape == (10, 10, 1)
    assert "made grey" in said


def test_sixteen_bits_and_orientation(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 65535, np.uint16)).save(tmp_path / "deep.png")
    values, said = _prepared(tmp_path / "deep.png", Wanted(8, 8, 1))
    assert values.max() == 255
    assert "16 bits" in said
    turned = Image.new("L", (8, 4), 0)
    turned.paste(255, (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    values, said = _prepared(tmp_path / "turned.jpg", Wanted(8, 4, 1))
    assert "EXIF" in said
    assert values[0, 0, 0] > 200
    assert values[7, 0, 0] < 50


@pytest.mark.parametrize("name", ["missing.png", "empty.png", "text.png", "cut.jpg", "folder", "huge.png"])
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, name: str) -> None:
    Image.fromarray(_digit()).resize((200, 200)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "folder").mkdir()
    if name == "huge.png":
        # Below Pillow's own limit.
        Image.new("1", (12_000, 12_000)).save(tmp_path / name)
    with pytest.raises(InputError) as caught:
        _prepared(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((-1, 28, 28, 1), Wanted(28, 28, 1)),
        ((1, 3, 224, 200), Wanted(224, 200, 3)),
        ((1, 28, 28), Wanted(28, 28, 1)),
        ((1, 784), Wanted(28, 28, 1)),
        ((1, 3072), Wanted(32, 32, 3)),
    ],
)
def test_what_a_model_takes_is_seen_from_its_input(shape: tuple[int, ...], wanted: Wanted) -> None:
    port = Port("image", "float32", shape, None, None)
    assert predict_pictures.wanted_by(port, resize=None, channels="as they are") == wanted


@pytest.mark.parametrize("shape", [(-1, 13), (1, 5, 8, 8, 3), (1, 8, 8, 4)])
def test_a_model_that_takes_no_pictures_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        predict_pictures.wanted_by(Port("x", "float32", shape, None, None), resize=None, channels="as they are")


@pytest.mark.parametrize(
    ("dtype", "scale", "zero", "expected"),
    [
        ("int8", 1 / 255, -128, Preprocessing(scale=1 / 255)),
        ("uint8", 1.0, 0, Preprocessing()),
        ("int8", 1.0, -128, Preprocessing()),
        ("int8", 2 / 255, 0, Preprocessing(scale=1 / 127.5, mean=(1.0,))),
        ("uint8", None, None, Preprocessing()),
        ("float32", None, None, Preprocessing(scale=1 / 255)),
    ],
)
def test_values_are_known_from_an_integer_input(
    dtype: str, scale: float | None, zero: int | None, expected: Preprocessing
) -> None:
    found = predict_preprocessing.found_in(None, Port("x", dtype, (1, 28, 28, 1), scale, zero))
    assert found.preprocessing == expected
    assert found.guessed == (dtype == "float32")


def test_a_model_that_rescales_itself_gets_raw_values(tmp_path: Path) -> None:
    builder = TFLiteBuilder()
    image = builder.tensor("image", (1, 4, 4, 1))
    factor = builder.tensor("factor", (1,), values=np.array([1 / 255], np.float32))
    made = builder.tensor("made", (1, 4, 4, 1))
    builder.operator("MUL", [image, factor], [made], "MulOptions")
    path = tmp_path / "own.tflite"
    path.write_bytes(builder.finish({"image": image}, {"made": made}))
    model = onnx_model(
        [helper.make_node("Div", ["image", "divisor"], ["made"])],
        {"divisor": np.array([127.5], np.float32)},
        {"image": [1, 4, 4, 1]},
        {"made": [1, 4, 4, 1]},
    )
    save(model, tmp_path / "own.onnx")
    for file in (path, tmp_path / "own.onnx"):
        facts = readback.read(file)
        assert predict_preprocessing.found_in(facts, facts.inputs[0]).preprocessing == Preprocessing()
    facts = readback.read(write_tflite(tmp_path, network(), "fp32"))
    assert predict_preprocessing.found_in(facts, facts.inputs[0]).guessed


def test_the_manifest_of_a_run_tells_preprocessing_and_names(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    path = write_tflite(tmp_path / "artifacts", network(), "fp32")
    preprocessing = Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,))
    manifest = {
        "files": {"artifacts/fp32.tflite": store.sha256_file(path)},
        "preprocessing": msgspec.to_builtins(preprocessing),
        "class_names": list("abcdefghij"),
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    noted = predict_preprocessing.noted(path)
    assert (noted.preprocessing, noted.class_names, noted.notes) == (preprocessing, tuple("abcdefghij"), [])
    path.write_bytes(path.read_bytes() + b"\0")
    assert "changed since" in predict_preprocessing.noted(path).notes[0]
    (tmp_path / "manifest.json").write_text("{")
    damaged = predict_preprocessing.noted(path)
    assert damaged.preprocessing is None
    assert "cannot be used" in damaged.notes[0]
