"""What a model's outputs are, as far as its last layer says so."""

from __future__ import annotations

from typing import Any, Literal

OutputKind = Literal["softmax", "sigmoid", "linear"]

# Layers that change nothing about what the numbers mean.
_PASSING = frozenset(
    {"Dropout", "Flatten", "Reshape", "Permute", "QuantizeLayer", "SpatialDropout1D", "SpatialDropout2D"}
)
_PASSING_OPERATORS = frozenset({"Identity", "Reshape", "Squeeze", "Cast"})
_KINDS: dict[str, OutputKind] = {"softmax": "softmax", "sigmoid": "sigmoid", "linear": "linear"}


def output_kind(model: Any) -> OutputKind | None:
    """The activation of a tf_keras model's output.

    Returns:
        ``softmax``, ``sigmoid`` or ``linear`` (raw numbers of a layer without an activation); ``None`` where there
        are several outputs or the last layer does not say.
    """
    from optkit.keras_models.saved_model import frozen_of

    if len(model.outputs) != 1:
        return None
    frozen = frozen_of(model)
    if frozen is not None:
        return _of_graph(frozen)
    return _of_tensor(model.outputs[0])


def _of_tensor(tensor: Any) -> OutputKind | None:
    """Follow a Keras tensor back to the layer that gives its numbers their meaning."""
    while True:
        history = tensor._keras_history  # noqa: SLF001  # where Keras keeps which layer made a tensor
        layer = getattr(history.layer, "layer", history.layer)
        kind = type(layer).__name__
        if hasattr(layer, "outputs") and hasattr(layer, "layers"):
            tensor = layer.outputs[history.tensor_index]
            continue
        if kind not in _PASSING and not _passes(layer):
            break
        node = history.layer._inbound_nodes[history.node_index]  # noqa: SLF001
        if not isinstance(node.keras_inputs, (list, tuple)) or len(node.keras_inputs) != 1:
            return None
        tensor = node.keras_inputs[0]
    if kind == "Softmax":
        return "softmax"
    if kind == "TFOpLambda":
        return _KINDS.get(str(getattr(layer, "symbol", "")).rsplit(".", 1)[-1])
    activation = getattr(layer, "activation", None)
    # Quantize-aware training puts its own object around the function.
    activation = getattr(activation, "activation", activation)
    return _KINDS.get(str(getattr(activation, "__name__", "")))


def _passes(layer: Any) -> bool:
    """Whether it is an activation layer without an activation."""
    return type(layer).__name__ == "Activation" and getattr(layer.activation, "__name__", "") == "linear"


def _of_graph(frozen: Any) -> OutputKind | None:
    nodes = {node.name: node for node in frozen.graph.node}
    node = nodes.get(frozen.outputs[0][1].partition(":")[0])
    while node is not None and node.op in _PASSING_OPERATORS:
        node = nodes.get(node.input[0].partition(":")[0])
    if node is None:
        return None
    operators: dict[str, OutputKind] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
    if node.op in {"MatMul", "BiasAdd"}:
        return "linear"
    return operators.get(node.op)
