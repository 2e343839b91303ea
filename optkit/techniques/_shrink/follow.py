"""Follows the channels of a tf_keras model from layer to layer, into nested models too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError
from optkit.keras_models._replay import visit_nodes
from optkit.techniques._shrink.channels import Cut, Followed, Made, Numbers, Path, Setting, Signal, index_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import numpy as np


def follow(model: Any, skip_layers: Collection[str] = ()) -> Followed:
    """Which channels a model has, which go together, and what holds them.

    Args:
        model: A functional or sequential tf_keras model.
        skip_layers: Names of layers that nothing of must change.

    Raises:
        InputError: It is no graph of layers, or a layer is part of two models.
    """
    walk = Walk(skip_layers)
    inputs = [
        Signal(tuple(tensor.shape[1:]), walk.fixed(tensor.shape[-1], "input of the model")) for tensor in model.inputs
    ]
    for signal in walk.model(model, inputs, ()):
        walk.numbers.fix_above_all(signal.channels, "output of the model")
    return walk.result()


def is_model(layer: Any) -> bool:
    """Whether a layer is a model of layers itself."""
    return hasattr(layer, "layers") and bool(getattr(layer, "_is_graph_network", False))


class Call:
    """One call of a layer: what the rules of its kind read, and how they say what follows.

    Attributes:
        layer: The layer.
        path: Where it is.
        args: As it was called, with signals for tensors.
        kwargs: Likewise.
        inputs: The signals in both.
        shapes: Of the outputs, without the batch axis.
    """

    def __init__(self, walk: Walk, node: Any, path: Path, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        import tensorflow as tf

        self._walk = walk
        self.layer, self.path = node.layer, path
        self.args, self.kwargs = args, kwargs
        self.inputs = [one for one in tf.nest.flatten([list(args), dict(kwargs)]) if isinstance(one, Signal)]
        self.shapes = [tuple(tensor.shape[1:]) for tensor in tf.nest.flatten(node.outputs)]
        self.numbers = walk.numbers

    @property
    def x(self) -> Signal:
        """The first input."""
        return self.inputs[0]

    def out(self, channels: np.ndarray) -> list[Signal]:
        """The only output, with these channels."""
        return [Signal(self.shapes[0], channels)]

    def make(self, count: int, noun: str) -> np.ndarray:
        """New channels of this layer."""
        channels = self.numbers.new(count)
        self._walk.made[self.path] = Made(channels, noun)
        return channels

    def cut(
        self,
        weight: Any,
        axes: Mapping[int, np.ndarray],
        *,
        reads: Iterable[int] = (),
        positions: int = 0,
        kernel: bool = False,
    ) -> None:
        """A weight has these channels along its axes; a layer that lacks the weight has ``None``."""
        if weight is None:
            return
        index = index_of(self.layer, weight)
        kernel = kernel or positions > 0
        cut = Cut(self.path, index, kernel, tuple(weight.shape), dict(axes), tuple(reads), positions)
        self._walk.cuts[self.path, index] = cut

    def set(self, key: str, channels: np.ndarray, **how: Any) -> None:
        """A number of the configuration follows from these channels."""
        self._walk.settings.append(Setting(self.path, key, channels, **how))

    def fix(self, reason: str) -> None:
        """Nothing of what goes in can be removed."""
        for signal in self.inputs:
            self.numbers.fix(signal.channels, f"{self.layer.name}: {reason}")

    def unknown(self, reason: str) -> list[Signal]:
        """Channels cannot be followed through here: what goes in stays, and so does what comes out."""
        self.fix(reason)
        return [
            Signal(shape, self._walk.fixed(shape[-1] if shape else 1, f"{self.layer.name}: {reason}"))
            for shape in self.shapes
        ]

    def places(self, shape: tuple[int | None, ...] | None = None) -> int:
        """Positions of an output, or of another shape: all axes but the channels'."""
        chosen = self.shapes[0] if shape is None else shape
        return math.prod(size or 1 for size in chosen[:-1])


class Walk:
    """Goes through a model once, and gathers what the rules say."""

    def __init__(self, skip_layers: Collection[str]) -> None:
        self.numbers = Numbers()
        self.cuts: dict[tuple[Path, int], Cut] = {}
        self.settings: list[Setting] = []
        self.made: dict[Path, Made] = {}
        self._inputs: dict[Path, np.ndarray] = {}
        self._skip = frozenset(skip_layers)
        # Layers that are called again have the same weights, and so the same channels.
        self._before: dict[int, tuple[Path, list[Signal], list[Signal]]] = {}

    def result(self) -> Followed:
        """All that was found."""
        group, fixed = self.numbers.groups()
        return Followed(group, fixed, list(self.cuts.values()), self.settings, self.made, self._inputs)

    def fixed(self, count: int | None, reason: str) -> np.ndarray:
        """New channels that cannot go."""
        channels = self.numbers.new(count or 1)
        self.numbers.fix(channels, reason)
        return channels

    def model(self, model: Any, inputs: list[Signal], path: Path) -> list[Signal]:
        """The outputs of a model for these inputs."""
        if path:
            for layer, signal in zip(model._input_layers, inputs, strict=True):  # noqa: SLF001  # no public name
                before = (None, *signal.shape[:-1])
                own = (*path, layer.name)
                self.settings.append(Setting(own, "batch_input_shape", signal.channels, before=before))
        found: list[Signal] = visit_nodes(
            model, inputs, lambda node, args, kwargs: self._node(node, path, args, kwargs)
        )
        return found

    def _node(self, node: Any, path: Path, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Signal]:
        own = (*path, node.layer.name)
        call = Call(self, node, own, args, kwargs)
        if call.inputs:
            self._inputs.setdefault(own, call.x.channels)
        known = self._before.get(id(node.layer))
        if known is not None and self._depends_on_channels(known[0]):
            return self._again(call, *known)
        outputs = self._first(call)
        if self._skip.intersection(own):
            for signal in (*call.inputs, *outputs):
                self.numbers.fix(signal.channels, "named in --skip-layer")
        self._before[id(node.layer)] = own, call.inputs, outputs
        return outputs

    def _first(self, call: Call) -> list[Signal]:
        from optkit.techniques._shrink.rules import rule_of

        if not call.inputs:
            return call.unknown("has no input to follow")
        if any(len(signal.shape) == 0 for signal in call.inputs):
            return call.unknown("takes a number for each example, not channels")
        if is_model(call.layer):
            if len(call.inputs) != len(call.layer.inputs):
                return call.unknown("a nested model that is called in a way that is not followed")
            return self.model(call.layer, call.inputs, call.path)
        return rule_of(call.layer)(call)

    def _depends_on_channels(self, path: Path) -> bool:
        """Whether a layer, or one inside it, changes when channels go."""
        paths = [cut.path for cut in self.cuts.values()] + [setting.path for setting in self.settings]
        return any(one[: len(path)] == path for one in paths)

    def _again(self, call: Call, path: Path, inputs: list[Signal], outputs: list[Signal]) -> list[Signal]:
        """A layer that was called before takes and gives the channels of its first call."""
        if call.path != path:
            first, second = "/".join(path), "/".join(call.path)
            raise InputError(
                f"shrink: layer {first} is called here and as {second}; a copy of such a model has it twice, and they "
                "would part in training: give each model a layer of its own"
            )
        if [len(one.channels) for one in call.inputs] != [len(one.channels) for one in inputs]:
            reason = "is called with other numbers of channels"
            call.fix(reason)
            for signal in (*inputs, *outputs):
                self.numbers.fix(signal.channels, f"{call.layer.name}: {reason}")
        else:
            for one, before in zip(call.inputs, inputs, strict=True):
                self.numbers.join(one.channels, before.channels)
        for (where, index), cut in list(self.cuts.items()):
            if where[: len(path)] == path:
                # The same layer at another size multiplies as often as that has positions.
                more = self._positions(call, cut, outputs)
                self.cuts[where, index] = cut._replace(positions=cut.positions + more, calls=cut.calls + 1)
        return [Signal(shape, before.channels) for shape, before in zip(call.shapes, outputs, strict=True)]

    @staticmethod
    def _positions(call: Call, cut: Cut, outputs: list[Signal]) -> int:
        first = math.prod(size or 1 for size in outputs[0].shape[:-1])
        return round(cut.positions / cut.calls * call.places() / first) if first else 0
