"""Folders of pictures: how they are laid out, what becomes of every kind of picture, and damaged or hostile ones."""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from optkit import data, store
from optkit.data import DataSpec
from optkit.data._pictures import read_picture
from optkit.errors import InputError
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

GENERATOR = np.random.default_rng(0)


def write(path: Path, *, size: tuple[int, int] = (6, 8), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = GENERATOR.integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``train`` and ``test`` with two classes, forty and ten pictures each."""
    for part, count in (("train", 40), ("test", 10)):
        for name in ("cats", "ants"):
            for number in range(count):
                write(tmp_path / "pictures" / part / name / f"{number}.png")
    return tmp_path / "pictures"


def test_declared_parts_with_classes_in_sorted_order(folder: Path) -> None:
    dataset = data.load(str(folder))
    assert (dataset.name, dataset.classes, dataset.class_names) == ("pictures", 2, ("ants", "cats"))
    assert [part.images.shape for part in (dataset.train, dataset.validation, dataset.test)] == [
        (60, 6, 8, 1),
        (20, 6, 8, 1),
        (20, 6, 8, 1),
    ]
    # Each class has its share of what is held out, and training is mixed.
    assert np.bincount(dataset.validation.labels).tolist() == [10, 10]
    assert 0 < dataset.train.labels[:20].mean() < 1
    first = np.asarray(Image.open(folder / "test" / "ants" / "0.png"))
    assert np.array_equal(dataset.test.images[:1][0, ..., 0], first)
    assert dataset.test.labels.tolist() == [0] * 10 + [1] * 10
    assert dataset.warnings == ()


def test_a_run_folder_beside_the_classes_is_no_class(folder: Path) -> None:
    run = folder / "train" / "optkit-run-mine"
    store.prepare_folder(run)
    with store.locked(run, "compress"):
        pass
    dataset = data.load(str(folder / "train"))
    assert (dataset.classes, dataset.class_names, dataset.warnings) == (2, ("ants", "cats"), ())


def test_a_validation_folder_and_one_folder_that_is_split(folder: Path) -> None:
    for number in range(5):
        for name in ("cats", "ants"):
            write(folder / "validation" / name / f"{number}.jpg")
    assert len(data.load(str(folder)).validation.labels) == 10
    dataset = data.load(str(folder / "train"))
    assert [len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)] == [48, 16, 16]
    assert data.overlap(dataset.test.images, dataset.train.images) == 0


def test_the_order_does_not_depend_on_the_file_system(folder: Path, tmp_path: Path) -> None:
    files = sorted(path for path in folder.rglob("*.png"))
    for path in reversed(files):
        copy = tmp_path / "copy" / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    one, other = data.load(str(folder)), data.load(str(tmp_path / "copy"))
    assert one.sha256 == other.sha256
    (tmp_path / "copy" / "train" / "cats").rename(tmp_path / "copy" / "train" / "bats")
    (tmp_path / "copy" / "test" / "cats").rename(tmp_path / "copy" / "test" / "bats")
    os.utime(tmp_path / "copy", (1, 1))
    assert data.load(str(tmp_path / "copy")).sha256 != one.sha256


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
@pytest.mark.parametrize(("channels", "count"), [("as they are", None), ("grey", 1), ("rgb", 3), ("bgr", 3)])
def test_every_kind_of_picture(tmp_path: Path, mode: str, channels: str, count: int | None) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        wide = GENERATOR.integers(0, 65_536, (6, 8)).astype(np.uint16)
        Image.fromarray(wide).save(path)
    else:
        write(path, mode=mode)
    found = read_picture(path, Preprocessing(channels=channels))
    expected = count or (1 if mode in {"1", "L", "LA", "I;16"} else 3)
    assert (found.shape, found.dtype) == ((6, 8, expected), np.uint8)
    if mode == "I;16":
        assert np.array_equal(found[..., 0], wide // 257)
    if channels == "bgr":
        assert np.array_equal(found[..., ::-1], read_picture(path, Preprocessing(channels="rgb")))


def test_a_note_of_the_camera_does_not_turn_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg").shape == (6, 8, 3)


def test_pictures_of_other_sizes_need_resize(folder: Path) -> None:
    odd = write(folder / "train" / "cats" / "odd.png", size=(9, 8))
    with pytest.raises(InputError, match=r"ants/0\.png has 6×8.*cats/odd\.png 9×8.*--resize 6x8"):
        data.load(str(folder))
    dataset = data.load(DataSpec(str(folder), Preprocessing(resize=(5, 7), channels="rgb")))
    assert dataset.train.images[:100].shape == (61, 5, 7, 3)
    write(odd, mode="RGB")
    with pytest.raises(InputError, match=r"odd\.png in colour; bring them to one kind with --channels"):
        data.load(str(folder))


def png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


DAMAGED = {
    "no picture": (b"# a text", "found something else"),
    "empty": (b"", "found something else"),
    "a bomb": (png(60_000, 60_000), "more pixels than a picture may have"),
    "a smaller bomb": (png(12_000, 12_000), "more pixels than a picture may have"),
    "too few rows": (png(400, 400), "is damaged"),
    "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "found something else"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_file_that_is_no_picture_is_named(folder: Path, case: str) -> None:
    content, message = DAMAGED[case]
    (folder / "train" / "cats" / "x.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"cats/x\.png.*{message}|{message}.*cats/x\.png|in .*cats/x\.png, {message}"):
        data.load(str(folder))


def test_cut_and_changed_pictures_are_messages(tmp_path: Path) -> None:
    refused = 0
    for suffix in ("png", "jpg", "bmp", "webp", "ppm"):
        whole = write(tmp_path / f"whole.{suffix}", size=(20, 20), mode="RGB").read_bytes()
        path = tmp_path / f"x.{suffix}"
        for _ in range(60):
            damaged = bytearray(whole[: GENERATOR.integers(0, len(whole))] if GENERATOR.random() < 0.4 else whole)
            for at in GENERATOR.integers(0, max(1, len(damaged)), 3):
                damaged[at : at + 1] = GENERATOR.bytes(1)
            path.write_bytes(damaged)
            try:
                read_picture(path)
            except InputError:
                refused += 1
    assert refused > 100


def test_links_in_a_circle_pipes_and_other_files_are_left_out_and_said(folder: Path) -> None:
    cats = folder / "train" / "cats"
    (cats / "up").symlink_to(folder)
    (cats / "loop.png").symlink_to(cats / "loop.png")
    os.mkfifo(cats / "pipe.png")
    (cats / ".hidden").write_text("x")
    dataset = data.load(str(folder))
    assert len(dataset.train.labels) + len(dataset.validation.labels) == 80
    entries = "train/cats/loop.png, train/cats/pipe.png, train/cats/up"
    assert dataset.warnings == (f"3 entries of class folders are no pictures and were left out: {entries}",)


def test_a_name_that_is_no_text_can_be_reported(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part / "cats").rename(folder / part / os.fsdecode(b"c\xff"))
    assert data.load(str(folder)).class_names == ("ants", "c\ufffd")


def test_folders_without_what_is_needed(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected folders of pictures"):
        data.load(str(tmp_path / "empty"))
    (folder / "test").rename(tmp_path / "away")
    with pytest.raises(InputError, match="test missing; lay it out as train/CLASS"):
        data.load(str(folder))


def test_a_class_without_training_pictures_is_said(folder: Path) -> None:
    write(folder / "test" / "bees" / "1.png")
    dataset = data.load(str(folder))
    assert dataset.class_names == ("ants", "bees", "cats")
    assert dataset.warnings == ("1 of 3 classes have no training examples: bees",)


def test_pictures_are_read_when_they_are_asked_for(folder: Path) -> None:
    dataset = data.load(str(folder))
    for path in folder.rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match="No such file"):
        dataset.train.images[:1]
