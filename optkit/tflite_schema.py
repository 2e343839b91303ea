"""TFLite files as the objects of their schema, and what each stretch of their bytes is.

A flatbuffer (https://flatbuffers.dev/internals) is made of tables, their lists of field positions (vtables), vectors
and strings; the schema (https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs) says
what is in which. It comes with LiteRT, so that nothing here needs TensorFlow.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IDENTIFIER = b"TFL3"
# The smallest file that can hold a root offset, the identifier and a table.
_SMALLEST_BYTES = 16
# Position of the root table, and the identifier.
_HEAD_BYTES = 8
# What the generated parser raises when an offset or a length in the bytes leads outside them.
_PARSER_ERRORS = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    KeyError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    MemoryError,
    RecursionError,
)


class Piece(NamedTuple):
    """A stretch of a file that something takes, from its first byte to the one after the last.

    ``owner`` is ``Record.field`` of what leads there (``TensorT.name``); empty for vtables and the file's head.
    ``payload_bytes`` are those of a string's characters or a vector's values, ``unknown`` says of a vtable that it
    has fields which the schema does not know.
    """

    start: int
    end: int
    owner: str = ""
    payload_bytes: int = 0
    unknown: bool = False


@contextmanager
def damage_named(subject: object, data: bytes) -> Iterator[None]:
    """Turn whatever reading damaged bytes raises into one line.

    Raises:
        InputError: With what the file is called.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{subject} is a damaged TFLite file: {error}; export the model again") from error
    except _PARSER_ERRORS as error:
        raise InputError(
            f"{subject} is a damaged TFLite file of {len(data)} bytes: an offset in it leads outside the file; "
            "export the model again"
        ) from error


def check_identifier(data: bytes, subject: object) -> None:
    """Stop at bytes that are no TFLite file at all.

    Raises:
        InputError: They are none.
    """
    if len(data) < _SMALLEST_BYTES or data[4:8] != IDENTIFIER:
        what = "is empty" if not data else f"has {len(data)} bytes and not the identifier 'TFL3' at byte 4"
        raise InputError(f"expected a TFLite file; {subject} {what}; export the model again")


def parse(data: bytes) -> Any:
    """The ``ModelT`` of a file. Bytes that are damaged raise what ``damage_named`` catches."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(data)


def serialize(model: Any) -> bytes:
    """The file of a ``ModelT``, written as the schema's own builder does."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


@cache
def names_of(enumeration: str) -> dict[int, str]:
    """Names of an enumeration of the schema (``BuiltinOperator``, ``TensorType``) by their number."""
    from ai_edge_litert import schema_py_generated as schema

    return {code: name for name, code in vars(getattr(schema, enumeration)).items() if not name.startswith("_")}


def pieces(model: Any, data: bytes) -> list[Piece]:
    """What takes bytes in a file, in the order of the bytes; equal parts may be stored once and led to often.

    Args:
        model: The file's ``ModelT``, whose attributes are the fields of its tables in the schema's order.
        data: The file.

    Raises:
        struct.error: A table leads outside the file.
    """
    found = [Piece(0, _HEAD_BYTES)]
    _table(model, "", _position(data, 0), data, found)
    # Files over 2 GiB keep tensors after the flatbuffer, where its 32-bit offsets do not reach.
    late = [buffer for buffer in model.buffers or () if buffer.offset > 1]
    found += [Piece(buffer.offset, buffer.offset + buffer.size, "late") for buffer in late]
    return sorted(set(found))


def gaps(found: Iterable[Piece], data: bytes) -> list[tuple[int, int]]:
    """The stretches that nothing takes: they move what is behind them to a multiple of 4, 8 or 16.

    Fields inside a table that are moved likewise count to the table.

    Args:
        found: What ``pieces`` returned.
        data: The file.

    Returns:
        First byte, and the one after the last, of each stretch, in order.
    """
    empty, reached = [], 0
    for piece in [*found, Piece(len(data), len(data))]:
        if piece.start > reached:
            empty.append((reached, piece.start))
        reached = max(reached, piece.end)
    return empty


def _table(record: Any, owner: str, at: int, data: bytes, found: list[Piece]) -> None:
    """Note a table, its vtable and everything that its fields lead to."""
    vtable = at - struct.unpack_from("<i", data, at)[0]
    vtable_bytes, table_bytes = struct.unpack_from("<HH", data, vtable)
    slots = struct.unpack_from(f"<{vtable_bytes // 2 - 2}H", data, vtable + 4)
    fields = vars(record)
    # An option of a kind that the schema does not know is there and has no value.
    unknown = any(slots[len(fields) :]) or any(
        slot and value is None for value, slot in zip(fields.values(), slots, strict=False)
    )
    found += [Piece(vtable, vtable + vtable_bytes, unknown=unknown), Piece(at, at + table_bytes, owner)]
    # A field that the schema has and the file does not has no slot, or 0 in it.
    for (name, value), field in zip(fields.items(), slots, strict=False):
        if field:
            _field(value, f"{type(record).__name__}.{name}", at + field, data, found)


def _field(value: Any, owner: str, at: int, data: bytes, found: list[Piece]) -> None:
    """Note what a field leads to; numbers stand in the table itself."""
    if isinstance(value, (bool, int, float)) or value is None:
        return
    target = _position(data, at)
    if isinstance(value, (bytes, str)):
        (length,) = struct.unpack_from("<I", data, target)
        # The zero at the end is not counted in the length.
        found.append(Piece(target, target + 4 + length + 1, owner, length))
    elif isinstance(value, np.ndarray):
        found.append(Piece(target, target + 4 + value.nbytes, owner, value.nbytes))
    elif isinstance(value, list):
        found.append(Piece(target, target + 4 + 4 * len(value), owner))
        for index, one in enumerate(value):
            _field(one, owner, target + 4 + 4 * index, data, found)
    else:
        _table(value, owner, target, data, found)


def _position(data: bytes, at: int) -> int:
    """Where the offset at a position leads."""
    return at + int(struct.unpack_from("<I", data, at)[0])
