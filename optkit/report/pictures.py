"""Small pictures for the page, as PNG in base64, so that the page is drawn from report.json alone.

Written with zlib instead of an imaging library: a grey 28×28 picture is one header and one compressed block.
"""

from __future__ import annotations

import base64
import struct
import zlib

# Colour types of the PNG specification (section 11.2.2), by channels per pixel.
_COLOUR_TYPES = {1: 0, 3: 2}


def encode_png(pixels: bytes, *, width: int, height: int, channels: int = 1) -> str:
    """One picture as a PNG file in base64 (about 400 characters for an MNIST digit).

    Args:
        pixels: uint8 values [row, column, channel], row by row.
        width: Columns.
        height: Rows.
        channels: 1 for grey, 3 for red, green, blue.

    Raises:
        ValueError: The number of values does not fit the shape, or the channels are neither 1 nor 3.
    """
    if channels not in _COLOUR_TYPES:
        raise ValueError(f"expected 1 or 3 channels, found {channels}")
    stride = width * channels
    if len(pixels) != stride * height:
        raise ValueError(f"expected {stride * height} bytes for {width}×{height}×{channels}, found {len(pixels)}")
    # Each row starts with its filter type; 0 (none) compresses a mostly black picture best.
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode("ascii")
