"""Slimmer TFLite files: what no kernel reads goes, equal parts are stored once, and little padding is left."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import tflite_schema
from optkit.errors import InputError
from optkit.slimming import Slimmed, _flatbuffer, _tflite_operators, _tflite_scales
from optkit.slimming import _tflite_records as records

if TYPE_CHECKING:
    from collections.abc import Callable

SUMMARY = (
    "Drops names, signatures, metadata, declared shapes and ranges, equal and empty buffers, and what no operator "
    "needs; stores equal tables and vectors once."
)
SOURCE = "https://flatbuffers.dev/internals: offsets may share what they lead to"
FORMAT = "tflite"
KEEPS = {
    "signatures": "the signature, by which programs may name inputs and outputs",
    "names": "names of tensors and graphs",
    "metadata": "description and metadata, such as labels",
    "shapes": "declared shapes with an axis of any size; the input can be resized without",
    "ranges": "the least and the largest value seen in calibration, which quantizers read",
}

SHARING = "equal tables and vectors stored once, less padding"
# Metadata that runtimes act on: the order of operators that a graph alone does not tell, and permission to compute in
# half precision.
_ACTED_ON = {b"model_control_dependencies", b"reduced_precision_support"}
# Offsets of a flatbuffer are read with 31 bits in places.
_MOST_BYTES = 2**31 - 1


def slim(content: bytes, keep: frozenset[str]) -> Slimmed:
    """Make a TFLite file smaller; see :mod:`optkit.slimming`.

    Raises:
        InputError: It is damaged, or has one of these, which are not handled: more than one signature, tensors or
            options outside the flatbuffer, fields that the schema does not know, more than 2 GiB.
    """
    model = read(content)
    kept_because = [_appended_files(content, keep)]
    saved = {}
    size = len(content)
    notes = [note for kind, note in _missed(model).items() if kind not in keep]
    ordered = any(records.raw(entry.name) == b"model_control_dependencies" for entry in model.metadata or ())
    if ordered:
        kept_because.append("its metadata order the operators by their numbers: none is left out")
    for kind, step in _steps(keep, ordered=ordered).items():
        step(model)
        result = write(model)
        saved[kind] = size - len(result)
        size = len(result)
    return Slimmed(result, saved, (*notes, *filter(None, kept_because)))


def merge_scales(content: bytes) -> Slimmed:
    """Give each int8 kernel one scale for all its output channels, and its bias the one that follows.

    Raises:
        InputError: It is damaged, or has something that is not handled.
    """
    model = read(content)
    notes = _tflite_scales.merge(model)
    result = write(model)
    return Slimmed(result, {"one scale for each kernel": len(content) - len(result)}, notes)


def read(content: bytes) -> Any:
    """The ``ModelT`` of a file that can be written again without losing anything of it.

    Raises:
        InputError: It is damaged, or has something that is not handled.
    """
    tflite_schema.check_identifier(content, "the file")
    with tflite_schema.damage_named("it", content):
        model = tflite_schema.parse(content)
        found = tflite_schema.pieces(model, content)
        records.check_indices(model)
    for fault in _not_handled(model, content, found):
        raise InputError(f"expected a TFLite file that can be written again as it is, found one {fault}")
    return model


def write(model: Any) -> bytes:
    """The file of a ``ModelT``, in few bytes, read back and compared.

    Raises:
        InputError: What was read back is something else.
    """
    recorder = _flatbuffer.Recorder()
    recorder.Finish(model.Pack(recorder))
    content = _flatbuffer.write(recorder, tflite_schema.IDENTIFIER)
    if not same(tflite_schema.parse(content), model):
        raise InputError("expected to read back what was written, found something else; nothing can be saved here")
    return content


def same(one: Any, other: Any) -> bool:
    """Whether two records, or parts of them, hold the same; a vector may be a list or an array."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one is not None and other is not None and np.array_equal(np.asarray(one), np.asarray(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__dict__") and type(one) is type(other):
        return all(same(value, vars(other)[name]) for name, value in vars(one).items())
    return bool(one == other)


def _steps(keep: frozenset[str], *, ordered: bool) -> dict[str, Callable[[Any], object]]:
    """What is done, in order, by what it saves."""
    steps: dict[str, tuple[str, Callable[[Any], object]]] = {
        SHARING: ("", lambda _: None),
        "operators, tensors and codes that nothing needs": ("", lambda model: _tidy(model, ordered=ordered)),
        "names of tensors and graphs": ("names", _drop_names),
        "signatures": ("signatures", _drop_signatures),
        "metadata and description": ("metadata", _drop_metadata),
        "declared shapes": ("shapes", _drop_shapes),
        "ranges of calibration": ("ranges", _drop_ranges),
        "empty, equal and unused buffers": ("", _share_buffers),
    }
    return {kind: step for kind, (kept, step) in steps.items() if kept not in keep}


def _tidy(model: Any, *, ordered: bool) -> None:
    if not ordered:
        _tflite_operators.drop_flattening(model)
    _tflite_operators.drop_unused(model)


def _drop_names(model: Any) -> None:
    for graph in model.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.name = None


def _drop_signatures(model: Any) -> None:
    model.signatureDefs = None


def _drop_metadata(model: Any) -> None:
    model.description = model.metadataBuffer = None
    model.metadata = [entry for entry in model.metadata or () if records.raw(entry.name) in _ACTED_ON] or None
    for graph in model.subgraphs:
        for record in (graph, *graph.operators):
            record.debugMetadataIndex = -1


def _drop_shapes(model: Any) -> None:
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.shapeSignature, tensor.hasRank = None, False


def _drop_ranges(model: Any) -> None:
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            found = tensor.quantization
            if found is None:
                continue
            found.min = found.max = None
            if not np.size(found.scale if found.scale is not None else ()) and found.details is None:
                # Without a scale a tensor is not quantized.
                tensor.quantization = None


def _share_buffers(model: Any) -> None:
    """Each content once, none that nothing uses; buffer 0 is the empty one by convention."""
    empty = type(model.buffers[0])()
    kept, places = [empty], {}
    users = [tensor for graph in model.subgraphs for tensor in graph.tensors] + (model.metadata or [])
    for user in users:
        data = model.buffers[user.buffer].data
        if data is None:
            user.buffer = 0
            continue
        # An empty vector is a stored tensor of no values, such as the shape of a scalar; no vector is none stored.
        raw = np.asarray(data, np.uint8).tobytes()
        if raw not in places:
            places[raw] = len(kept)
            kept.append(model.buffers[user.buffer])
        user.buffer = places[raw]
    model.buffers = kept


def _missed(model: Any) -> dict[str, str]:
    """What programs may miss in the slim file, by what it takes to keep it."""
    found = {}
    for signature in model.signatureDefs or ():
        ends = [
            ", ".join(records.text(port.name) for port in ports or ())
            for ports in (signature.inputs, signature.outputs)
        ]
        found["signatures"] = (
            f"signature {records.text(signature.signatureKey)!r} ({ends[0]} → {ends[1]}) is dropped: programs that "
            "name it need --keep signatures"
        )
    names = [records.text(entry.name) for entry in model.metadata or () if records.raw(entry.name) not in _ACTED_ON]
    if names:
        found["metadata"] = f"metadata are dropped ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"
    if any(-1 in records.indices(tensor.shapeSignature) for graph in model.subgraphs[:1] for tensor in graph.tensors):
        found["shapes"] = "it no longer declares a batch of any size (--keep shapes); it can be resized all the same"
    return found


def _appended_files(content: bytes, keep: frozenset[str]) -> str:
    """A word on files that TFLite's metadata packer appended as a ZIP archive, such as labels.

    Raises:
        InputError: They are to be kept: their positions are counted from the start of the file.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return ""
    if "metadata" in keep:
        raise InputError("expected no files appended to a file whose metadata are kept; leave out --keep metadata")
    return "files that are appended to it are dropped (labels and the like)"


def _not_handled(model: Any, content: bytes, found: list[tflite_schema.Piece]) -> list[str]:
    """What the file has that a slimmer one would lose or break."""
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    operators = [operator for graph in model.subgraphs for operator in graph.operators]
    signatures = model.signatureDefs or ()
    faults = {
        f"of {len(content)} bytes; 2 GiB are the most": len(content) > _MOST_BYTES,
        "with fields that the schema of the installed ai-edge-litert does not know; install a later one": any(
            piece.unknown for piece in found
        ),
        f"with {len(signatures)} signatures, which are the only way to what they name; it stays as it is": (
            len(signatures) > 1 or any(one.subgraphIndex for one in signatures)
        ),
        "with tensors outside the flatbuffer (buffers with an offset, as over 2 GiB); it stays as it is": any(
            buffer.offset > 1 or buffer.size > 1 for buffer in model.buffers
        ),
        "with tensors in files of their own (external buffers); it stays as it is": bool(
            model.externalBuffers or any(tensor.externalBuffer for tensor in tensors)
        ),
        "with custom options outside the flatbuffer; it stays as it is": any(
            operator.largeCustomOptionsOffset > 1 for operator in operators
        ),
    }
    return [fault for fault, is_so in faults.items() if is_so]
