"""The tf_keras layers that stand for one operation of a Keras 3 model, made once and under its name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Convert = Callable[..., Any]

# What TensorFlow takes as the name of a scope.
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.\\/>-]")


class NotRebuildableError(InputError):
    """A layer or operation of a Keras 3 model has no counterpart in tf_keras.

    Attributes:
        layer: Its name.
        reason: Why it cannot be rebuilt.
    """

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(
            f"layer {layer!r} cannot be rebuilt in tf_keras: {reason}; replace it by a standard layer, "
            "or give the model as a SavedModel (post-training techniques only)"
        )
        self.layer, self.reason = layer, reason


class Names:
    """A name for every operation, unique in the one flat model that nested ones are put into.

    Args:
        operations: Each with the names of the nested models that it lies in, outermost first.
    """

    def __init__(self, operations: Iterable[tuple[Any, Sequence[str]]]) -> None:
        self.notes: list[str] = []
        self._taken: set[str] = set()
        self._names: dict[int, str] = {}
        for operation, within in operations:
            if id(operation) not in self._names:
                name = self.free(operation.name, within)
                self._names[id(operation)] = name
                if name != operation.name:
                    self.notes.append(
                        f"layer {'/'.join([*within, operation.name])} is called {name} in the rebuilt model"
                    )

    def of(self, operation: Any) -> str:
        """The name that was settled for an operation of the source model."""
        return self._names[id(operation)]

    def free(self, name: str, within: Sequence[str] = ()) -> str:
        """That name, or the nearest one which TensorFlow takes and no other layer has; it is taken from now on."""
        plain = _NOT_IN_A_NAME.sub("_", name)
        plain = plain if plain[:1].isalnum() else f"layer{plain}"
        prefixed = "_".join([*(_NOT_IN_A_NAME.sub("_", part) for part in within), plain])
        candidates = [plain, prefixed, *(f"{prefixed}_{number}" for number in range(2, len(self._taken) + 3))]
        found = next(candidate for candidate in candidates if candidate not in self._taken)
        self._taken.add(found)
        return found


@dataclass
class Parts:
    """Makes the layers of one operation, and gives the same ones when it is called again.

    Attributes:
        name: Name of the operation in the rebuilt model.
        outputs: What the source model says of its outputs (shapes with the batch, dtypes).
        names: For layers that it needs besides the one of its own name.
        convert: Applies another Keras 3 layer, such as one given as an activation, under a suffix to the name.
    """

    name: str
    outputs: Sequence[Any]
    names: Names
    convert: Convert
    trainable: bool = True
    notes: list[str] = field(default_factory=list)
    _made: list[tuple[Any, bool]] = field(default_factory=list)
    _used: int = 0

    def start(self) -> None:
        """Begin a call: the layers come again in the order in which they were made."""
        self._used = 0

    def layer(
        self,
        make: Callable[..., Any],
        suffix: str = "",
        weights: Callable[[], Sequence[np.ndarray]] | None = None,
        **config: Any,
    ) -> Callable[..., Any]:
        """The next layer.

        Args:
            make: Class of tf_keras, called with a name and ``config``.
            suffix: Empty for the layer that bears the operation's own name.
            weights: Its weights, set when the first call has built it.
            config: Arguments of the class.
        """
        if self._used == len(self._made):
            name = self.names.free(f"{self.name}_{suffix}") if suffix else self.name
            made = make(name=name, **config)
            made.trainable = self.trainable
            self._made.append((made, weights is None))
        place = self._used
        self._used += 1
        layer, is_set = self._made[place]

        def call(*args: Any, **kwargs: Any) -> Any:
            result = layer(*args, **kwargs)
            if weights is not None and not is_set:
                layer.set_weights(weights())
                self._made[place] = (layer, True)
            return result

        return call

    def freeze(self) -> None:
        """Make the layers trainable or not, as the operation is in the source model."""
        for layer, _ in self._made:
            layer.trainable = self.trainable

    def made_names(self) -> list[str]:
        """Names of the layers made so far."""
        return [layer.name for layer, _ in self._made]

    def op(self, function: Callable[..., Any], suffix: str = "") -> Callable[..., Any]:
        """The next layer, one that calls a function of TensorFlow's public interface."""
        from tf_keras.src.layers.core.tf_op_layer import TFOpLambda

        return self.layer(TFOpLambda, suffix, function=function)

    def refuse(self, reason: str) -> NotRebuildableError:
        """The error to raise."""
        return NotRebuildableError(self.name, reason)


def as_float32(dtype: str) -> str:
    """The rebuilt model's type for one of the source model: every float is float32."""
    return "float32" if "float" in dtype else dtype


def is_tensor(value: Any) -> bool:
    """Whether an argument is computed, not a constant (constants come as numpy arrays and Python values)."""
    return not isinstance(value, (np.ndarray, np.generic, int, float, complex, str, list, tuple, slice, type(None)))


def plain(value: Any) -> Any:
    """A constant as Python numbers, which the configuration of a model can hold."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def cast(parts: Parts, value: Any, dtype: str) -> Any:
    """A tensor in another type; the same one if it has it already."""
    import tensorflow as tf

    if tf.as_dtype(value.dtype).name == dtype:
        return value
    return parts.op(tf.cast, "cast")(value, dtype)
