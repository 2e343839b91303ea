"""Layers of tf_keras in Keras 3, by class name."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from optkit.errors import InputError

# Names of functions that Keras 3 calls otherwise; those not named here are the same.
_ACTIVATIONS = {"swish": "silu"}
_ACTIVATION_WORDS = (
    "elu exponential gelu leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax softplus softsign "
    "tanh"
)
_SAME_ACTIVATIONS = frozenset(_ACTIVATION_WORDS.split())
_RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}


def converted(layer: Any, name: str) -> Any:
    """A Keras 3 layer like a tf_keras one, without its weights yet.

    Args:
        layer: The tf_keras layer.
        name: What to call it.

    Raises:
        InputError: Keras 3 has no such layer.
    """
    import keras

    kind = type(layer).__name__
    target = getattr(keras.layers, kind, None)
    if not type(layer).__module__.startswith("tf_keras.") or kind == "Lambda" or not inspect.isclass(target):
        raise InputError(f"layer {name!r}: Keras 3 has no counterpart of {kind}; keep working with the .h5 file")
    config = _config(layer, target)
    if kind in {"TimeDistributed", "Bidirectional"}:
        inner = layer.layer if kind == "TimeDistributed" else layer.forward_layer
        config["layer"] = converted(inner, inner.name)
        if kind == "Bidirectional":
            config["backward_layer"] = converted(layer.backward_layer, layer.backward_layer.name)
    return target(**{**config, "name": name})


def activation_name(layer: Any) -> str | None:
    """The name that Keras 3 has for a layer's activation; ``None`` where it has no activation.

    Raises:
        InputError: Keras 3 has none like it.
    """
    function = _function(layer)
    if function is None:
        return None
    found = str(getattr(function, "__name__", type(function).__name__))
    found = _ACTIVATIONS.get(found, found)
    if found not in _SAME_ACTIVATIONS and found != "hard_sigmoid":
        raise InputError(f"layer {layer.name!r}: Keras 3 has no activation {found!r}; keep working with the .h5 file")
    return found


def needs_hard_sigmoid(layer: Any) -> bool:
    """Whether the layer ends in tf_keras's ``hard_sigmoid``, which has another slope than that of Keras 3."""
    return activation_name(layer) == "hard_sigmoid"


def _config(layer: Any, target: Any) -> dict[str, Any]:
    known = _arguments(target)
    renamed = _RENAMED.get(type(layer).__name__, {})
    config: dict[str, Any] = {"dtype": layer.compute_dtype or "float32"}
    source = own_config(layer)
    for key, value in source.items():
        new = renamed.get(key, key)
        # Initial values are left out, since the weights are copied; wrapped layers are made apart.
        if new not in known or key in {"dtype", "name", "layer", "backward_layer"} or key.endswith("_initializer"):
            continue
        if key == "activation":
            found = activation_name(layer)
            config[key] = "linear" if found == "hard_sigmoid" else found
        elif key.endswith(("_regularizer", "_constraint")):
            config[key] = _penalty(key, value)
        else:
            config[new] = plain(value)
    if isinstance(config.get("axis"), list) and type(layer).__name__ == "BatchNormalization":
        if len(config["axis"]) != 1:
            raise InputError(f"layer {layer.name!r}: Keras 3 normalizes over one axis, not {config['axis']}")
        config["axis"] = config["axis"][0]
    return config


def _function(layer: Any) -> Any:
    """A layer's activation without what quantize-aware training puts around it or in its place."""
    import tf_keras

    function = getattr(layer, "activation", None)
    function = getattr(function, "activation", function)
    return tf_keras.activations.linear if type(function).__name__ == "NoOpActivation" else function


def own_config(layer: Any) -> dict[str, Any]:
    """A tf_keras layer's configuration, of a quantize-aware one that before its activation was replaced."""
    replaced = getattr(layer, "activation", None)
    function = _function(layer)
    if function is replaced:
        return dict(layer.get_config())
    layer.activation = function
    try:
        return dict(layer.get_config())
    finally:
        layer.activation = replaced


def _penalty(key: str, value: Any) -> Any:
    """A regularizer or constraint of Keras 3; one that it lacks is left out, since outputs do not change."""
    import keras

    module = keras.regularizers if key.endswith("_regularizer") else keras.constraints
    kind = value.get("class_name") if isinstance(value, dict) else None
    made = getattr(module, str(kind), None)
    return made(**plain(value["config"])) if inspect.isclass(made) else None


def plain(value: Any) -> Any:
    """Settings as Python numbers and lists."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(one) for one in value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


@functools.cache
def _arguments(target: Any) -> frozenset[str]:
    """Names of all arguments that a Keras 3 class takes, through its bases."""
    found = {"name", "trainable", "dtype"}
    for base in target.__mro__:
        parameters = inspect.signature(base.__init__).parameters.values()
        found.update(item.name for item in parameters if item.kind not in (item.VAR_KEYWORD, item.VAR_POSITIONAL))
        if not any(item.kind == item.VAR_KEYWORD for item in parameters):
            break
    return frozenset(found - {"self"})
