"""Padding of a TFLite file is what nothing reads: other bytes in its place change neither the facts nor the answers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import model_files
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from optkit import readback, runtimes
from optkit.tflite_schema import gaps, pieces

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_is_called_padding_is_read_by_nobody_and_the_rest_is(tmp_path: Path, precision: str) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), precision)
    data, pictures = path.read_bytes(), model_files.images()[:20]
    before, answers = readback.read(path), runtimes.predict(runtimes.open_model(path), pictures)
    found = gaps(pieces(schema.ModelT.InitFromPackedBuf(data), data), data)
    assert before.padding_bytes == sum(end - start for start, end in found) > 0
    assert readback.bytes_by_kind(before)["padding"] == before.padding_bytes
    other = bytearray(data)
    for start, end in found:
        # What a table or a vector took would hardly be zero everywhere.
        assert not any(data[start:end])
        # Beyond 15 bytes nothing has to move.
        assert 0 < end - start < 16
        other[start:end] = b"\xff" * (end - start)
    path.write_bytes(other)
    assert np.array_equal(runtimes.predict(runtimes.open_model(path), pictures), answers)
    after = readback.read(path)
    assert (after.operators, after.signatures, after.metadata) == (before.operators, before.signatures, before.metadata)


def test_a_file_with_a_known_gap() -> None:
    # Root position, identifier, 100 bytes of nothing, vtable (its length, the table's length, where "version" is),
    # two bytes of nothing, and the table: how far back its vtable is, and the version.
    vtable = struct.pack("<HHH", 6, 8, 4)
    head = struct.pack("<I", 8 + 100 + len(vtable) + 2) + b"TFL3"
    data = head + bytes(100) + vtable + bytes(2) + struct.pack("<iI", len(vtable) + 2, 3)
    model = schema.ModelT.InitFromPackedBuf(data)
    assert model.version == 3
    assert gaps(pieces(model, data), data) == [(8, 108), (114, 116)]
    assert gaps(pieces(model, data + bytes(5)), data + bytes(5))[-1] == (124, 129)


def test_bytes_after_the_flatbuffer_that_a_buffer_claims_are_no_padding() -> None:
    b = model_files.TFLiteBuilder()
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    b.operator("RELU", [x], [y])
    late = schema.BufferT()
    # The place is settled by packing twice, since the positions have a fixed width.
    late.offset, late.size = 1 << 20, 64
    b.model.buffers.append(late)
    late.offset = len(b.finish({"x": x}, {"y": y}))
    data = b.finish({"x": x}, {"y": y})
    model = schema.ModelT.InitFromPackedBuf(data)
    assert gaps(pieces(model, data + bytes(64)), data + bytes(64)) == gaps(pieces(model, data), data)
    assert gaps(pieces(model, data + bytes(80)), data + bytes(80))[-1] == (len(data) + 64, len(data) + 80)
