"""What each kind of layer does to the channels of what goes in.

A rule takes a call and returns the signals that come out. A kind without a rule is not followed: what goes into it
stays as it is, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.techniques._shrink.channels import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.techniques._shrink.follow import Call

    Rule = Callable[[Call], list[Signal]]

# Functions of one value at a time: a channel's output depends on nothing but that channel.
ELEMENTWISE = frozenset(
    {"linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "swish", "silu", "mish", "softplus", "softsign"}
    | {"sigmoid", "hard_sigmoid", "tanh", "exponential"}
)
# TensorFlow functions of one value, and those that take several tensors or numbers, by their public names.
_FUNCTIONS = frozenset(
    {f"nn.{name}" for name in ("relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "swish")}
    | {
        "math.sigmoid",
        "math.tanh",
        "math.exp",
        "math.abs",
        "math.square",
        "math.sqrt",
        "math.negative",
        "math.softplus",
    }
    | {"nn.sigmoid", "nn.tanh", "nn.softplus", "clip_by_value", "identity", "stop_gradient"}
)
_ARITHMETIC = frozenset(
    {f"math.{name}" for name in ("add", "subtract", "multiply", "divide", "truediv", "maximum", "minimum")}
    | {f"__operators__.{name}" for name in ("add", "sub", "mul", "truediv", "radd", "rsub", "rmul")}
    | {f"{name}" for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")}
)


def rule_of(layer: Any) -> Rule:
    """The rule for a layer's kind."""
    kind = type(layer).__name__
    if getattr(layer, "data_format", None) == "channels_first":
        return lambda call: call.unknown("has its channels first, which is not followed")
    return _RULES.get(kind, lambda call: call.unknown(f"a {kind} is not followed"))


def _passes(call: Call) -> list[Signal]:
    """Works on each channel by itself."""
    return call.out(call.x.channels)


def _activate(call: Call, channels: np.ndarray, function: Any) -> None:
    """An activation that looks at several channels at once would change when one goes."""
    name = str(getattr(function, "__name__", type(function).__name__))
    if function is not None and name not in ELEMENTWISE and type(function).__name__ not in _ACTIVATION_LAYERS:
        call.numbers.fix(channels, f"{call.layer.name}: its activation {name} looks at all channels together")


def _dense(call: Call) -> list[Signal]:
    layer, reads = call.layer, call.x.channels
    made = call.make(layer.units, "units")
    call.cut(layer.kernel, {0: reads, 1: made}, reads=(0,), positions=call.places())
    call.cut(layer.bias, {0: made})
    call.set("units", made)
    _activate(call, made, layer.activation)
    return call.out(made)


def _embedding(call: Call) -> list[Signal]:
    layer = call.layer
    call.fix("looks numbers up")
    made = call.make(layer.output_dim, "dimensions")
    call.cut(layer.embeddings, {1: made}, kernel=True)
    call.set("output_dim", made)
    return [Signal(call.shapes[0], made)]


def _convolution(call: Call) -> list[Signal]:
    layer, reads = call.layer, call.x.channels
    transposed = type(layer).__name__.endswith("Transpose")
    groups = 1 if transposed else layer.groups
    made = call.make(layer.filters, "filters")
    first, last = layer.rank, layer.rank + 1
    # A transposed convolution's kernel is [height, width, out, in], and every value that goes in meets all of it.
    axis_in, axis_out = (last, first) if transposed else (first, last)
    positions = call.places(call.x.shape if transposed else None)
    one_each = groups > 1 and len(reads) == groups
    if one_each:
        # Each filter reads one channel, as in a depthwise convolution: they go together.
        call.numbers.join(made, np.repeat(reads, layer.filters // groups))
        call.cut(layer.kernel, {axis_out: made}, positions=positions)
        call.set("groups", reads)
    else:
        # All groups keep as many: channels and filters at the same place in each go together.
        for row in made.reshape(groups, -1)[1:]:
            call.numbers.join(row, made[: layer.filters // groups])
        for row in reads.reshape(groups, -1)[1:]:
            call.numbers.join(row, reads[: len(reads) // groups])
        own = reads[: len(reads) // groups]
        call.cut(layer.kernel, {axis_in: own, axis_out: made}, reads=(axis_in,), positions=positions)
    call.cut(layer.bias, {0: made})
    call.set("filters", made)
    _activate(call, made, layer.activation)
    return call.out(made)


def _depthwise(call: Call) -> list[Signal]:
    layer, reads = call.layer, call.x.channels
    made = np.repeat(reads, layer.depth_multiplier)
    call.cut(layer.depthwise_kernel, {layer.rank: reads}, positions=call.places())
    call.cut(layer.bias, {0: made})
    _activate(call, made, layer.activation)
    return call.out(made)


def _separable(call: Call) -> list[Signal]:
    layer, reads = call.layer, call.x.channels
    made = call.make(layer.filters, "filters")
    between = np.repeat(reads, layer.depth_multiplier)
    first, last = layer.rank, layer.rank + 1
    call.cut(layer.depthwise_kernel, {first: reads}, positions=call.places())
    call.cut(layer.pointwise_kernel, {first: between, last: made}, reads=(first,), positions=call.places())
    call.cut(layer.bias, {0: made})
    call.set("filters", made)
    _activate(call, made, layer.activation)
    return call.out(made)


def _batch_normalization(call: Call) -> list[Signal]:
    layer, channels = call.layer, call.x.channels
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if [axis % (len(call.x.shape) + 1) for axis in axes] != [len(call.x.shape)]:
        return call.unknown(f"normalizes along axis {axes}, not the last")
    for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        call.cut(weight, {0: channels})
    return _passes(call)


def _prelu(call: Call) -> list[Signal]:
    alpha, channels = call.layer.alpha, call.x.channels
    last = len(alpha.shape) - 1
    if alpha.shape[last] == len(channels):
        call.cut(alpha, {last: channels})
    return _passes(call)


def _flatten(call: Call) -> list[Signal]:
    if None in call.x.shape:
        return call.unknown("its sizes are not all known")
    return call.out(np.tile(call.x.channels, call.places(call.x.shape)))


def _reshape(call: Call) -> list[Signal]:
    before, after = call.x.shape, call.shapes[0]
    if not after or None in before or None in after:
        return call.unknown("its sizes are not all known")
    laid_out = np.tile(call.x.channels, call.places(before)).reshape(-1, after[-1])
    # One channel wherever the last axis is the same: where units become positions, those of a channel go together.
    for row in laid_out[1:]:
        call.numbers.join(row, laid_out[0])
    call.set("target_shape", laid_out[0], before=after[:-1])
    return call.out(laid_out[0])


def _permute(call: Call) -> list[Signal]:
    if call.layer.dims[-1] != len(call.x.shape):
        return call.unknown("moves the channels to another axis")
    return _passes(call)


def _dropout(call: Call) -> list[Signal]:
    noise = getattr(call.layer, "noise_shape", None)
    if noise is not None and noise[-1] not in {None, 1}:
        return call.unknown("its noise has a shape of its own")
    return _passes(call)


def _activation(call: Call) -> list[Signal]:
    _activate(call, call.x.channels, call.layer.activation)
    return _passes(call)


def _softmax(call: Call) -> list[Signal]:
    axes = call.layer.axis if isinstance(call.layer.axis, (list, tuple)) else [call.layer.axis]
    if len(call.x.shape) in {axis % (len(call.x.shape) + 1) for axis in axes}:
        call.fix("the softmax looks at all channels together")
    return _passes(call)


def _merge(call: Call) -> list[Signal]:
    """Arithmetic of tensors: channels at the same place go together; one channel for all is for all."""
    whole = [signal for signal in call.inputs if len(signal.channels) == call.shapes[0][-1]]
    if not whole or any(len(one.channels) not in {1, call.shapes[0][-1]} for one in call.inputs):
        return call.unknown("joins tensors in a way that is not followed")
    for other in whole[1:]:
        call.numbers.join(other.channels, whole[0].channels)
    return call.out(whole[0].channels)


def _concatenate(call: Call) -> list[Signal]:
    rank = len(call.x.shape) + 1
    axis = call.layer.axis % rank
    if axis == rank - 1:
        return call.out(np.concatenate([signal.channels for signal in call.inputs]))
    return call.unknown("joins examples") if axis == 0 else _merge(call)


def _rescaling(call: Call) -> list[Signal]:
    if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
        return call.unknown("has a scale for each channel")
    return _passes(call)


def _function(call: Call) -> list[Signal]:
    """An operator or a function of TensorFlow that was called on tensors."""
    name = str(call.layer.symbol or "").removeprefix("compat.v1.")
    others = [one for one in (*call.args, *call.kwargs.values()) if not isinstance(one, Signal)]
    if any(np.ndim(one) for one in others if not isinstance(one, (str, type(None)))):
        return call.unknown(f"tf.{name} with an array of constants is not followed")
    if name in _FUNCTIONS and len(call.inputs) == 1:
        return _passes(call)
    if name in _ARITHMETIC and all(len(one.shape) == len(call.shapes[0]) for one in call.inputs):
        return _merge(call)
    return call.unknown(f"the function tf.{name} is not followed")


_ACTIVATION_LAYERS = frozenset({"ReLU", "LeakyReLU", "ELU", "ThresholdedReLU"})


def _by_dimensions(names: tuple[str, ...], rule: Rule) -> dict[str, Rule]:
    return {f"{name}{dimensions}": rule for name in names for dimensions in ("1D", "2D", "3D")}


_POOLS = ("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling")
_RULES: dict[str, Rule] = {
    "Dense": _dense,
    "Embedding": _embedding,
    **_by_dimensions(("Conv",), _convolution),
    **{f"Conv{dimensions}Transpose": _convolution for dimensions in ("1D", "2D", "3D")},
    **{f"DepthwiseConv{dimensions}": _depthwise for dimensions in ("1D", "2D")},
    **{f"SeparableConv{dimensions}": _separable for dimensions in ("1D", "2D")},
    "BatchNormalization": _batch_normalization,
    "SyncBatchNormalization": _batch_normalization,
    "PReLU": _prelu,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    **dict.fromkeys(("Dropout",), _dropout),
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), _merge),
    "Concatenate": _concatenate,
    "Activation": _activation,
    "Softmax": _softmax,
    "Rescaling": _rescaling,
    "TFOpLambda": _function,
    **_by_dimensions((*_POOLS, "ZeroPadding", "Cropping", "UpSampling", "SpatialDropout"), _passes),
    **dict.fromkeys(sorted(_ACTIVATION_LAYERS), _passes),
    **dict.fromkeys(
        ("GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization", "RepeatVector"), _passes
    ),
    **dict.fromkeys(("Resizing", "CenterCrop"), _passes),
}
