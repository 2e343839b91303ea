"""Slimmer ONNX files: short names, no notes, equal constants once, each in the encoding that takes fewer bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.errors import InputError
from optkit.slimming import Slimmed, _onnx_constants, _onnx_names

if TYPE_CHECKING:
    from collections.abc import Callable

SUMMARY = (
    "Shortens names but for those of inputs and outputs, drops notes, declared shapes of tensors inside, unused and "
    "equal constants, and attributes at their defaults."
)
SOURCE = "https://github.com/onnx/onnx/blob/main/docs/IR.md: names inside a graph are free"
FORMAT = "onnx"
KEEPS = {
    "names": "names of tensors inside and of nodes; those of inputs and outputs are always kept",
    "metadata": "documentation, metadata and who made the file",
    "shapes": "declared types and shapes of tensors inside, which runtimes work out themselves",
}
# The checker demands one.
_GRAPH_NAME = "g"
# Two ways to say the same in a node's domain.
_ONNX_DOMAIN = "ai.onnx"


def slim(content: bytes, keep: frozenset[str]) -> Slimmed:
    """Make an ONNX file smaller; see :mod:`optkit.slimming`.

    Raises:
        InputError: It is damaged, or has one of these, which are not handled: tensors in files of their own, fields
            that the installed onnx does not know.
    """
    model = _read(content)
    saved, size = {}, len(content)
    notes = [note for kind, note in _missed(model).items() if kind not in keep]
    for kind, step in _steps(keep).items():
        step(model)
        now = model.ByteSize()
        saved[kind], size = size - now, now
    return Slimmed(model.SerializeToString(deterministic=True), saved, tuple(notes))


def _steps(keep: frozenset[str]) -> dict[str, Callable[[Any], object]]:
    """What is done, in order, by what it saves."""
    steps: dict[str, tuple[str, Callable[[Any], object]]] = {
        "documentation and metadata": ("metadata", _drop_notes),
        "declared types and shapes inside": ("shapes", _drop_shapes),
        "constants, operator sets and functions that nothing uses": ("", _drop_unused),
        "equal constants": ("", _onnx_constants.share),
        "constants in a shorter encoding": ("", _onnx_constants.encode),
        "attributes at their defaults": ("", _drop_defaults),
        "names of tensors and nodes": ("names", _onnx_names.shorten),
    }
    return {kind: step for kind, (kept, step) in steps.items() if kept not in keep}


def _read(content: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise InputError(
            f"expected an ONNX file; the file ({len(content)} bytes) is none or cut short; export the model again"
        ) from error
    if not model.graph.node:
        # Protobuf reads many byte strings, the empty one among them, as a message with nothing in it.
        raise InputError(f"expected an ONNX file; the file ({len(content)} bytes) holds no graph; export it again")
    for tensor in _onnx_constants.tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise InputError(
                f"expected an ONNX file that holds its tensors, found {tensor.name!r} in a file of its own; write them "
                "into one first: onnx.save(onnx.load(FILE), ONE)"
            )
    before = model.ByteSize()
    model.DiscardUnknownFields()
    if model.ByteSize() != before:
        raise InputError("expected an ONNX file, found one with fields that the installed onnx does not know")
    return model


def _missed(model: Any) -> dict[str, str]:
    """What programs may miss in the slim file, by what it takes to keep it."""
    found = {}
    if model.metadata_props:
        keys = [entry.key for entry in model.metadata_props]
        found["metadata"] = f"metadata are dropped ({', '.join(keys[:5])}{', …' if len(keys) > 5 else ''})"
    return found


def _drop_notes(model: Any) -> None:
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string", "training_info"):
        model.ClearField(field)
    model.ClearField("metadata_props")
    for graph in _onnx_names.graphs(model):
        graph.ClearField("doc_string")
        graph.name = _GRAPH_NAME
        _clear_notes([graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info])
    for function in model.functions:
        _clear_notes([function, *function.node])
    for node in _onnx_names.nodes(model):
        _clear_notes(node.attribute)


def _clear_notes(messages: Any) -> None:
    for message in messages:
        known = message.DESCRIPTOR.fields_by_name
        for field in ("doc_string", "metadata_props"):
            if field in known:
                message.ClearField(field)


def _drop_shapes(model: Any) -> None:
    for graph in _onnx_names.graphs(model):
        del graph.value_info[:]


def _drop_unused(model: Any) -> None:
    """Initializers that nothing reads, operator sets without an operator, functions that nobody calls."""
    used = {name for graph in _onnx_names.graphs(model) for name in _onnx_names.read_by(graph)}
    for graph in _onnx_names.graphs(model):
        # Those that are inputs too are defaults, which a program may give otherwise.
        kept = used.union(value.name for value in graph.input)
        _keep_only(graph.initializer, [tensor.name in kept for tensor in graph.initializer])
    called = {(_domain(node.domain), node.op_type) for node in _onnx_names.nodes(model)}
    _keep_only(model.functions, [(_domain(one.domain), one.name) in called for one in model.functions])
    domains = {"", *(_domain(node.domain) for node in _onnx_names.nodes(model))}
    domains |= {_domain(entry.domain) for function in model.functions for entry in function.opset_import}
    _keep_only(model.opset_import, [_domain(entry.domain) in domains for entry in model.opset_import])


def _keep_only(field: Any, wanted: list[bool]) -> None:
    for place in reversed(range(len(field))):
        if not wanted[place]:
            del field[place]


def _domain(name: str) -> str:
    return "" if name == _ONNX_DOMAIN else name


def _drop_defaults(model: Any) -> None:
    """Attributes that say what the operator's definition says anyway."""
    import onnx

    versions = {_domain(entry.domain): entry.version for entry in model.opset_import}
    for graph in _onnx_names.graphs(model):
        for node in graph.node:
            try:
                schema = onnx.defs.get_schema(node.op_type, versions.get(_domain(node.domain), 0), _domain(node.domain))
            except onnx.defs.SchemaError:
                continue
            for place in reversed(range(len(node.attribute))):
                given = node.attribute[place]
                known = schema.attributes.get(given.name)
                if known is not None and _same(given, known.default_value):
                    del node.attribute[place]


def _same(given: Any, default: Any) -> bool:
    """Whether an attribute is the definition's; one without a default has a default of no type."""
    if not default.type or given.type != default.type:
        return False
    bare = type(given)()
    bare.CopyFrom(given)
    wanted = type(given)()
    wanted.ParseFromString(default.SerializeToString())
    bare.name = wanted.name = ""
    return bool(bare.SerializeToString(deterministic=True) == wanted.SerializeToString(deterministic=True))
