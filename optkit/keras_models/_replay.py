"""Applies the nodes of a tf_keras model again, in order, to other tensors and with other layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def replay(
    model: Any, inputs: Sequence[Any], apply: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
) -> list[Any]:
    """Walk through a functional or sequential model.

    Args:
        model: The tf_keras model.
        inputs: What stands for each of its inputs.
        apply: Called with each node's layer and the arguments that it was called with, tensors replaced by what stands
            for them.

    Returns:
        What stands for each of its outputs.

    Raises:
        InputError: It is no graph of layers.
    """
    return visit_nodes(model, inputs, lambda node, args, kwargs: apply(node.layer, args, kwargs))


def visit_nodes(
    model: Any, inputs: Sequence[Any], visit: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
) -> list[Any]:
    """Walk through a functional or sequential model as ``replay`` does, and see each call itself.

    Args:
        model: The tf_keras model.
        inputs: What stands for each of its inputs.
        visit: Called with each node (its layer, and its outputs with their shapes) and the arguments.

    Returns:
        What stands for each of its outputs.

    Raises:
        InputError: It is no graph of layers.
    """
    import tensorflow as tf

    if not getattr(model, "_is_graph_network", False):
        raise InputError(f"expected a functional or sequential model, found {type(model).__name__} {model.name!r}")
    tensors = {str(id(tensor)): one for tensor, one in zip(model.inputs, inputs, strict=True)}
    # Keras keeps its graph under private names only.
    by_depth = model._nodes_by_depth  # noqa: SLF001
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.is_input or any(str(id(tensor)) not in tensors for tensor in node.keras_inputs):
                continue
            given: dict[str, list[Any]] = {}
            for tensor in node.keras_inputs:
                given.setdefault(str(id(tensor)), []).append(tensors[str(id(tensor))])
            args, kwargs = node.map_arguments(given)
            results = tf.nest.flatten(visit(node, args, kwargs))
            tensors.update(zip((str(name) for name in node.flat_output_ids), results, strict=True))
    return [tensors[str(id(tensor))] for tensor in model.outputs]
