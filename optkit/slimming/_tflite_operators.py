"""Leaves out of a TFLite graph what changes no output: a flattening before a dense layer, and what nothing uses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optkit.slimming import _tflite_records as records

# Codes up to this one are in the field of one byte, which old runtimes read; others in the one of four.
_MOST_NARROW_CODE = 126
# What graphs and operators say of tensors by their numbers.
_TENSOR_FIELDS = ("inputs", "outputs", "intermediates")


def drop_flattening(model: Any) -> None:
    """Leave out a RESHAPE that only flattens for FULLY_CONNECTED, which takes an input of any rank as [batch, n].

    It stays where anything else reads it, where the dense layer keeps the dimensions of its input, and where the
    two shapes are not [batch, …] and [batch, n] with n the numbers of an example.
    """
    for graph in model.subgraphs:
        flattened: dict[int, int] = {}
        kept = []
        for operator in graph.operators:
            if records.kind(model, operator) == "RESHAPE" and _only_flattens(model, graph, operator):
                flattened[int(operator.outputs[0])] = int(operator.inputs[0])
            else:
                kept.append(operator)
        for operator in kept:
            if flattened and operator.inputs is not None:
                operator.inputs = [flattened.get(int(index), int(index)) for index in operator.inputs]
        graph.operators = kept


def drop_unused(model: Any) -> None:
    """Leave out tensors and operator codes that nothing uses, equal codes, and vectors that say what is so without."""
    for graph_index, graph in enumerate(model.subgraphs):
        for operator in graph.operators:
            if not any(records.indices(operator.mutatingVariableInputs)):
                operator.mutatingVariableInputs = None
            if not records.indices(operator.intermediates):
                operator.intermediates = None
        for tensor in graph.tensors:
            if tensor.quantization is not None and np.size(tensor.quantization.scale) == 1:
                # One scale runs along no axis.
                tensor.quantization.quantizedDimension = 0
        _renumber_tensors(model, graph, graph_index)
    _renumber_codes(model)


def _only_flattens(model: Any, graph: Any, reshape: Any) -> bool:
    if (
        len(records.indices(reshape.outputs)) != 1
        or not records.indices(reshape.inputs)
        or -1 in records.indices(reshape.inputs)
    ):
        return False
    source, target = int(reshape.inputs[0]), int(reshape.outputs[0])
    before, after = graph.tensors[source], graph.tensors[target]
    shape, flat = records.indices(before.shape), records.indices(after.shape)
    users = [operator for operator in graph.operators if target in records.indices(operator.inputs)]
    is_plain = (
        len(shape) > 2
        and flat == [shape[0], math.prod(shape[1:])]
        and -1 not in records.indices(before.shapeSignature)[1:]
        and model.buffers[before.buffer].data is None
        and not before.isVariable
        and before.type == after.type
        and _scales(before) == _scales(after)
        and target not in records.indices(graph.outputs)
    )
    return is_plain and bool(users) and all(_takes_any_rank(model, graph, user, target, flat) for user in users)


def _takes_any_rank(model: Any, graph: Any, user: Any, target: int, flat: list[int]) -> bool:
    """Whether an operator is a dense layer whose data this tensor is, as many numbers as its kernel is wide."""
    inputs = records.indices(user.inputs)
    if records.kind(model, user) != "FULLY_CONNECTED" or inputs.index(target) or inputs.count(target) > 1:
        return False
    options = user.builtinOptions
    kernel = records.indices(graph.tensors[inputs[1]].shape) if len(inputs) > 1 and inputs[1] >= 0 else []
    return options is not None and not options.keepNumDims and kernel[1:] == flat[1:]


def _scales(tensor: Any) -> tuple[bytes, ...]:
    found = tensor.quantization
    if found is None:
        return b"", b""
    return tuple(np.asarray(() if one is None else one).tobytes() for one in (found.scale, found.zeroPoint))


def _renumber_tensors(model: Any, graph: Any, graph_index: int) -> None:
    if any(_has_blocks(tensor) for tensor in graph.tensors):
        # Block by block scales are tensors too, named by a number of which 0 may also stand for none.
        return
    ports = [
        port
        for signature in model.signatureDefs or ()
        if signature.subgraphIndex == graph_index
        for port in (*(signature.inputs or ()), *(signature.outputs or ()))
    ]
    used = {port.tensorIndex for port in ports}
    for record in (graph, *graph.operators):
        for field in _TENSOR_FIELDS:
            used.update(records.indices(getattr(record, field, None)))
    order = sorted(used - {-1})
    places = {-1: -1} | {index: place for place, index in enumerate(order)}
    graph.tensors = [graph.tensors[index] for index in order]
    for record in (graph, *graph.operators):
        for field in _TENSOR_FIELDS:
            if getattr(record, field, None) is not None:
                setattr(record, field, [places[index] for index in records.indices(getattr(record, field))])
    for port in ports:
        port.tensorIndex = places[port.tensorIndex]


def _has_blocks(tensor: Any) -> bool:
    return tensor.quantization is not None and hasattr(tensor.quantization.details, "blockSize")


def _renumber_codes(model: Any) -> None:
    kept: list[Any] = []
    places: dict[Any, int] = {}
    operators = [operator for graph in model.subgraphs for operator in graph.operators]
    for operator in operators:
        code = model.operatorCodes[operator.opcodeIndex]
        key = (records.code(code), code.version, code.customCode)
        if key not in places:
            places[key] = len(kept)
            kept.append(code)
        operator.opcodeIndex = places[key]
    for code in kept:
        if records.code(code) <= _MOST_NARROW_CODE:
            # Runtimes take the larger of the two fields.
            code.deprecatedBuiltinCode, code.builtinCode = records.code(code), 0
    model.operatorCodes = kept
