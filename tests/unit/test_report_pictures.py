from __future__ import annotations

import base64
import struct
import zlib

import pytest

from optkit.report.pictures import encode_png


def decode(text: str) -> tuple[int, int, int, bytes]:
    """Width, height, colour type and raw rows, with every chunk's checksum checked."""
    data = base64.b64decode(text, validate=True)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8
    return width, height, colour, zlib.decompress(chunks[b"IDAT"])


@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (3, 2)])
def test_pixels_come_back(channels: int, colour: int) -> None:
    pixels = bytes(range(3 * 2 * channels))
    width, height, found, raw = decode(encode_png(pixels, width=3, height=2, channels=channels))
    assert (width, height, found) == (3, 2, colour)
    stride = 3 * channels
    assert raw == b"\0" + pixels[:stride] + b"\0" + pixels[stride:]


@pytest.mark.parametrize(("pixels", "channels"), [(b"\0" * 5, 1), (b"\0" * 6, 3), (b"\0" * 12, 2)])
def test_a_shape_that_does_not_fit_is_refused(pixels: bytes, channels: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        encode_png(pixels, width=3, height=2, channels=channels)
