"""The writer of slim flatbuffers: everything in its place, aligned, once, and read back the same."""

from __future__ import annotations

import itertools
import struct

import model_files
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from optkit import tflite_schema
from optkit.slimming import _flatbuffer, tflite

SIZES = st.integers(0, 70)


def written(model: object) -> bytes:
    recorder = _flatbuffer.Recorder()
    recorder.Finish(model.Pack(recorder))
    return _flatbuffer.write(recorder, b"TFL3")


def random_model(seed: int, sizes: list[int]) -> schema.ModelT:
    random = np.random.default_rng(seed)
    b = model_files.TFLiteBuilder()
    for position, size in enumerate(sizes):
        # Of few different contents, so that some are equal.
        values = random.integers(0, 3, size, np.uint8)
        scales = list(random.integers(1, 3, 1 + size % 4) / 8)
        dtype = ("INT8", "FLOAT32", "INT64")[size % 3]
        b.tensor(f"tensor {position % 5}", (size,), dtype, values=values, scales=scales, dynamic=size % 2 == 0)
    ports = {f"port {index}": index for index in range(min(2, len(sizes)))}
    b.operator("RANDOM_UNIFORM", [0], [0], "RandomOptions", seed=int(random.integers(0, 1 << 40)), seed2=7)
    b.operator("SOFTMAX", [0], [0], "SoftmaxOptions", beta=float(random.integers(0, 3)))
    b.model.buffers[-1].offset = 1 << 40
    return tflite_schema.parse(b.finish(ports, ports))


@given(st.integers(0, 2**31), st.lists(SIZES, min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_what_is_written_reads_back_the_same_and_is_aligned(seed: int, sizes: list[int]) -> None:
    model = random_model(seed, sizes)
    content = written(model)
    assert tflite.same(tflite_schema.parse(content), model)
    pieces = tflite_schema.pieces(model, content)
    assert not any(piece.unknown for piece in pieces)
    for piece in pieces:
        if piece.owner == "BufferT.data" and piece.payload_bytes:
            assert (piece.start + 4) % 16 == 0
        elif piece.owner == "QuantizationParametersT.zeroPoint":
            assert (piece.start + 4) % 8 == 0
        elif piece.owner:
            assert piece.start % 4 == 0
    # A number of eight bytes in a table that has an offset of four too.
    table = schema.Model.GetRootAs(content, 0)
    buffer = table.Buffers(table.BuffersLength() - 1)._tab
    assert (buffer.Pos + buffer.Offset(6)) % 8 == 0
    # No two parts that can be one, and none that overlaps another.
    starts = sorted({(piece.start, piece.end) for piece in pieces})
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(starts))
    raw = [content[piece.start : piece.end] for piece in set(pieces) if piece.owner.endswith(("data", "name", "scale"))]
    assert len(raw) == len(set(raw))


def test_little_of_it_is_padding() -> None:
    model = random_model(0, list(range(1, 60)))
    content = written(model)
    gaps = [end - start for start, end in tflite_schema.gaps(tflite_schema.pieces(model, content), content)]
    # What ends between multiples of four must be filled up to the next; data at multiples of 16 could need 15 more,
    # each of some 60, where the parts are not put in order.
    assert sum(size > 3 for size in gaps) <= 5
    assert len(content) < len(tflite_schema.serialize(model))


def test_equal_parts_are_written_once() -> None:
    b = model_files.TFLiteBuilder()
    for name in ("x", "y"):
        b.tensor(name, (1, 4, 4, 8), "INT8", scales=[0.5] * 8, zeros=[0] * 8)
    b.operator("RELU", [0], [1])
    two = tflite_schema.parse(b.finish({"x": 0}, {"y": 1}))
    one = len(written(two))
    third = b.tensor("y", (1, 4, 4, 8), "INT8", scales=[0.5] * 8, zeros=[0] * 8)
    assert third == 2
    three = tflite_schema.parse(b.finish({"x": 0}, {"y": 1}))
    # The table is there already: what leads to it is all that is added.
    assert len(written(three)) - one <= 4


def test_every_kind_of_number_that_the_schema_packs_is_known() -> None:
    recorder = _flatbuffer.Recorder()
    for kind in (
        "Bool",
        "Int8",
        "Uint8",
        "Int16",
        "Uint16",
        "Int32",
        "Uint32",
        "Int64",
        "Uint64",
        "Float32",
        "Float64",
    ):
        getattr(recorder, f"Prepend{kind}Slot")(0, 1, 0)
        getattr(recorder, f"Prepend{kind}")(1)
    with pytest.raises(AttributeError):
        recorder.PrependInt128(1)
    with pytest.raises(struct.error):
        recorder.PrependInt8(1000)
