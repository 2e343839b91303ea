"""Names inside ONNX graphs, of which there may be some in others (If, Loop, Scan)."""

from __future__ import annotations

import itertools
import string
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LETTERS = string.ascii_letters


def graphs(model: Any) -> Iterator[Any]:
    """The main graph and all graphs within it, in the order in which they are met."""
    waiting = [model.graph]
    while waiting:
        graph = waiting.pop(0)
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)


def nodes(model: Any) -> Iterator[Any]:
    """All nodes of all graphs, and those of functions."""
    for graph in graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def read_by(graph: Any) -> Iterator[str]:
    """Names of tensors that a graph reads or gives, whoever makes them."""
    for node in graph.node:
        yield from node.input
    for value in graph.output:
        yield value.name
    for note in graph.quantization_annotation:
        yield from (entry.value for entry in note.quant_parameter_tensor_names)


def shorten(model: Any) -> None:
    """Give tensors the shortest names, those met most often first, and nodes none.

    One name in two graphs stays one name in both, and different ones stay different: so what a graph reads from the
    one around it, and what it hides of it, stays the same. Names of the main graph's inputs and outputs are how
    programs feed the model; they are kept. Inside of functions names are left alone.
    """
    ports = {value.name for value in (*model.graph.input, *model.graph.output)}
    counts: Counter[str] = Counter(name for graph in graphs(model) for name in _names(graph) if name)
    free = (name for name in _short() if name not in ports)
    names = {name: name if name in ports else next(free) for name, _ in counts.most_common()}
    names[""] = ""
    for graph in graphs(model):
        for node in graph.node:
            node.ClearField("name")
            node.input[:] = [names[name] for name in node.input]
            node.output[:] = [names[name] for name in node.output]
        for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.name = names[item.name]
        for sparse in graph.sparse_initializer:
            sparse.values.name = names[sparse.values.name]
        for note in graph.quantization_annotation:
            note.tensor_name = names[note.tensor_name]
            for entry in note.quant_parameter_tensor_names:
                entry.value = names.get(entry.value, entry.value)


def _names(graph: Any) -> Iterator[str]:
    """Every place where a graph says a tensor's name."""
    for node in graph.node:
        yield from node.input
        yield from node.output
    for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        yield item.name
    for sparse in graph.sparse_initializer:
        yield sparse.values.name
    for note in graph.quantization_annotation:
        yield note.tensor_name


def _short() -> Iterator[str]:
    """All names of letters, the shortest first."""
    for length in itertools.count(1):
        for letters in itertools.product(_LETTERS, repeat=length):
            yield "".join(letters)
