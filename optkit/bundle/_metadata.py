"""What a model file carries about itself: TFLite's published metadata, and ONNX's metadata properties."""

from __future__ import annotations

import io
import json
import zipfile
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from optkit import tflite_schema
from optkit.slimming import tflite as slim_tflite

if TYPE_CHECKING:
    from optkit.bundle import Subject

NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
LABELS_FILE = "labels.txt"
# Every field that is used here is in the first version of the schema.
_PARSER_VERSION = "1.0.0"
_LABELS_OF_AXIS = 2
_FEATURE, _IMAGE = 1, 2
_RGB, _GREY = 1, 2
_NORMALIZATION = 1


class Union(NamedTuple):
    """A field of a union: its kind takes the slot before it."""

    kind: int
    table: Table


class Byte(NamedTuple):
    """A number of one byte."""

    value: int


class Unsigned(NamedTuple):
    """A number of four bytes."""

    value: int


Table = dict[int, Any]
"""Fields by slot in the schema: texts, ``Byte``, ``Unsigned``, ``Union``, tables, and lists of numbers or tables."""


def with_metadata(subject: Subject) -> bytes:
    """The file with its labels and preprocessing in it; as it is where it was slimmed.

    A slim file has given up its names and notes for size: nothing is put back.
    """
    content = subject.path.read_bytes()
    if is_slim(subject):
        return content
    return _tflite(subject, content) if subject.format == "tflite" else _onnx(subject, content)


def notes(subject: Subject) -> tuple[str, ...]:
    """What happened to metadata that the file had already, in words."""
    if subject.format == "tflite" and NAME in subject.facts.metadata:
        return (f"{subject.path.name} had {NAME} of its own: it is replaced by what optkit knows of the model",)
    return ("it is slim and stays so: labels and preprocessing are beside it, not in it",) if is_slim(subject) else ()


def is_slim(subject: Subject) -> bool:
    """Whether what a file notes about itself has been taken out of it."""
    if subject.format == "tflite":
        return not set(subject.facts.metadata) - {"schema version"}
    return "producer" not in subject.facts.metadata


def _tflite(subject: Subject, content: bytes) -> bytes:
    """Written with the published schema (metadata_schema.fbs, M001); the labels are a ZIP archive at the end."""
    from ai_edge_litert import schema_py_generated as schema

    model = tflite_schema.parse(content)
    model.metadata = [one for one in model.metadata or [] if one.name not in {NAME, NAME.encode()}]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(packed(_described(subject)), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = NAME.encode(), len(model.buffers) - 1
    model.metadata.append(entry)
    written = slim_tflite.write(model)
    if not subject.class_names:
        return written
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packer:
        # Android maps them where they are: not compressed, and with a fixed date.
        labels = "".join(f"{name}\n" for name in subject.class_names)
        packer.writestr(zipfile.ZipInfo(LABELS_FILE, (1980, 1, 1, 0, 0, 0)), labels)
    # Positions in the archive are counted from where it begins; readers of ZIP find that from its end.
    return written + archive.getvalue()


def _described(subject: Subject) -> Table:
    """ModelMetadata."""
    fed = subject.preprocessing
    mean = [value / fed.scale for value in fed.mean or (0.0,)]
    deviation = [value / fed.scale for value in fed.std or (1.0,)]
    shape = subject.given.shape
    is_picture = len(shape) == 4 and shape[-1] in {1, 3}
    content: Table = {1: Union(_FEATURE, {})}
    if is_picture:
        size: Table = {0: Unsigned(max(shape[2], 0)), 1: Unsigned(max(shape[1], 0))}
        content = {1: Union(_IMAGE, {0: Byte(_RGB if shape[-1] == 3 else _GREY), 1: size})}
    given: Table = {
        0: subject.given.name or "input",
        1: "Raw values; (raw - mean) / std are the real inputs, which integer inputs quantize.",
        3: content,
        4: [{1: Union(_NORMALIZATION, {0: mean, 1: deviation})}],
    }
    labels: Table = {0: LABELS_FILE, 1: "Names of the classes, one a line.", 2: Byte(_LABELS_OF_AXIS)}
    found: Table = {
        0: subject.found.name or "output",
        1: f"{subject.task.kind}: {subject.task.outputs}.",
        3: {1: Union(_FEATURE, {})},
    }
    if subject.class_names:
        found[6] = [labels]
    return {
        0: subject.name,
        1: f"Trained on {subject.data.name}; preprocessing: {json.dumps(msgspec.to_builtins(fed), sort_keys=True)}",
        3: [{2: [given], 3: [found]}],
        4: f"optkit {version('optkit')}",
        5: f"Data: {subject.licence}",
        7: _PARSER_VERSION,
    }


def packed(table: Table) -> bytes:
    """The flatbuffer of a table, as the schema's root."""
    import flatbuffers

    builder = flatbuffers.Builder(512)
    builder.Finish(_table(builder, table), IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, fields: Table) -> int:
    """Write what the fields lead to, then the table; its position."""
    ready = {slot: _target(builder, value) for slot, value in fields.items()}
    # The union's kind has the slot before the union's own.
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, value in sorted(fields.items()):
        match value:
            case Byte():
                builder.PrependInt8Slot(slot, value.value, 0)
            case Unsigned():
                builder.PrependUint32Slot(slot, value.value, 0)
            case Union():
                builder.PrependUint8Slot(slot - 1, value.kind, 0)
                builder.PrependUOffsetTRelativeSlot(slot, ready[slot], 0)
            case _:
                builder.PrependUOffsetTRelativeSlot(slot, ready[slot], 0)
    return int(builder.EndObject())


def _target(builder: Any, value: Any) -> int:
    """Write what a field leads to; 0 for what stands in the table itself."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Union):
        return _table(builder, value.table)
    if isinstance(value, dict):
        return _table(builder, value)
    if not isinstance(value, list):
        return 0
    if isinstance(value[0], float):
        builder.StartVector(4, len(value), 4)
        for one in reversed(value):
            builder.PrependFloat32(one)
        return int(builder.EndVector())
    positions = [_table(builder, one) for one in value]
    builder.StartVector(4, len(positions), 4)
    for position in reversed(positions):
        builder.PrependUOffsetTRelative(position)
    return int(builder.EndVector())


def _onnx(subject: Subject, content: bytes) -> bytes:
    """With properties ``optkit.labels``, ``optkit.preprocessing``, …, each JSON."""
    import onnx

    model = onnx.load_from_string(content)
    properties = {
        "optkit.labels": list(subject.class_names),
        "optkit.preprocessing": msgspec.to_builtins(subject.preprocessing),
        "optkit.task": {"kind": subject.task.kind, "outputs": subject.task.outputs},
        "optkit.variant": subject.name,
        "optkit.data": {"name": subject.data.name, "licence": subject.licence},
    }
    kept = [one for one in model.metadata_props if one.key not in properties]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in properties.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value, sort_keys=True, ensure_ascii=False)
    written: bytes = model.SerializeToString(deterministic=True)
    return written
