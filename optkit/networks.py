"""Networks as data: layers in words, the knobs that apply to all of them, and the model built from both."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from optkit.errors import InputError, nearest
from optkit.problem import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Activation = Literal[
    "relu", "leaky-relu", "elu", "selu", "gelu", "swish", "softplus", "sigmoid", "tanh", "maxout", "linear"
]
DropoutAfter = Literal["last", "dense", "conv", "all"]
KINDS = {
    "conv": "conv:FILTERSxSIDE, with :same and :strideN where wanted",
    "depthwise": "depthwise:SIDE, with :same and :strideN where wanted",
    "pool": "pool:SIDE, the largest of each window",
    "average": "average:SIDE, the mean of each window",
    "global": "global, the mean of each channel",
    "flatten": "flatten, which a dense layer after pictures does by itself",
    "dense": "dense:UNITS",
    "dropout": "dropout:RATE",
    "batchnorm": "batchnorm",
}
MOST_UNITS = 65_536
# Of an affine map: what maxout takes the larger of (Goodfellow et al., Maxout networks, 2013, arXiv:1302.4389).
MAXOUT_PIECES = 2
# As the paper has it (Maas et al., 2013) in most of its successors; Keras's default of 0.3 is hardly a ReLU.
LEAKY_SLOPE = 0.1


class Network(Struct, frozen=True, forbid_unknown_fields=True):
    """A network of layers one after the other; the output layer follows from the task.

    Attributes:
        layers: Layers in words, see ``KINDS``: ``("conv:20x5", "pool:2", "flatten", "dense:500")``.
        input_shape: Shape of an example without the batch axis.
        activation: After every convolution and hidden dense layer. For int8 TFLite files choose another than ``elu``,
            which they cannot have, ``selu`` and ``softplus``, which TensorFlow takes apart into steps that are rounded
            one by one: an untrained network's answers are ten times as far off as with ``relu``.
        dropout: Rate; 0 for none besides those that ``layers`` names.
        dropout_after: Where: after the ``last`` hidden layer with weights, every ``dense``, every ``conv``, or ``all``.
        l1: Penalty on the kernels' absolute values.
        l2: Penalty on the kernels' squares.
        batchnorm: Batch normalization between every hidden layer with weights and its activation.
    """

    layers: tuple[str, ...]
    input_shape: tuple[int, ...] = (28, 28, 1)
    activation: Activation = "relu"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    dropout_after: DropoutAfter = "last"
    l1: Annotated[float, Meta(ge=0, le=10)] = 0.0
    l2: Annotated[float, Meta(ge=0, le=10)] = 0.0
    batchnorm: bool = False


class Layer(NamedTuple):
    """A layer that was read: its kind, its numbers, and for windows their padding and stride."""

    kind: str
    size: int = 0
    side: int = 0
    rate: float = 0.0
    padding: str = "valid"
    stride: int = 1


def read_layer(words: str) -> Layer:
    """A layer in words.

    Raises:
        InputError: It is none of ``KINDS``, or a number is out of range.
    """
    kind, *parts = words.strip().lower().split(":")
    if kind not in KINDS:
        raise InputError(f"unknown layer {words!r}: {nearest(kind, list(KINDS))}")
    padding, stride, rest = "valid", 1, []
    for part in parts:
        if part in {"same", "valid"} and kind in {"conv", "depthwise", "pool", "average"}:
            padding = part
        elif (match := re.fullmatch(r"stride([1-9]\d?)", part)) and kind in {"conv", "depthwise"}:
            stride = int(match[1])
        else:
            rest.append(part)
    found = _sizes(kind, rest)
    if found is None:
        raise InputError(f"layer {words!r}: expected {KINDS[kind]}, with whole numbers from 1 to {MOST_UNITS}")
    return found._replace(padding=padding, stride=stride)


def _sizes(kind: str, rest: Sequence[str]) -> Layer | None:
    if kind in {"global", "flatten", "batchnorm"}:
        return None if rest else Layer(kind)
    if len(rest) != 1:
        return None
    if kind == "dropout":
        match = re.fullmatch(r"0?\.\d{1,6}|0", rest[0])
        return Layer(kind, rate=float(rest[0])) if match else None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,2})" if kind == "conv" else r"(\d{1,5})", rest[0])
    if match is None or not all(1 <= int(number) <= MOST_UNITS for number in match.groups()):
        return None
    first = int(match[1])
    if kind == "conv":
        return Layer(kind, size=first, side=int(match[2]))
    return Layer(kind, size=first) if kind == "dense" else Layer(kind, side=first)


def fitted(network: Network, example: Sequence[int]) -> Network:
    """The network for examples of that shape: flat where its own input is flat, with a channel axis where it has one.

    Args:
        network: As it is.
        example: Shape of a raw example without the batch axis.

    Raises:
        InputError: Examples are of several inputs, or no pictures and the network takes pictures.
    """
    own, shape = network.input_shape, tuple(int(axis) for axis in example)
    if not shape:
        raise InputError(
            "optkit's own networks take one input, the data have several; give the model that takes them: "
            "optkit compress MODEL --data …"
        )
    if len(own) == 1:
        flat = 1
        for axis in shape:
            flat *= axis
        return msgspec.structs.replace(network, input_shape=(flat,))
    if len(own) == 3 and len(shape) == 2:
        shape = (*shape, 1)
    if len(own) == 2 and len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    pictures = any(
        read_layer(words).kind in {"conv", "depthwise", "pool", "average", "global"} for words in network.layers
    )
    if pictures and len(shape) != 3:
        raise InputError(
            f"the network takes pictures, the data's examples have the shape {list(example)}; choose layers without "
            "conv and pool"
        )
    return msgspec.structs.replace(network, input_shape=shape)


def build(network: Network, task: Task | None = None, *, name: str = "network") -> Any:
    """The untrained tf_keras model.

    Args:
        network: What to build.
        task: What the outputs stand for, which decides the output layer; probabilities of ten classes by default.
        name: The model's name.

    Returns:
        Input float32 [batch, *input_shape] to float32 [batch, task.size].

    Raises:
        InputError: A layer cannot be read, or gets nothing from the layers before it.
    """
    from tf_keras import Model, layers

    task = task or Task()
    read = [read_layer(words) for words in network.layers]
    maker = _Maker(network, read)
    given = layers.Input(network.input_shape, name="image")
    x = given
    for index, (words, layer) in enumerate(zip(network.layers, read, strict=True)):
        try:
            x = maker.add(x, index, layer)
        except ValueError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"layer {index + 1}, {words!r}, cannot take what comes before it, {list(x.shape[1:])}: {reason}"
            ) from error
        if any(axis is not None and axis < 1 for axis in x.shape):
            raise InputError(
                f"layer {index + 1}, {words!r}, leaves nothing of {list(x.shape[1:])}: use smaller windows or fewer "
                "of them"
            )
    if len(x.shape) > 2:
        x = layers.Flatten(name=maker.name("flatten"))(x)
    return Model(given, _output(x, task), name=name)


def _output(x: Any, task: Task) -> Any:
    from tf_keras import layers

    if task.kind == "regression":
        return layers.Dense(task.size, name="values")(x)
    if task.outputs == "logits":
        return layers.Dense(task.size, name="logits")(x)
    several = task.kind == "multiclass" and task.outputs == "probabilities"
    return layers.Dense(task.size, activation="softmax" if several else "sigmoid", name="probabilities")(x)


class _Maker:
    """Adds layers one at a time; convolutions and dense layers are numbered, others where there are several."""

    def __init__(self, network: Network, read: Sequence[Layer]) -> None:
        self._network = network
        self._weighted = [i for i, layer in enumerate(read) if layer.kind in {"conv", "depthwise", "dense"}]
        self._kinds = [layer.kind for layer in read]
        self._total = Counter("pool" if kind == "average" else kind for kind in self._kinds)
        self._total["dropout"] += sum(self._drops(i) for i in self._weighted)
        if network.batchnorm:
            self._total["batchnorm"] += len(self._weighted)
        self._made: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        self._made[kind] += 1
        always = kind in {"conv", "depthwise", "dense"}
        return f"{kind}_{self._made[kind]}" if always or self._total[kind] > 1 else kind

    def coming(self, kind: str) -> str:
        """The name that the next numbered layer of a kind will have."""
        return f"{kind}_{self._made[kind] + 1}"

    def _drops(self, index: int) -> bool:
        if not self._network.dropout:
            return False
        where, kind = self._network.dropout_after, self._kinds[index]
        is_last = index == self._weighted[-1]
        return where == "all" or (where == "last" and is_last) or where == kind or (where == "conv" and kind != "dense")

    def add(self, x: Any, index: int, layer: Layer) -> Any:
        """One layer of the list, with what the network's knobs put after it."""
        from tf_keras import layers

        simple: dict[str, Callable[[str], Any]] = {
            "pool": lambda name: layers.MaxPooling2D(layer.side, padding=layer.padding, name=name),
            "average": lambda name: layers.AveragePooling2D(layer.side, padding=layer.padding, name=name),
            "global": lambda name: layers.GlobalAveragePooling2D(name=name),
            "flatten": lambda name: layers.Flatten(name=name),
            "dropout": lambda name: layers.Dropout(layer.rate, name=name),
            "batchnorm": lambda name: layers.BatchNormalization(name=name),
        }
        if layer.kind in simple:
            return simple[layer.kind](self.name("pool" if layer.kind == "average" else layer.kind))(x)
        if layer.kind == "dense" and len(x.shape) > 2:
            # A dense layer is about all that comes before it, not about the last axis alone.
            x = layers.Flatten(name=f"{self.coming(layer.kind)}_flatten")(x)
        x = self._weights(x, layer)
        if self._drops(index):
            x = layers.Dropout(self._network.dropout, name=self.name("dropout"))(x)
        return x

    def _weights(self, x: Any, layer: Layer) -> Any:
        from tf_keras import layers

        name, activation = self.name(layer.kind), self._network.activation
        named = None if activation in {"maxout", "leaky-relu", "linear"} else activation
        if activation == "maxout":
            pieces = [self._affine(layer, f"{name}_{piece + 1}")(x) for piece in range(MAXOUT_PIECES)]
            return self._normalized(layers.Maximum(name=f"{name}_maxout")(pieces))
        if not self._network.batchnorm and activation != "leaky-relu":
            return self._affine(layer, name, activation=named)(x)
        x = self._normalized(self._affine(layer, name)(x))
        if activation == "leaky-relu":
            return layers.LeakyReLU(LEAKY_SLOPE, name=f"{name}_leaky_relu")(x)
        return x if named is None else layers.Activation(named, name=f"{name}_{named}")(x)

    def _normalized(self, x: Any) -> Any:
        from tf_keras import layers

        return layers.BatchNormalization(name=self.name("batchnorm"))(x) if self._network.batchnorm else x

    def _affine(self, layer: Layer, name: str, *, activation: str | None = None) -> Any:
        from tf_keras import layers, regularizers

        penalty = None
        if self._network.l1 or self._network.l2:
            penalty = regularizers.L1L2(self._network.l1, self._network.l2)
        window = {"padding": layer.padding, "strides": layer.stride, "activation": activation, "name": name}
        if layer.kind == "conv":
            return layers.Conv2D(layer.size, layer.side, kernel_regularizer=penalty, **window)
        if layer.kind == "depthwise":
            return layers.DepthwiseConv2D(layer.side, depthwise_regularizer=penalty, **window)
        return layers.Dense(layer.size, activation=activation, kernel_regularizer=penalty, name=name)
