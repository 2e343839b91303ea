"""Channels of layers with kernels: how far they reach, scaling them, and the normalization behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optkit.techniques import _graph

if TYPE_CHECKING:
    from collections.abc import Sequence

Weights = list[np.ndarray]
_NORMALIZATION = "BatchNormalization"


class _Kind(NamedTuple):
    """Where a layer's channels are: kernel's position among its weights and axis, of what it takes and gives."""

    taken: tuple[int, int]
    given: tuple[int, int]
    bias: int


_KINDS = {
    "Dense": _Kind((0, -2), (0, -1), 1),
    "Conv1D": _Kind((0, -2), (0, -1), 1),
    "Conv2D": _Kind((0, -2), (0, -1), 1),
    "Conv2DTranspose": _Kind((0, -1), (0, -2), 1),
    # What a channel gives is in the last two axes together.
    "DepthwiseConv2D": _Kind((0, -2), (0, 0), 1),
    "SeparableConv2D": _Kind((0, -2), (1, -1), 2),
}
# max(a·x, 0) = a·max(x, 0) for a > 0.
_HOMOGENEOUS = frozenset({"linear", "relu", "leaky_relu"})


def has_channels(layer: Any) -> bool:
    """Whether it is a layer with a kernel whose channels can be scaled one by one."""
    last = getattr(layer, "data_format", "channels_last") == "channels_last"
    return has_kernel(layer) and last and getattr(layer, "groups", 1) == 1


def has_kernel(layer: Any) -> bool:
    """Whether it is one of these layers, grouped or not."""
    return type(layer).__name__ in _KINDS and type(layer).__module__.startswith("tf_keras.")


def is_homogeneous(layer: Any) -> bool:
    """Whether a layer's activation passes a positive factor of its input on to its output."""
    return getattr(getattr(layer, "activation", None), "__name__", "") in _HOMOGENEOUS


def given_ranges(layer: Any, weights: Weights) -> np.ndarray:
    """The largest magnitude of the kernel for each channel that a layer gives, [channels]."""
    position, axis = _KINDS[type(layer).__name__].given
    kernel = np.abs(weights[position])
    if axis == 0:
        return _largest(kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1]), -1)
    return _largest(kernel, axis)


def taken_ranges(layer: Any, weights: Weights, channels: int) -> np.ndarray:
    """The largest magnitude of the kernel for each channel that a layer takes, [channels].

    A dense layer on flattened pictures takes each channel many times.
    """
    position, axis = _KINDS[type(layer).__name__].taken
    return _largest(_largest(np.abs(weights[position]), axis).reshape(-1, channels), -1)


def scale_given(layer: Any, weights: Weights, factors: np.ndarray) -> None:
    """Multiply what a layer gives, [channels], kernel and bias."""
    kind = _KINDS[type(layer).__name__]
    position, axis = kind.given
    kernel = weights[position]
    if axis == 0:
        weights[position] = kernel * factors.reshape(kernel.shape[-2:])
    else:
        weights[position] = kernel * _along(factors, axis)
    if len(weights) > kind.bias:
        weights[kind.bias] = weights[kind.bias] * factors


def scale_taken(layer: Any, weights: Weights, factors: np.ndarray) -> None:
    """Multiply the kernel for what a layer takes, [channels]."""
    position, axis = _KINDS[type(layer).__name__].taken
    kernel = weights[position]
    weights[position] = kernel * _along(np.tile(factors, kernel.shape[axis] // len(factors)), axis)


def rounded(layer: Any, position: int, kernel: np.ndarray, levels: int) -> np.ndarray:
    """A kernel as symmetric integers with one scale for each output channel have it (scale = largest / levels).

    Args:
        layer: Whose it is.
        position: Of the kernel among the layer's weights.
        kernel: float32.
        levels: Largest integer.
    """
    given = _KINDS[type(layer).__name__].given
    depthwise = given[1] == 0 or position != given[0]
    axes = (-2, -1) if depthwise else (given[1],)
    rest = tuple(axis for axis in range(kernel.ndim) if axis - kernel.ndim not in axes)
    scale = np.abs(kernel).max(axis=rest, keepdims=True) / levels
    scale[scale == 0] = 1
    made: np.ndarray = (np.round(kernel / scale) * scale).astype(np.float32)
    return made


def with_biases(model: Any, layers: Sequence[str]) -> Any:
    """A copy in which these layers have a bias, of zeros where they had none."""
    config, weights = _graph.configuration(model), {}
    for name in layers:
        layer = model.get_layer(name)
        own = layer.get_weights()
        if len(own) == _KINDS[type(layer).__name__].bias:
            weights[name] = [*own, np.zeros(layer.get_output_shape_at(0)[-1], np.float32)]
            _graph.options(config, name)["use_bias"] = True
    return _graph.build(model, config, weights)


def _largest(values: np.ndarray, axis: int) -> np.ndarray:
    """The largest along all axes but one."""
    largest: np.ndarray = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis]).max(axis=0)
    return largest


def _along(factors: np.ndarray, axis: int) -> np.ndarray:
    return factors if axis == -1 else factors[:, None]


def folded(model: Any, skip_layers: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """A copy without the batch normalization that directly follows a layer with a kernel: it becomes part of it.

    With the normalization's f = gamma / √(variance + epsilon): W' = f W, b' = beta + f (b − mean) (Jacob et al., 2018,
    arXiv:1712.05877, section 3.2).

    Args:
        model: Is not changed.
        skip_layers: Stay as they are.

    Returns:
        The copy, and for each layer that is gone the one that it is now part of.
    """
    config = _graph.configuration(model)
    weights: dict[str, Weights] = {}
    gone = {}
    for normalization, before in _normalized(model, skip_layers):
        variables = normalization.get_weights()
        mean, variance = variables[-2:]
        gamma = variables[0] if normalization.scale else np.ones_like(mean)
        beta = variables[1 if normalization.scale else 0] if normalization.center else np.zeros_like(mean)
        own = [weight.astype(np.float64) for weight in before.get_weights()]
        bias = _KINDS[type(before).__name__].bias
        if len(own) == bias:
            own.append(np.zeros(mean.shape))
        factors = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + normalization.epsilon)
        scale_given(before, own, factors)
        own[bias] = own[bias] + beta - mean * factors
        weights[before.name] = [weight.astype(np.float32) for weight in own]
        _graph.options(config, before.name)["use_bias"] = True
        _graph.leave_out(config, normalization.name, before.name)
        gone[normalization.name] = before.name
    return _graph.build(model, config, weights), gone


def _normalized(model: Any, skip_layers: Sequence[str]) -> list[tuple[Any, Any]]:
    """Normalizations that can be folded, each with the layer before it."""
    after = _graph.consumers(model)
    found = []
    for layer in model.layers:
        if type(layer).__name__ != _NORMALIZATION or layer.name in _graph.output_layers(model):
            continue
        inputs = _graph.inputs_of(layer)
        if len(inputs) != 1 or not has_channels(inputs[0]) or after[inputs[0].name] != [layer.name]:
            continue
        before = inputs[0]
        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        last = len(axes) == 1 and axes[0] in {-1, len(before.get_output_shape_at(0)) - 1}
        linear = getattr(before.activation, "__name__", "") == "linear"
        once = len(_graph.inputs_of(before)) == 1
        if last and linear and once and not {layer.name, before.name}.intersection(skip_layers):
            found.append((layer, before))
    return found


class Pair(NamedTuple):
    """Two layers with kernels, the second on what the first gives, with nothing between that a factor changes."""

    first: str
    second: str
    channels: int


def pairs(model: Any, skip_layers: Sequence[str]) -> tuple[list[Pair], dict[str, str]]:
    """All pairs, and for each first layer that is in none the reason."""
    after, outputs = _graph.consumers(model), _graph.output_layers(model)
    found, reasons = [], {}
    for first in model.layers:
        if not has_channels(first):
            continue
        channels = int(first.get_output_shape_at(0)[-1])
        layer, why = first, _refused(first, skip_layers)
        while not why:
            following = after[layer.name]
            if layer.name in outputs:
                why = "gives the model's output"
            elif len(following) != 1:
                why = f"its output goes to {len(following)} layers"
            else:
                layer = model.get_layer(following[0])
                if has_channels(layer):
                    break
                why = _stopped(layer)
        if not why and len(_graph.inputs_of(layer)) != 1:
            why = f"{layer.name} is called more than once"
        elif not why and layer.name in skip_layers:
            why = f"{layer.name} is named in --skip-layer"
        if why:
            reasons[first.name] = why
        else:
            found.append(Pair(first.name, layer.name, channels))
    return found, reasons


def _refused(layer: Any, skip_layers: Sequence[str]) -> str:
    if layer.name in skip_layers:
        return "named in --skip-layer"
    if len(_graph.inputs_of(layer)) != 1:
        return "is called more than once"
    if not is_homogeneous(layer):
        return f"its activation, {getattr(layer.activation, '__name__', 'unknown')}, does not pass a factor on"
    return ""


_PASSING = frozenset(
    {
        "AveragePooling1D",
        "AveragePooling2D",
        "Cropping2D",
        "Dropout",
        "Flatten",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "LeakyReLU",
        "MaxPooling1D",
        "MaxPooling2D",
        "PReLU",
        "SpatialDropout2D",
        "UpSampling2D",
        "ZeroPadding2D",
    }
)


def _stopped(layer: Any) -> str:
    """Why a factor of each channel does not pass through a layer; empty where it does."""
    kind = type(layer).__name__
    if len(_graph.inputs_of(layer)) != 1:
        return f"{layer.name} takes several inputs, or is called more than once"
    passes = (
        kind in _PASSING
        or (kind == "Activation" and is_homogeneous(layer))
        or (kind == "ReLU" and layer.max_value is None and not layer.threshold)
    )
    return "" if passes else f"a factor does not pass through {layer.name} ({kind})"
