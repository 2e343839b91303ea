"""Slimmer TFLite files: what goes, what stays, and what is refused by name."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import model_files
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from optkit import readback, slimming, tflite_schema
from optkit.errors import InputError
from optkit.slimming import _flatbuffer, tflite
from optkit.verify import identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRECISIONS = ("fp32", "fp16", "int8")


def slim(content: bytes, *keep: str) -> slimming.Slimmed:
    return slimming.slim(content, "tflite", keep=keep)


def same(tmp_path: Path, before: bytes, after: bytes, *, images: np.ndarray | None = None) -> identity.Identity:
    paths = [tmp_path / "before.tflite", tmp_path / "after.tflite"]
    for path, content in zip(paths, (before, after), strict=True):
        path.write_bytes(content)
    return identity.compare(*paths, images=images)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_slim_file_is_smaller_and_answers_the_same(tmp_path: Path, precision: str) -> None:
    before = model_files.write_tflite(tmp_path, model_files.network(), precision).read_bytes()
    after = slim(before)
    assert len(after.content) < len(before) - 600
    assert sum(after.saved.values()) == len(before) - len(after.content)
    found = same(tmp_path, before, after.content, images=model_files.images()[:300])
    assert (found.difference, found.inputs, found.kind) == (None, 300, "real")
    assert found.kernels == ("XNNPACK", "LiteRT's own kernels")
    assert found.distinct > 200
    assert found.batches == (1, 3)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_slimming_again_changes_nothing(tmp_path: Path, precision: str) -> None:
    before = model_files.write_tflite(tmp_path, model_files.network(), precision).read_bytes()
    once = slim(before)
    again = slim(once.content)
    assert again.content == once.content
    assert set(again.saved.values()) == {0}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_and_operators_stay_but_for_the_flattening(tmp_path: Path, precision: str) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), precision)
    before = readback.read(path)
    path.write_bytes(slim(path.read_bytes()).content)
    after = readback.read(path)
    assert [one.kind for one in after.operators] == [one.kind for one in before.operators if one.kind != "RESHAPE"]
    kept = [(one.role, one.dtype, one.values.tobytes()) for one in before.constants if one.name != "shape"]
    assert [(one.role, one.dtype, one.values.tobytes()) for one in after.constants] == kept
    assert (after.name_bytes, after.signatures) == (0, {})
    assert sum(readback.bytes_by_kind(after).values()) == after.file_bytes
    assert min(readback.bytes_by_kind(after).values()) >= 0


def test_what_is_kept_is_there(tmp_path: Path) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "int8")
    content, before = path.read_bytes(), readback.read(path)
    sizes = {}
    for kind in tflite.KEEPS:
        path.write_bytes(slim(content, kind).content)
        sizes[kind] = readback.read(path)
    assert sizes["signatures"].signatures == before.signatures
    assert [port.name for port in sizes["names"].inputs] == [port.name for port in before.inputs]
    assert sizes["shapes"].inputs[0].shape == (-1, 28, 28, 1)
    assert sizes["ranges"].inputs[0].shape == (1, 28, 28, 1)
    path.write_bytes(slim(content, *tflite.KEEPS).content)
    everything = readback.read(path)
    assert everything.signatures == before.signatures
    assert everything.inputs == before.inputs
    assert everything.file_bytes < before.file_bytes


def test_an_unknown_kind_to_keep_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean signatures"):
        slim(b"", "signature")


def test_what_is_dropped_is_told(tmp_path: Path) -> None:
    content = model_files.write_tflite(tmp_path, model_files.network(), "fp32").read_bytes()
    notes = " / ".join(slim(content).notes)
    assert "signature 'serving_default' (image → digit) is dropped" in notes
    assert "any size" in notes
    assert "serving_default" not in " / ".join(slim(content, "signatures").notes)


def changed(content: bytes, change: Callable[[Any], object]) -> bytes:
    model = tflite_schema.parse(content)
    change(model)
    return tflite_schema.serialize(model)


def flat_model(**options: Any) -> tuple[model_files.TFLiteBuilder, dict[str, int]]:
    """A RESHAPE before a dense layer."""
    b = model_files.TFLiteBuilder()
    random = np.random.default_rng(0)
    ids = {
        "x": b.tensor("x", (1, 2, 3)),
        "shape": b.tensor("shape", (2,), "INT32", values=np.array([1, 6], np.int32)),
        "flat": b.tensor("flat", (1, 6)),
        "kernel": b.tensor("kernel", (4, 6), values=random.normal(size=(4, 6)).astype(np.float32)),
        "y": b.tensor("y", (1, 4)),
    }
    b.operator("RESHAPE", [ids["x"], ids["shape"]], [ids["flat"]], "ReshapeOptions", newShape=[1, 6])
    b.operator("FULLY_CONNECTED", [ids["flat"], ids["kernel"], -1], [ids["y"]], "FullyConnectedOptions", **options)
    return b, ids


def kinds(content: bytes, tmp_path: Path) -> list[str]:
    path = tmp_path / "kinds.tflite"
    path.write_bytes(content)
    return [one.kind for one in readback.read(path).operators]


def test_a_flattening_before_a_dense_layer_goes(tmp_path: Path) -> None:
    b, ids = flat_model()
    content = b.finish({"x": ids["x"]}, {"y": ids["y"]})
    after = slim(content).content
    assert kinds(after, tmp_path) == ["FULLY_CONNECTED"]
    assert same(tmp_path, content, after).difference is None


def test_a_flattening_that_something_else_needs_stays(tmp_path: Path) -> None:
    def stays(content: bytes) -> bool:
        after = slim(content).content
        assert same(tmp_path, content, after).difference is None
        return "RESHAPE" in kinds(after, tmp_path)

    b, ids = flat_model()
    assert stays(b.finish({"x": ids["x"]}, {"y": ids["y"], "flat": ids["flat"]}))
    b, ids = flat_model(keepNumDims=True)
    assert stays(b.finish({"x": ids["x"]}, {"y": ids["y"]}))
    b, ids = flat_model()
    other = b.tensor("other", (1, 6))
    b.operator("RELU", [ids["flat"]], [other])
    assert stays(b.finish({"x": ids["x"]}, {"y": ids["y"], "other": other}))
    b, ids = flat_model()
    b.graph.tensors[ids["x"]].shape, b.graph.tensors[ids["flat"]].shape = [2, 1, 3], [1, 6]
    assert stays(b.finish({"x": ids["x"]}, {"y": ids["y"]}))


def test_equal_and_unused_buffers_codes_and_tensors_go(tmp_path: Path) -> None:
    b = model_files.TFLiteBuilder()
    x, y, z = (b.tensor(name, (1, 4)) for name in "xyz")
    one, two = (b.tensor(name, (4,), values=np.arange(4, dtype=np.float32)) for name in ("one", "two"))
    b.tensor("unused", (64,), values=np.ones(64, np.float32))
    b.operator("ADD", [x, one], [y], "AddOptions")
    b.operator("ADD", [y, two], [z], "AddOptions")
    b.model.operatorCodes.append(copy.copy(b.model.operatorCodes[0]))
    content = b.finish({"x": x}, {"z": z})
    after = slim(content).content
    model = tflite_schema.parse(after)
    assert len(model.operatorCodes) == 1
    assert len(model.buffers) == 2
    assert len(model.subgraphs[0].tensors) == 5
    assert same(tmp_path, content, after).difference is None


def test_a_stored_tensor_of_no_values_stays_stored() -> None:
    # The shape of a scalar has no values; it is not the same as a tensor that is computed.
    b = model_files.TFLiteBuilder()
    x, y = b.tensor("x", (1,)), b.tensor("y", ())
    shape = b.tensor("shape", (0,), "INT32", values=np.zeros(0, np.int32))
    b.operator("RESHAPE", [x, shape], [y], "ReshapeOptions", newShape=[])
    model = tflite_schema.parse(slim(b.finish({"x": x}, {"y": y})).content)
    stored = model.buffers[model.subgraphs[0].tensors[2].buffer]
    assert stored.data is not None
    assert model.buffers[model.subgraphs[0].tensors[0].buffer].data is None


def test_metadata_that_runtimes_act_on_stay(tmp_path: Path) -> None:
    content = model_files.write_tflite(tmp_path, model_files.network(), "fp32").read_bytes()

    def note(model: Any) -> None:
        model.metadata = []
        for name in ("labels", "reduced_precision_support", "model_control_dependencies"):
            entry, buffer = schema.MetadataT(), schema.BufferT()
            buffer.data = np.frombuffer(name.encode(), np.uint8)
            model.buffers.append(buffer)
            entry.name, entry.buffer = name, len(model.buffers) - 1
            model.metadata.append(entry)

    after = slim(changed(content, note))
    model = tflite_schema.parse(after.content)
    names = [entry.name.decode() for entry in model.metadata]
    assert names == ["reduced_precision_support", "model_control_dependencies"]
    assert [bytes(model.buffers[entry.buffer].data).decode() for entry in model.metadata] == names
    # They speak of operators by their numbers.
    assert "RESHAPE" in kinds(after.content, tmp_path)


def _second_signature(model: Any) -> None:
    model.signatureDefs = [model.signatureDefs[0], copy.copy(model.signatureDefs[0])]


def _outside(model: Any) -> None:
    model.buffers[1].offset, model.buffers[1].size = 4096, 64


def _external(model: Any) -> None:
    model.subgraphs[0].tensors[0].externalBuffer = 1


def _custom_options(model: Any) -> None:
    model.subgraphs[0].operators[0].largeCustomOptionsOffset = 4096


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_second_signature, "2 signatures"),
        (_outside, "outside the flatbuffer"),
        (_external, "external buffers"),
        (_custom_options, "custom options"),
    ],
)
def test_what_is_not_handled_is_refused_by_name(tmp_path: Path, change: Callable[[Any], object], words: str) -> None:
    content = model_files.write_tflite(tmp_path, model_files.network(), "fp32").read_bytes()
    with pytest.raises(InputError, match=words):
        slim(changed(content, change))


def test_fields_that_the_schema_does_not_know_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    b = model_files.TFLiteBuilder()
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    b.operator("RELU", [x], [y])
    model = tflite_schema.parse(b.finish({"x": x}, {"y": y}))
    pack = schema.SubGraphT.Pack

    def with_more(self: Any, builder: Any) -> int:
        end = builder.EndObject

        def more() -> int:
            builder.PrependInt32Slot(30, 7, 0)
            return end()

        builder.EndObject = more
        monkeypatch.setattr(schema, "SubGraphEnd", lambda one: one.EndObject())
        try:
            return pack(self, builder)
        finally:
            builder.EndObject = end

    recorder = _flatbuffer.Recorder()
    monkeypatch.setattr(schema.SubGraphT, "Pack", with_more)
    recorder.Finish(model.Pack(recorder))
    content = _flatbuffer.write(recorder, b"TFL3")
    with pytest.raises(InputError, match="does not know"):
        slim(content)


@pytest.mark.parametrize("field", ["inputs", "outputs", "operator inputs", "buffer", "code", "signature", "metadata"])
def test_numbers_that_lead_nowhere_are_refused(tmp_path: Path, field: str) -> None:
    content = model_files.write_tflite(tmp_path, model_files.network(), "fp32").read_bytes()

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        if field in {"inputs", "outputs"}:
            setattr(graph, field, [999])
        elif field == "operator inputs":
            graph.operators[0].inputs = [-2, 1, 2]
        elif field == "buffer":
            graph.tensors[3].buffer = 999
        elif field == "code":
            graph.operators[0].opcodeIndex = 999
        elif field == "signature":
            model.signatureDefs[0].inputs[0].tensorIndex = 999
        else:
            model.metadata = [schema.MetadataT()]
            model.metadata[0].buffer = 999

    with pytest.raises(InputError, match="it leads to"):
        slim(changed(content, change))


@pytest.mark.parametrize("content", [b"", b"no model", bytes(3000)])
def test_what_is_no_tflite_file_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="expected a TFLite file"):
        slim(content)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    content = model_files.write_tflite(tmp_path, model_files.network(), "fp32").read_bytes()
    refused = 0
    for size in range(16, len(content), len(content) // 40):
        try:
            slim(content[:size])
        except InputError:
            refused += 1
    # A cut in the weights at the end may leave a file that is whole to the parser.
    assert refused > 20


def test_appended_files_go_unless_metadata_are_kept(tmp_path: Path) -> None:
    import io
    import zipfile

    content = model_files.write_tflite(tmp_path, model_files.network(), "fp32").read_bytes()
    archive = io.BytesIO(content)
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a") as stream:
        stream.writestr("labels.txt", "zero\none\n" * 100)
    packed = archive.getvalue()
    after = slim(packed)
    assert after.content == slim(content).content
    assert any("appended" in note for note in after.notes)
    with pytest.raises(InputError, match="appended"):
        slim(packed, "metadata")
