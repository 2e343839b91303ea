"""Files made by hand to do harm: data, pictures, reports and recipes. ``_model_traps`` has the models."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GIB = 1 << 30
_HUGE = 1 << 40


class Trap(NamedTuple):
    """A file that must be refused, and where it is."""

    name: str
    path: Path


def npy_header(shape: str, dtype: str = "<f4") -> bytes:
    """The start of a .npy file that declares any shape."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def npy_contents(outside: Path) -> dict[str, bytes]:
    """Bytes of .npy files: too many elements, no elements, Python objects that would write to ``outside``."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Writes(outside / "pickled")], dtype=object), allow_pickle=True)
    return {
        "2^40 elements": npy_header(f"({_HUGE},)") + bytes(64),
        "a shape whose product is 0 in 64 bits": npy_header(f"({1 << 32}, {1 << 32})") + bytes(64),
        "a negative shape": npy_header("(-1, 4)") + bytes(64),
        "a shape of many axes": npy_header("(" + "1, " * 1000 + ")") + bytes(64),
        "a header of brackets": npy_header("(" * 3000) + bytes(64),
        "a text in place of a shape": npy_header("'four'") + bytes(64),
        "a record with a field of objects": npy_header("(4,)", dtype="O") + bytes(64),
        "Python objects": buffer.getvalue(),
        "version 9": b"\x93NUMPY\x09\x00" + npy_header("(4,)")[8:] + bytes(64),
        "a header of 4 GiB": b"\x93NUMPY\x02\x00" + struct.pack("<I", 0xFFFFFFFF) + b"{" * 64,
    }


class _Writes:
    """Unpickling it writes a file: the harness looks for that file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (open, (self._path, "w"))


def npy_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:  # noqa: ARG001  # as all of them
    """.npy files."""
    for name, content in npy_contents(outside).items():
        yield _write(folder, name, ".npy", content)


def npz_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:  # noqa: ARG001  # as all of them
    """.npz files: each .npy in the place of the test images, members that lead elsewhere, and bombs."""
    labels = _npy(np.zeros(8, np.int64))
    for name, content in npy_contents(outside).items():
        yield _archive(folder, name, {"x_test.npy": content, "y_test.npy": labels})
    zeros = npy_header(f"({3 * GIB // 256}, 8, 8, 1)")
    yield _archive(folder, "images of 3 GiB in 3 MB", {"x_test.npy": (zeros, 3 * GIB), "y_test.npy": labels})
    yield _archive(folder, "a member above its folder", {"../../planted.npy": labels, "x_test.npy": labels})
    yield _archive(folder, "a member at an absolute path", {f"{outside}/planted.npy": labels, "y_test.npy": labels})
    many = {f"array_{index}.npy": labels for index in range(20_000)}
    yield _archive(folder, "20,000 arrays", {**many, "y_test.npy": labels})


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def png(width: int, height: int, rows: bytes = b"", *, depth: int = 8, extra: bytes = b"") -> bytes:
    """A PNG file of grey pixels with any size in its head, and compressed rows of any length."""
    head = struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:  # noqa: ARG001  # as all of them
    """Pictures: sizes that no memory holds, bombs, chunks that are not there."""
    rows = zlib.compress(bytes(1 << 20))
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(400)) + packer.flush()
    text = b"key\0\0" + zlib.compress(bytes(200 << 20), 9)
    contents = {
        "2^31 by 2^31": png(1 << 31, 1 << 31, rows),
        "2^31 - 1 by 2^31 - 1": png((1 << 31) - 1, (1 << 31) - 1, rows),
        "60,000 by 60,000": png(60_000, 60_000, rows, depth=1),
        "400 MiB in 400 kB": png(20_480, 20_480, bomb),
        "no width": png(0, 8, rows),
        "a text of 200 MiB": png(8, 8, b"", extra=_chunk(b"zTXt", text)),
        "a chunk of 4 GiB": png(8, 8, rows)[:33] + b"\xff\xff\xff\xffIDAT" + rows,
    }
    for name, content in contents.items():
        yield _write(folder, name, ".png", content)
    # A JPEG head of 65,535 by 65,535 with next to nothing behind it.
    head = b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    yield _write(folder, "65,535 by 65,535", ".jpg", head + bytes(100))
    yield _write(folder, "a script", ".jpg", b"#!/bin/sh\ntouch planted\n")
    yield _write(
        folder, "a postscript", ".png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(planted) (w) file\n"
    )


def csv_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:  # noqa: ARG001  # as all of them
    """Tables: one line without end, a quote that is never closed, numbers that are none."""
    head = "a,b,label\n"
    contents = {
        "no line break in 50 MB": b"1," * 25_000_000,
        "an open quote": (head + '1,"2,x\n' + "1,2,y\n" * 100_000).encode(),
        "infinity": (head + "1e999,2,x\n-1e999,3,y\n" * 50).encode(),
        "rows of other lengths": (head + "1,2,x\n1,2\n1,2,3,4,5\n" * 50).encode(),
        "zeros": head.encode() + bytes(10_000),
        "100,000 columns": (",".join(f"c{i}" for i in range(100_000)) + "\n" + ",".join("1" * 100_000) + "\n").encode(),
        "a number of 100,000 digits": (head + "9" * 100_000 + ",1,x\n" + "1,2,y\n" * 50).encode(),
        "another encoding": (head + "1,2,x\n" * 50).encode("utf-16"),
        "the head alone": head.encode(),
        "a column twice": b"a,a,label\n" + b"1,2,x\n" * 50,
    }
    for name, content in contents.items():
        yield _write(folder, name, ".csv", content)


def report_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:  # noqa: ARG001  # as all of them
    """report.json: nesting, numbers that are none, texts that would steer a terminal."""
    whole = json.loads((samples / "report.json").read_text())
    variant = whole["variants"][0]
    contents = {
        "nested 100,000 deep": b"[" * 100_000,
        "nested objects": b'{"a":' * 50_000,
        "a number of 5,000 digits": b'{"schema_version": ' + b"9" * 5000 + b"}",
        "infinity": json.dumps({**whole, "noise_floor": [{"format": "tflite", "low": 1e308 * 10, "high": 1}]}).encode(),
        "nothing": b"",
        "half a character": json.dumps({**whole, "warnings": ["\ud800"]}).encode(),
        "a list": b"[1, 2, 3]",
        "a million files": json.dumps({**whole, "variants": [variant] * 3000}).encode(),
        "zeros": bytes(10_000),
        "other types": json.dumps({**whole, "variants": {"a": 1}, "warnings": 3}).encode(),
    }
    for name, content in contents.items():
        yield _write(folder, name, ".json", content)


def recipe_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:  # noqa: ARG001  # as all of them
    """recipe.toml: nesting, numbers and steps without end."""
    step = '[[recipe]]\nsteps = [{ name = "int8" }]\n'
    contents = {
        "nested 100,000 deep": b"a = " + b"[" * 100_000,
        "nested tables": b"[" + b".".join([b"a"] * 5000) + b"]\n",
        "a number of 5,000 digits": b"[settings]\nseed = " + b"9" * 5000 + b"\n",
        "100,000 recipes of no kind": (step.replace("int8", "none") * 100_000).encode(),
        "a step of another type": b"[[recipe]]\nsteps = [3]\n",
        "nan": b"[settings]\nepochs = nan\n" + step.encode(),
        "no text": bytes(range(256)) * 10,
        "another encoding": step.encode("utf-16"),
    }
    for name, content in contents.items():
        yield _write(folder, name, ".toml", content)


def _write(folder: Path, name: str, suffix: str, content: bytes) -> Trap:
    path = folder / f"{''.join(c if c.isalnum() else '_' for c in name)}{suffix}"
    path.write_bytes(content)
    return Trap(name, path)


def _archive(folder: Path, name: str, members: dict[str, bytes | tuple[bytes, int]]) -> Trap:
    """A .npz of these members; a pair stands for bytes with so many zeros behind them."""
    path = folder / f"{''.join(c if c.isalnum() else '_' for c in name)}.npz"
    write_zip(path, members)
    return Trap(name, path)


def write_zip(path: Path, members: dict[str, bytes | tuple[bytes, int]]) -> None:
    """A compressed archive of these members; a pair stands for bytes with so many zeros behind them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for member, content in members.items():
            head, zeros = (content, 0) if isinstance(content, bytes) else content
            with archive.open(member, "w", force_zip64=True) as stream:
                stream.write(head)
                for start in range(0, zeros, 1 << 24):
                    stream.write(bytes(min(1 << 24, zeros - start)))
