"""What a model file notes about itself besides its network: who made it, with what, for what."""

from __future__ import annotations

from typing import Any

# A note longer than this is named with its length instead of shown: labels, licences and whole JSON files are kept so.
_LONGEST = 200
_MOST_NOTES = 64


def tflite_notes(model: Any) -> dict[str, str]:
    """Notes of a TFLite file: schema version, description, and each metadata buffer by its name.

    Args:
        model: The unpacked flatbuffer (``ModelT``).
    """
    notes = {"schema version": str(model.version)}
    if model.description:
        notes["description"] = shown(_bytes(model.description))
    for entry in (model.metadata or ())[:_MOST_NOTES]:
        name = _bytes(entry.name).decode("utf-8", "replace")
        buffers = model.buffers
        data = buffers[entry.buffer].data if 0 <= entry.buffer < len(buffers) else None
        # Converters pad texts with zeros.
        notes[name] = shown(b"" if data is None or isinstance(data, int) else bytes(data).rstrip(b"\0"))
    custom = sum(code.customCode is not None for code in model.operatorCodes or ())
    if custom:
        notes["custom operators"] = str(custom)
    if len(model.subgraphs) > 1:
        notes["graphs"] = str(len(model.subgraphs))
    return notes


def onnx_notes(model: Any) -> dict[str, str]:
    """Notes of an ONNX file: versions, producer, operator sets, and its own metadata.

    Args:
        model: The ``ModelProto``.
    """
    sets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    producer = " ".join(filter(None, (model.producer_name, model.producer_version)))
    notes = {
        "IR version": str(model.ir_version),
        "operator sets": sets,
        "producer": producer,
        "graph": model.graph.name,
        "domain": model.domain,
        "model version": str(model.model_version or ""),
        "description": model.doc_string,
    }
    for entry in list(model.metadata_props)[:_MOST_NOTES]:
        notes[entry.key] = entry.value
    if model.functions:
        notes["functions"] = str(len(model.functions))
    return {name: shown(text.encode()) for name, text in notes.items() if text}


def shown(raw: bytes) -> str:
    """A note as text in one line, or what it is where it is long or no text."""
    try:
        text = " ".join(raw.decode().split())
    except UnicodeDecodeError:
        text = ""
    if raw and (not text.isprintable() or not text or len(text) > _LONGEST):
        return f"{len(raw):,} bytes"
    return text


def _bytes(name: bytes | str | None) -> bytes:
    return name.encode() if isinstance(name, str) else name or b""
