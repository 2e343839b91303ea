"""Bytes of a TFLite file that hold nothing: they move what is behind them to a multiple of 4, 8 or 16.

A flatbuffer (https://flatbuffers.dev/internals) is made of tables, their lists of field positions (vtables), vectors
and strings. What none of these takes is padding. Fields inside a table that are moved likewise count to the table.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

# Position of the root table, and the identifier.
_HEAD_BYTES = 8


class _Piece(NamedTuple):
    start: int
    end: int


def gaps(model: Any, data: bytes) -> list[tuple[int, int]]:
    """Where a file has padding.

    Args:
        model: The file's ``ModelT``, whose attributes are the fields of its tables in the schema's order.
        data: The file.

    Returns:
        First byte, and the one after the last, of each stretch, in order.

    Raises:
        struct.error: A table leads outside the file.
    """
    pieces = [_Piece(0, _HEAD_BYTES)]
    _table(model, _position(data, 0), data, pieces)
    late = [buffer for buffer in model.buffers or () if buffer.offset > 1]
    pieces += [_Piece(buffer.offset, buffer.offset + buffer.size) for buffer in late]
    pieces.append(_Piece(len(data), len(data)))
    found, reached = [], 0
    # Equal vtables, strings and vectors may be stored once and used often.
    for start, end in sorted(pieces):
        if start > reached:
            found.append((reached, start))
        reached = max(reached, end)
    return found


def _table(record: Any, at: int, data: bytes, pieces: list[_Piece]) -> None:
    """Note a table, its vtable and everything that its fields lead to."""
    vtable = at - struct.unpack_from("<i", data, at)[0]
    vtable_bytes, table_bytes = struct.unpack_from("<HH", data, vtable)
    pieces += [_Piece(vtable, vtable + vtable_bytes), _Piece(at, at + table_bytes)]
    slots = struct.unpack_from(f"<{vtable_bytes // 2 - 2}H", data, vtable + 4)
    # A field that the schema has and the file does not has no slot, or 0 in it.
    for value, field in zip(vars(record).values(), slots, strict=False):
        if field:
            _field(value, at + field, data, pieces)


def _field(value: Any, at: int, data: bytes, pieces: list[_Piece]) -> None:
    """Note what a field leads to; numbers stand in the table itself."""
    if isinstance(value, (bool, int, float)) or value is None:
        return
    target = _position(data, at)
    if isinstance(value, (bytes, str)):
        (length,) = struct.unpack_from("<I", data, target)
        # The zero at the end is not counted in the length.
        pieces.append(_Piece(target, target + 4 + length + 1))
    elif isinstance(value, np.ndarray):
        pieces.append(_Piece(target, target + 4 + value.nbytes))
    elif isinstance(value, list):
        pieces.append(_Piece(target, target + 4 + 4 * len(value)))
        for index, one in enumerate(value):
            _field(one, target + 4 + 4 * index, data, pieces)
    else:
        _table(value, target, data, pieces)


def _position(data: bytes, at: int) -> int:
    """Where the offset at a position leads."""
    return at + int(struct.unpack_from("<I", data, at)[0])
