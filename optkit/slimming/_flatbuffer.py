"""Writes a flatbuffer in as few bytes as its tables allow.

The schema's own ``Pack`` writes every table and vector as often as it is used, and pads before each. A flatbuffer may
lead to the same table from many places, a table's fields may stand in any order, and so may the tables themselves, as
long as each is behind what leads to it (offsets are unsigned; https://flatbuffers.dev/internals). So ``Pack`` is run
on a ``Recorder`` instead of a builder, which notes each table and vector once, and ``write`` finds each a place where
little padding is needed before it.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Any, NamedTuple

import numpy as np

# Position of the root table, and the identifier.
_HEAD_BYTES = 8
_OFFSET_BYTES = 4
# Alignments are powers of two up to this one.
_MOST_ALIGNMENT = 16
# The schema asks it of tensors' data (``force_align``): some accelerators read them where they are.
_DATA_ALIGNMENT = 16


class Vector(NamedTuple):
    """A vector of numbers, or a string with the zero at its end; the payload is aligned."""

    length: int
    payload: bytes
    alignment: int


class Offsets(NamedTuple):
    """A vector of offsets to other nodes."""

    targets: tuple[int, ...]


class Field(NamedTuple):
    """A field of a table that is not at its default: bytes, or the node that it leads to."""

    slot: int
    value: bytes
    target: int = 0

    @property
    def size(self) -> int:
        """Bytes in the table."""
        return _OFFSET_BYTES if self.target else len(self.value)


class Table(NamedTuple):
    """A table's fields by size, the widest first, so that none needs padding before it."""

    fields: tuple[Field, ...]


Node = Vector | Offsets | Table


class Recorder:
    """Takes the place of ``flatbuffers.Builder`` in a generated ``Pack``; offsets are numbers of nodes, from 1."""

    def __init__(self) -> None:
        self.nodes: dict[Node, int] = {}
        self.root = 0
        self._fields: list[Field] = []
        self._numbers: list[bytes] = []
        self._targets: list[int] = []
        self._alignment = 1

    def _note(self, node: Node) -> int:
        return self.nodes.setdefault(node, len(self.nodes) + 1)

    def StartObject(self, _count: int) -> None:  # noqa: N802 - the builder's interface, as all below
        self._fields = []

    def EndObject(self) -> int:  # noqa: N802
        return self._note(Table(tuple(sorted(self._fields, key=lambda field: (-field.size, field.slot)))))

    def StartVector(self, _size: int, _count: int, alignment: int) -> None:  # noqa: N802
        self._numbers, self._targets, self._alignment = [], [], alignment

    def EndVector(self) -> int:  # noqa: N802
        if self._targets:
            return self._note(Offsets(tuple(reversed(self._targets))))
        return self._vector(len(self._numbers), b"".join(reversed(self._numbers)), self._alignment)

    def CreateNumpyVector(self, values: np.ndarray) -> int:  # noqa: N802
        alignment = _DATA_ALIGNMENT if values.dtype == np.uint8 else values.dtype.itemsize
        return self._vector(values.size, values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(), alignment)

    def CreateString(self, text: bytes | str) -> int:  # noqa: N802
        raw = text.encode() if isinstance(text, str) else bytes(text)
        return self._vector(len(raw), raw + b"\0", 1)

    def PrependUOffsetTRelative(self, target: int) -> None:  # noqa: N802
        self._targets.append(target)

    def PrependUOffsetTRelativeSlot(self, slot: int, target: int, default: int) -> None:  # noqa: N802
        if target != default:
            self._fields.append(Field(slot, b"", target))

    def Finish(self, root: int) -> None:  # noqa: N802
        self.root = root

    def _vector(self, count: int, payload: bytes, alignment: int) -> int:
        # Of an empty vector there is nothing to align.
        return self._note(Vector(count, payload, max(_OFFSET_BYTES, alignment) if count else _OFFSET_BYTES))

    def __getattr__(self, name: str) -> Any:
        """``PrependInt32``, ``PrependInt32Slot`` and their like, of each kind of number."""
        kind = name.removeprefix("Prepend").removesuffix("Slot")
        if not name.startswith("Prepend") or kind not in _NUMBERS:
            raise AttributeError(name)
        pack = struct.Struct(_NUMBERS[kind]).pack

        def in_vector(value: float) -> None:
            self._numbers.append(pack(value))

        def in_table(slot: int, value: float | None, default: float | None) -> None:
            if value != default and value is not None:
                self._fields.append(Field(slot, pack(value)))

        return in_table if name.endswith("Slot") else in_vector


_NUMBERS = {
    "Bool": "<?",
    "Int8": "<b",
    "Uint8": "<B",
    "Byte": "<B",
    "Int16": "<h",
    "Uint16": "<H",
    "Int32": "<i",
    "Uint32": "<I",
    "Int64": "<q",
    "Uint64": "<Q",
    "Float32": "<f",
    "Float64": "<d",
}


class _Place(NamedTuple):
    """Where a part may start: at ``rest`` beyond a multiple of ``alignment``."""

    alignment: int
    rest: int


class _Ready:
    """Parts that can be written now, since all that leads to them has been: by where they may start, and by size."""

    def __init__(self) -> None:
        self._parts: dict[_Place, dict[int, deque[tuple[Any, int]]]] = {}

    def add(self, part: Any, place: _Place, size: int) -> None:
        sizes = self._parts.setdefault(place, {})
        sizes.setdefault(size % _MOST_ALIGNMENT, deque()).append((part, size))

    def __bool__(self) -> bool:
        return bool(self._parts)

    def take(self, position: int) -> tuple[Any, int, int]:
        """The part to write at a position: the one with the least padding, of these the one hardest to place.

        Returns:
            The part, its size, and the padding before it.
        """
        place = min(self._parts, key=lambda one: ((one.rest - position) % one.alignment, -one.alignment))
        padding = (place.rest - position) % place.alignment
        sizes = self._parts[place]
        size = next(iter(sizes))
        strictest = max(self._parts, key=lambda one: one.alignment)
        if strictest != place:
            # What brings the next position to where the hardest to place may start.
            wanted = (strictest.rest - position - padding) % strictest.alignment
            size = next((one for one in sizes if one % strictest.alignment == wanted), size)
        part, length = sizes[size].popleft()
        if not sizes[size]:
            del sizes[size]
        if not sizes:
            del self._parts[place]
        return part, length, padding


def write(recorder: Recorder, identifier: bytes) -> bytes:
    """The file of what was recorded.

    Args:
        recorder: After ``Finish``.
        identifier: The four bytes that say what kind of file it is.
    """
    nodes: dict[int, Node] = {number: node for node, number in recorder.nodes.items()}
    reached = _reached(nodes, recorder.root)
    waiting = dict.fromkeys(reached, 0)
    for number in reached:
        for target in set(_targets(nodes[number])):
            waiting[target] += 1
    ready = _Ready()
    ready.add(recorder.root, *_placing(nodes[recorder.root]))
    # A vtable may stand anywhere: tables lead to it with a signed offset.
    tables = [node for number in reached if isinstance(node := nodes[number], Table)]
    for vtable in dict.fromkeys(_vtable(table) for table in tables):
        ready.add(vtable, _Place(2, 0), len(vtable))
    starts: dict[Any, int] = {}
    position = _HEAD_BYTES
    while ready:
        part, size, padding = ready.take(position)
        starts[part] = position + padding
        position += padding + size
        if isinstance(part, int):
            for target in dict.fromkeys(_targets(nodes[part])):
                waiting[target] -= 1
                if not waiting[target]:
                    ready.add(target, *_placing(nodes[target]))
    content = bytearray(position)
    content[:_HEAD_BYTES] = struct.pack("<I", starts[recorder.root]) + identifier
    for part, start in starts.items():
        raw = _bytes(nodes[part], start, starts) if isinstance(part, int) else part
        content[start : start + len(raw)] = raw
    return bytes(content)


def _reached(nodes: dict[int, Node], root: int) -> list[int]:
    """Numbers of the nodes that the root leads to, each once; others were recorded on the way and are not used."""
    found, left = {root: None}, [root]
    while left:
        for target in _targets(nodes[left.pop()]):
            if target not in found:
                found[target] = None
                left.append(target)
    return list(found)


def _targets(node: Node) -> tuple[int, ...]:
    if isinstance(node, Table):
        return tuple(field.target for field in node.fields if field.target)
    return node.targets if isinstance(node, Offsets) else ()


def _placing(node: Node) -> tuple[_Place, int]:
    """Where a node may start, and its bytes: fields and payloads are behind four bytes that need no alignment of 8."""
    if isinstance(node, Table):
        alignment = max([_OFFSET_BYTES, *(field.size for field in node.fields)])
        size = _OFFSET_BYTES + sum(field.size for field in node.fields)
    elif isinstance(node, Vector):
        alignment, size = node.alignment, _OFFSET_BYTES + len(node.payload)
    else:
        alignment, size = _OFFSET_BYTES, _OFFSET_BYTES * (1 + len(node.targets))
    return _Place(alignment, (alignment - _OFFSET_BYTES) % alignment), size


def _vtable(table: Table) -> bytes:
    """Its length, the table's length, and the position of each field in the table, 0 for one that is not there."""
    count = 1 + max((field.slot for field in table.fields), default=-1)
    positions = [0] * count
    at = _OFFSET_BYTES
    for field in table.fields:
        positions[field.slot] = at
        at += field.size
    return struct.pack(f"<{2 + count}H", 2 * (2 + count), at, *positions)


def _bytes(node: Node, start: int, starts: dict[Any, int]) -> bytes:
    """A node's bytes at its place."""
    if isinstance(node, Vector):
        return struct.pack("<I", node.length) + node.payload
    if isinstance(node, Offsets):
        places = (starts[target] - (start + _OFFSET_BYTES * (1 + at)) for at, target in enumerate(node.targets))
        return struct.pack(f"<{1 + len(node.targets)}I", len(node.targets), *places)
    raw = struct.pack("<i", start - starts[_vtable(node)])
    for field in node.fields:
        raw += struct.pack("<I", starts[field.target] - (start + len(raw))) if field.target else field.value
    return raw
