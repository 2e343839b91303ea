"""The update rule and its rate over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.training.plan import TrainingPlan

# Share of the steps in which one-cycle's rate rises, and what part of it that begins with, as PyTorch has them.
RISING_SHARE = 0.3
START_DIVISOR = 25.0
# What weight decay leaves alone: biases and the scales of normalization, which have no size to keep small.
NOT_DECAYED = ["bias", "gamma", "beta"]


class Rule(NamedTuple):
    """An update rule.

    Attributes:
        optimizer: The tf_keras optimizer.
        cut: Lowers the rate as ``plateau`` does; does nothing for other schedules.
    """

    optimizer: Any
    cut: Callable[[], None]


def rule(plan: TrainingPlan, *, steps: int) -> Rule:
    """The optimizer that a plan describes.

    Args:
        plan: Rule, rate and schedule.
        steps: Steps of one epoch.
    """
    from tf_keras import optimizers

    rate, cut = _rate(plan, steps)
    if plan.optimizer == "sgd":
        made = optimizers.SGD(rate, momentum=plan.momentum, nesterov=plan.nesterov)
    elif plan.optimizer == "rmsprop":
        made = optimizers.RMSprop(rate, momentum=plan.momentum)
    elif plan.optimizer == "adamw":
        made = optimizers.AdamW(rate, weight_decay=plan.weight_decay)
        made.exclude_from_weight_decay(var_names=NOT_DECAYED)
    else:
        made = {"adagrad": optimizers.Adagrad, "adam": optimizers.Adam}[plan.optimizer](rate)
    return Rule(made, cut)


def _rate(plan: TrainingPlan, steps: int) -> tuple[Any, Callable[[], None]]:
    """A number where the rate never changes, else a schedule over steps; and what cuts it."""
    from tf_keras.optimizers import schedules

    total, warm = max(1, plan.epochs * steps), round(plan.warmup_epochs * steps)
    if plan.schedule == "constant" and not warm:
        return plan.learning_rate, _nothing
    if plan.schedule == "cosine" and not warm:
        return schedules.CosineDecay(plan.learning_rate, total), _nothing
    if plan.schedule == "cosine":
        rest = max(1, total - warm)
        return schedules.CosineDecay(0.0, rest, warmup_target=plan.learning_rate, warmup_steps=warm), _nothing
    if plan.schedule == "one-cycle":
        return _one_cycle(plan.learning_rate, total, warm), _nothing
    return _steady(plan, warm)


def _nothing() -> None:
    """The rate is not cut."""


def _steady(plan: TrainingPlan, warm: int) -> tuple[Any, Callable[[], None]]:
    """The same rate once it is warm, until it is cut."""
    import tensorflow as tf
    from tf_keras.optimizers import schedules

    rate = tf.Variable(plan.learning_rate, trainable=False, dtype=tf.float32)

    class Steady(schedules.LearningRateSchedule):  # type: ignore[misc]  # tf_keras ships no types
        """As a function of the step."""

        def __call__(self, step: Any) -> Any:
            """The rate."""
            return rate * tf.minimum(1.0, (tf.cast(step, tf.float32) + 1.0) / max(1, warm))

        def get_config(self) -> dict[str, Any]:
            """What it is made of."""
            return {"rate": plan.learning_rate, "warm": warm}

    def cut() -> None:
        if plan.schedule == "plateau":
            # One that begins below the floor stays where it is.
            lowest = min(plan.plateau_floor, float(rate))
            rate.assign(max(lowest, float(rate) * plan.plateau_factor))

    return Steady(), cut


def _one_cycle(rate: float, total: int, warm: int) -> Any:
    """Up in a straight line and down to zero along a cosine; a warm-up takes the place of the rise."""
    import tensorflow as tf
    from tf_keras.optimizers import schedules

    rising = float(warm or max(1, round(RISING_SHARE * total)))
    start = 0.0 if warm else rate / START_DIVISOR

    class OneCycle(schedules.LearningRateSchedule):  # type: ignore[misc]  # tf_keras ships no types
        """As a function of the step."""

        def __call__(self, step: Any) -> Any:
            """The rate."""
            now = tf.cast(step, tf.float32)
            up = start + (rate - start) * now / rising
            done = tf.clip_by_value((now - rising) / max(1.0, total - rising), 0.0, 1.0)
            return tf.where(now < rising, up, rate * 0.5 * (1.0 + tf.cos(math.pi * done)))

        def get_config(self) -> dict[str, Any]:
            """What it is made of."""
            return {"rate": rate, "total": total, "rising": rising}

    return OneCycle()
