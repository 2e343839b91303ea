"""A moving average of the weights, kept beside the ones that are trained."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


class Average:
    """The exponential moving average of a model's float weights, normalization's statistics among them.

    The momentum of step n is at most (1 + n) / (10 + n), as in ``tf.train.ExponentialMovingAverage``: else the random
    weights of the start would still be in the average when a short training ends.
    """

    def __init__(self, model: Any, momentum: float) -> None:
        """Start from the model's weights as they are now."""
        import tensorflow as tf

        self._momentum = momentum
        self._trained = [weight for weight in model.weights if weight.dtype.is_floating]
        self._averages = [tf.Variable(weight, trainable=False) for weight in self._trained]

    def update(self, steps: Any) -> None:
        """Take in the weights after a step; inside a TensorFlow function.

        Args:
            steps: Number of steps done, at least 1: int64 scalar tensor.
        """
        import tensorflow as tf

        done = tf.cast(steps, tf.float32)
        share = 1.0 - tf.minimum(self._momentum, (1.0 + done) / (10.0 + done))
        for average, weight in zip(self._averages, self._trained, strict=True):
            average.assign_add(tf.cast(share, weight.dtype) * (weight - average))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights for so long."""
        trained = [weight.numpy() for weight in self._trained]
        self.put_in()
        try:
            yield
        finally:
            for weight, value in zip(self._trained, trained, strict=True):
                weight.assign(value)

    def put_in(self) -> None:
        """Give the model the averaged weights for good."""
        for weight, average in zip(self._trained, self._averages, strict=True):
            weight.assign(average)

    def values(self) -> list[np.ndarray]:
        """The averages, for a checkpoint."""
        return [average.numpy() for average in self._averages]

    def restore(self, values: list[np.ndarray]) -> None:
        """Go on from averages of ``values``."""
        for average, value in zip(self._averages, values, strict=True):
            average.assign(value)
