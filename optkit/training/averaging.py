"""An exponential moving average of a model's weights, which are often better than the last ones."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Average:
    """The average of all weights of a model, the statistics of batch normalization among them.

    Source: Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992; the early steps, where
    the first weights would weigh too much, as in TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.

    Args:
        model: A tf_keras model.
        momentum: Share of the old average that each step keeps, 0 to 1.
    """

    def __init__(self, model: Any, momentum: float) -> None:
        import tensorflow as tf

        self._weights, self._momentum = list(model.weights), momentum
        self._averages = [tf.Variable(weight, trainable=False) for weight in self._weights]

    def update(self, step: Any) -> None:
        """Take the weights after a step in; inside of a TensorFlow function.

        Args:
            step: Steps before this one, int64 or float32 [].
        """
        import tensorflow as tf

        done = tf.cast(step, tf.float32)
        kept = tf.minimum(self._momentum, (1.0 + done) / (10.0 + done))
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(kept * average + (1.0 - kept) * weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model computes with the averages."""
        own = [weight.numpy() for weight in self._weights]
        self.keep()
        try:
            yield
        finally:
            for weight, value in zip(self._weights, own, strict=True):
                weight.assign(value)

    def keep(self) -> None:
        """The averages become the model's weights."""
        for weight, average in zip(self._weights, self._averages, strict=True):
            weight.assign(average)
