"""Records of the TFLite schema as they are met in files: absent vectors, names as bytes, numbers that lead nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit import tflite_schema
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def indices(vector: Any) -> list[int]:
    """A vector of numbers as a list; an absent one is empty."""
    return [] if vector is None else [int(one) for one in vector]


def raw(name: bytes | str | None) -> bytes:
    """A name as bytes."""
    return name.encode() if isinstance(name, str) else name or b""


def text(name: bytes | str | None) -> str:
    """A name as text."""
    return raw(name).decode("utf-8", "replace")


def code(record: Any) -> int:
    """The number of an operator code: the larger of its two fields, as in LiteRT's ``GetBuiltinCode``."""
    return int(max(record.builtinCode, record.deprecatedBuiltinCode))


def kind(model: Any, operator: Any) -> str:
    """``CONV_2D``, …; empty for a number that the schema does not know."""
    return tflite_schema.names_of("BuiltinOperator").get(code(model.operatorCodes[operator.opcodeIndex]), "")


def check_indices(model: Any) -> None:
    """Stop where a number leads to a tensor, buffer, graph or operator code that is not there.

    Lists of tensors, operators and codes that are absent become empty ones.

    Raises:
        InputError: With which.
    """
    if not model.subgraphs or not model.buffers:
        raise InputError("it holds no graph")
    model.operatorCodes = model.operatorCodes or []
    for graph in model.subgraphs:
        graph.tensors, graph.operators = graph.tensors or [], graph.operators or []
    for what, index, count, least in _led_to(model):
        if not least <= index < count:
            raise InputError(f"it leads to {what} {index} of {count}")


def _led_to(model: Any) -> Iterator[tuple[str, int, int, int]]:
    """What each number leads to, the number, how many there are, and the least that it may be (-1: none)."""
    for graph in model.subgraphs:
        for record in (graph, *graph.operators):
            for field in ("inputs", "outputs", "intermediates"):
                for index in indices(getattr(record, field, None)):
                    yield "tensor", index, len(graph.tensors), -1
        for operator in graph.operators:
            yield "operator code", operator.opcodeIndex, len(model.operatorCodes), 0
    users = [tensor for graph in model.subgraphs for tensor in graph.tensors] + (model.metadata or [])
    for user in users:
        yield "buffer", user.buffer, len(model.buffers), 0
    for signature in model.signatureDefs or ():
        yield "graph", signature.subgraphIndex, len(model.subgraphs), 0
        for port in (*(signature.inputs or ()), *(signature.outputs or ())):
            yield "tensor", port.tensorIndex, len(model.subgraphs[signature.subgraphIndex].tensors), 0
