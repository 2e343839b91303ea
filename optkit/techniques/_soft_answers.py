"""Soft answers of teachers, and how far a student is from them (Hinton et al., 2015, arXiv:1503.02531, section 2).

Logits are divided by a temperature T before they become probabilities (eq. 1). Where a model gives probabilities, the
logits are taken back from them: up to a constant, which softmax does not see, they are their logarithms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.problem import Task
    from optkit.techniques import Teacher

# The least float32 that softmax gives before it rounds to 0.
_LEAST_PROBABILITY = 1.2e-38
# As near to 0 and 1 as float32 tells a probability from 1.
_EDGE = 6e-8


class Answers(NamedTuple):
    """What the answers are about; probabilities are float32 [batch, task.size], values likewise."""

    task: Task
    temperature: float

    @property
    def unit(self) -> str:
        """Of ``loss``."""
        return "mean squared error" if self.task.kind == "regression" else "nats, with the temperature's square"

    def soft(self, outputs: Any, task: Task | None = None) -> Any:
        """Softened probabilities of a model's outputs; values stay as they are.

        Args:
            outputs: float32 [batch, task.size].
            task: What they stand for, where that is not the student's task.
        """
        import tensorflow as tf

        logits = self._logits(outputs, task or self.task)
        if self.task.kind == "regression":
            return logits
        return tf.nn.softmax(logits) if self._one_of_several else tf.sigmoid(logits)

    def loss(self, soft: Any, outputs: Any) -> Any:
        """How far a student's outputs are from soft answers, for each example, float32 [batch].

        The divergence KL(soft ‖ student) times T², which keeps its gradient's size whatever the temperature is
        (section 2.1); it differs from the paper's cross-entropy by what the student has no part in, and is 0 where
        both agree. For probabilities of their own it is the mean over them, for values the squared error.
        """
        return self._divergence(soft, self._logits(outputs, self.task))

    def loss_of_the_mean(self, soft: Any) -> Any:
        """The same for a student that gives the mean of the soft answers to every example: what knows none costs."""
        import tensorflow as tf

        mean = tf.reduce_mean(soft, axis=0, keepdims=True)
        if self.task.kind == "regression":
            return self._divergence(soft, mean)
        return self._divergence(soft, _log(mean) if self._one_of_several else _logit(mean))

    def _divergence(self, soft: Any, logits: Any) -> Any:
        """See ``loss``; the logits are over the temperature already."""
        import tensorflow as tf

        if self.task.kind == "regression":
            return tf.reduce_mean((logits - soft) ** 2, axis=-1)
        if self._one_of_several:
            losses = soft * (_log(soft) - tf.nn.log_softmax(logits))
            return tf.reduce_sum(losses, axis=-1) * self.temperature**2
        own, other = tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
        losses = soft * (_log(soft) - own) + (1.0 - soft) * (_log(1.0 - soft) - other)
        return tf.reduce_mean(losses, axis=-1) * self.temperature**2

    @property
    def _one_of_several(self) -> bool:
        return self.task.kind == "multiclass" and self.task.outputs != "sigmoids"

    def _logits(self, outputs: Any, task: Task) -> Any:
        """Logits over the temperature; values as they are."""
        if self.task.kind == "regression":
            return outputs
        if task.outputs == "logits":
            return outputs / self.temperature
        return (_log(outputs) if self._one_of_several else _logit(outputs)) / self.temperature


def _log(probabilities: Any) -> Any:
    import tensorflow as tf

    return tf.math.log(tf.maximum(probabilities, _LEAST_PROBABILITY))


def _logit(probabilities: Any) -> Any:
    import tensorflow as tf

    inside = tf.clip_by_value(probabilities, _EDGE, 1.0 - _EDGE)
    return tf.math.log(inside) - tf.math.log1p(-inside)


def ask(teachers: Sequence[Teacher], answers: Answers) -> Callable[[Any], Any]:
    """The mean of the teachers' softened probabilities, or of their values.

    Returns:
        Takes images float32 [batch, …] of any shape with as many values, gives [batch, task.size].
    """
    import tensorflow as tf

    loaded = [(teacher.load(), teacher.task) for teacher in teachers]

    def mean(images: Any) -> Any:
        soft = []
        for model, task in loaded:
            shaped = tf.reshape(images, [-1, *model.input_shape[1:]])
            soft.append(answers.soft(model(shaped, training=False), task))
        return tf.add_n(soft) / len(soft)

    return mean
