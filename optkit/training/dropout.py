"""Dropout whose masks are a function of the step, so that training can go on where it was killed.

TensorFlow keeps the state of a random operator inside it, where it can be neither read nor set. But that state is only
a count of the numbers drawn: ``RandomUniform`` is Philox (Salmon et al., Parallel random numbers: as easy as 1, 2, 3,
2011) with the operator's two seeds as key and upper counter, and each run moves the lower counter on by 256 for every
number. The stateless operator gives the same numbers for the same key and counter, so masks come out to the bit as they
would without a checkpoint.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Counters that one number takes of the stream of a ``RandomUniform``.
_COUNTERS = 256
_PHILOX = 1


def restorable(model: Any) -> bool:
    """Whether ``Masks`` can stand in for all that is random in a model: it has no random layers but plain Dropout."""
    from tf_keras import layers

    return all(type(layer) is layers.Dropout and layer.noise_shape is None for layer in _random(model))


def _random(model: Any) -> list[Any]:
    return [layer for layer in model._flatten_layers() if hasattr(layer, "_random_generator")]  # noqa: SLF001


class Masks:
    """Stands in for the random generators of a model's Dropout layers.

    A TensorFlow function is traced once for each number of steps that it is called with, and each trace has operators,
    seeds and counts of its own. So every trace is made twice: to note the seeds, and to use them.

    Args:
        model: A tf_keras model that is ``restorable``.
        steps: Steps of an epoch.
        chunk: Steps of a call, but for an epoch's last.
    """

    def __init__(self, model: Any, steps: int, chunk: int) -> None:
        self._layers = _random(model)
        self._steps, self._chunk = steps, chunk
        self._seeds: dict[int, list[tuple[int, int]]] = {}
        self._noting = False
        self._count, self._used = 0, 0
        self._before: Any = None
        self._step: Any = None

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The layers take their masks from here for so long."""
        own = [layer._random_generator for layer in self._layers]  # noqa: SLF001
        for layer, generator in zip(self._layers, own, strict=True):
            layer._random_generator = _Generator(self, generator)  # noqa: SLF001
        try:
            yield
        finally:
            for layer, generator in zip(self._layers, own, strict=True):
                layer._random_generator = generator  # noqa: SLF001

    def note(self, function: Callable[..., Any], count: int, *given: Any) -> None:
        """Trace a function for calls of ``count`` steps as it would be without checkpoints, and note its seeds."""
        if count in self._seeds:
            return
        self._noting, self._seeds[count] = True, []
        function.get_concrete_function(*given)  # type: ignore[attr-defined]  # of a TensorFlow function
        self._noting = False

    def at(self, count: int, before: Any, step: Any) -> None:
        """A step is about to be traced; adds no operators, which would change the seeds of those after them."""
        self._count, self._before, self._step, self._used = count, before, step, 0

    def dropout(self, own: Any, inputs: Any, rate: float) -> Any:
        """What ``tf.nn.dropout`` gives at this step."""
        import tensorflow as tf

        def plain(shape: Any, dtype: Any) -> Any:
            drawn = tf.random.uniform(shape, dtype=dtype, seed=own.make_legacy_seed())
            self._seeds[self._count].append((drawn.op.get_attr("seed"), drawn.op.get_attr("seed2")))
            return drawn

        def by_step(shape: Any, dtype: Any) -> Any:
            key, upper = self._seeds[self._count][self._used]
            self._used += 1
            size = math.prod(inputs.shape) * _COUNTERS
            counter = tf.stack([self._runs() * size, tf.constant(upper, tf.int64)])
            bits = tf.bitcast(counter, tf.uint64), tf.bitcast(tf.constant([key], tf.int64), tf.uint64)
            return tf.raw_ops.StatelessRandomUniformV2(
                shape=shape, key=bits[1], counter=bits[0], alg=_PHILOX, dtype=dtype
            )

        return tf.nn.experimental.general_dropout(inputs, rate, plain if self._noting else by_step)

    def _runs(self) -> Any:
        """How often the operators of this trace have run before: int64 scalar tensor."""
        import tensorflow as tf

        epoch, first = self._before // self._steps, self._before % self._steps
        whole = self._steps // self._chunk * self._chunk
        runs = epoch * whole + first if self._count == self._chunk else epoch * (self._steps - whole)
        return tf.cast(runs + self._step, tf.int64)


class _Generator:
    """What a Dropout layer calls."""

    def __init__(self, masks: Masks, own: Any) -> None:
        self._masks, self._own = masks, own

    def dropout(self, inputs: Any, rate: float, noise_shape: Any = None) -> Any:  # noqa: ARG002  # the layer's call
        return self._masks.dropout(self._own, inputs, rate)
