"""Arrays in ``.npz`` and ``.npy`` files: what is taken, and hostile files, refused before anything is allocated."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from optkit import data
from optkit.data import _arrays
from optkit.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (200, 4, 5), np.uint8)
LABELS = np.arange(200) % 4


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_declared_parts_are_kept_and_validation_is_taken_from_training(tmp_path: Path) -> None:
    arrays = {"x_train": IMAGES[:150], "y_train": LABELS[:150], "x_test": IMAGES[150:], "y_test": LABELS[150:]}
    np.savez(tmp_path / "data.npz", **arrays)
    dataset = data.load(str(tmp_path / "data.npz"))
    assert [len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)] == [112, 38, 50]
    assert np.array_equal(dataset.test.images[:], IMAGES[150:])
    assert np.array_equal(dataset.test.labels, LABELS[150:])
    assert (dataset.classes, dataset.warnings) == (4, ())
    rows = {one.tobytes(): label for one, label in zip(IMAGES, LABELS, strict=True)}
    for part in (dataset.train, dataset.validation):
        assert [rows[one.tobytes()] for one in part.images[:]] == part.labels.tolist()


def test_a_declared_validation_part_is_taken(tmp_path: Path) -> None:
    parts = {"train": slice(0, 120), "val": slice(120, 150), "test": slice(150, 200)}
    arrays = {f"x_{name}": IMAGES[rows] for name, rows in parts.items()}
    np.savez(tmp_path / "data.npz", **arrays, **{f"y_{name}": LABELS[rows] for name, rows in parts.items()})
    dataset = data.load(str(tmp_path / "data.npz"))
    assert data.overlap(dataset.validation.images, IMAGES[120:150]) == len(dataset.validation.labels) == 30


def test_all_forms_of_the_same_arrays_are_the_same_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    np.savez_compressed(tmp_path / "b.npz", x=IMAGES, y=np.eye(4, dtype=np.uint8)[LABELS])
    np.save(tmp_path / "images.npy", np.asfortranarray(IMAGES))
    np.save(tmp_path / "labels.npy", LABELS.astype(np.float64)[:, None])
    sources = ["a.npz", "b.npz", f"images.npy,{tmp_path}/labels.npy", ""]
    found = [data.load(f"{tmp_path}/{name}") for name in sources]
    assert len({dataset.sha256 for dataset in found}) == 1
    assert [len(part.labels) for part in (found[0].train, found[0].validation, found[0].test)] == [120, 40, 40]


def resident_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


def test_npy_files_are_mapped_and_no_more_is_kept_than_was_asked_for(tmp_path: Path) -> None:
    with (tmp_path / "x.npy").open("wb") as file:
        file.write(header((1 << 20, 4096)))
        file.truncate(file.tell() + (1 << 34))
    mapped = _arrays.Mapped(tmp_path / "x.npy")
    before = resident_bytes()
    for start in range(0, 20_000, 1000):
        assert not mapped[start : start + 1000].any()
    assert mapped[np.array([3, 5])].shape == (2, 4096)
    assert resident_bytes() - before < 60_000_000


def test_text_labels_become_classes_and_float_labels_are_values(tmp_path: Path) -> None:
    np.savez(tmp_path / "text.npz", x=IMAGES, y=np.array(["cat", "ant"])[LABELS % 2])
    dataset = data.load(str(tmp_path / "text.npz"))
    assert (dataset.classes, dataset.class_names) == (2, ("ant", "cat"))
    np.savez(tmp_path / "values.npz", x=IMAGES, y=LABELS + 0.25)
    dataset = data.load(str(tmp_path / "values.npz"))
    assert (dataset.classes, dataset.train.labels.dtype) == (0, np.float32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": IMAGES, "y": LABELS[:-1]}, "expected 200 labels"),
        ({"x_train": IMAGES, "y_train": LABELS}, "test missing"),
        ({"x_test": IMAGES, "y_test": LABELS}, "train missing"),
        ({"x": IMAGES}, "expected a label for each example"),
        ({"x": IMAGES[:5], "y": LABELS[:5]}, "at least 10 examples"),
        ({"pictures": IMAGES}, "found pictures"),
        ({"x": IMAGES.astype(complex), "y": LABELS}, "values of type complex128"),
        ({"x": LABELS, "y": LABELS}, r"expected numbers \[images"),
        ({"x": np.float32(3), "y": np.int64(3)}, r"expected numbers \[images"),
        ({"x": IMAGES, "y": np.int64(3)}, "expected 200 labels .* found a single value"),
    ],
)
def test_arrays_that_are_no_data_set(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InputError, match=message):
        data.load(str(tmp_path / "data.npz"))


HEADERS = {
    "2^40 elements": (header((2**40, 4)) + bytes(64), "it was cut"),
    "a negative axis": (header((-(2**40), 4)) + bytes(64), "the shape"),
    "many axes": (header((1,) * 30) + bytes(64), "the shape"),
    "objects": (header((1,), "|O") + b"cos\nsystem\n(S'touch evil'\ntR.", "values of type object"),
    "huge text": (header((1,), "<U100000000") + bytes(64), "values of type"),
    "no magic": (b"hello", "something else"),
    "a header of brackets": (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000, "something else"),
    "a later version": (b"\x93NUMPY\x09\x00" + bytes(200), "something else"),
    "nothing": (b"", "something else"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_hostile_headers(tmp_path: Path, case: str) -> None:
    content, message = HEADERS[case]
    (tmp_path / "x.npy").write_bytes(content)
    (tmp_path / "y.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", content)
    tracemalloc.start()
    for source in (f"{tmp_path}/x.npy,{tmp_path}/y.npy", f"{tmp_path}/data.npz"):
        with pytest.raises(InputError, match=message if source.endswith("y.npy") else "expected NumPy arrays"):
            data.load(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    assert not (tmp_path / "evil").exists()


def test_an_archive_that_expands_a_thousand_times(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("x.npy", header((50_000_000, 2), "|u1") + bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(InputError, match="over 1000 times as much"):
        data.load(str(tmp_path / "data.npz"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_an_archive_larger_than_memory_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_arrays, "memory_limit", lambda: 1000)
    np.savez(tmp_path / "data.npz", x=IMAGES, y=LABELS)
    with pytest.raises(InputError, match=r"store the arrays as \.npy files"):
        data.load(str(tmp_path / "data.npz"))


def test_every_cut_of_an_archive_is_a_message(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", x=IMAGES, y=LABELS)
    whole = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "cut.npz"
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole[: generator.integers(0, len(whole))] if generator.random() < 0.3 else whole)
        for at in generator.integers(0, max(1, len(damaged)), 4):
            damaged[at : at + 1] = generator.bytes(1)
        path.write_bytes(damaged)
        try:
            data.load(str(path))
        except InputError:
            refused += 1
    assert refused > 100


def test_no_pipe_or_device_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    for name, message in (("pipe.npz", "a pipe"), ("zero.npy", "a device"), ("loop.npz", "symbolic links")):
        with pytest.raises(InputError, match=message):
            data.load(str(tmp_path / name))
