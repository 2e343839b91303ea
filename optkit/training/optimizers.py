"""The update rule of a plan, and its learning rate at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optkit.training.plan import TrainingPlan

# Of one-cycle: it starts at that share of the highest rate, and rises for that share of the steps.
CYCLE_START = 1 / 25
CYCLE_RISE = 0.3


def optimizer_of(plan: TrainingPlan, steps: int, trained: list[Any]) -> Any:
    """The Keras optimizer of a plan, not built yet.

    Args:
        plan: How to train.
        steps: Steps of an epoch.
        trained: The variables that it will be given. Of these only kernels (two axes and more) take part in
            ``weight_decay``: pulling biases and normalization to zero does not make a network simpler.

    Returns:
        A tf_keras optimizer. With the ``plateau`` schedule, ``cut_rate`` lowers its rate.
    """
    import tf_keras

    rate, optimizers = _rate_of(plan, steps), tf_keras.optimizers
    if plan.optimizer == "sgd":
        return optimizers.SGD(rate, momentum=plan.momentum, nesterov=plan.nesterov)
    if plan.optimizer == "rmsprop":
        return optimizers.RMSprop(rate, momentum=plan.momentum)
    if plan.optimizer == "adagrad":
        return optimizers.Adagrad(rate)
    if plan.optimizer == "adam":
        return optimizers.Adam(rate)
    optimizer = optimizers.AdamW(rate, weight_decay=plan.weight_decay)
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in trained if len(variable.shape) < 2])
    return optimizer


def cut_rate(optimizer: Any, plan: TrainingPlan) -> None:
    """Multiply the rate of a ``plateau`` plan's optimizer by the plan's factor, but never go below its floor."""
    top = highest_rate(optimizer)
    # A rate that is below the floor from the start stays where it is.
    top.assign(max(float(top) * plan.plateau_factor, min(plan.plateau_floor, float(top))))


def highest_rate(optimizer: Any) -> Any:
    """The variable that ``cut_rate`` lowers; ``None`` with schedules that depend on the step alone."""
    # The public property gives the rate, not the schedule.
    return getattr(optimizer._learning_rate, "top", None)  # noqa: SLF001


def _rate_of(plan: TrainingPlan, steps: int) -> Any:
    import tf_keras

    total = max(1, plan.epochs * steps)
    if not plan.warmup_epochs and plan.schedule == "constant":
        return plan.learning_rate
    if not plan.warmup_epochs and plan.schedule == "cosine":
        return tf_keras.optimizers.schedules.CosineDecay(plan.learning_rate, total)
    return _schedule(plan, plan.warmup_epochs * steps, total)


def _schedule(plan: TrainingPlan, warmup: float, total: int) -> Any:
    """Rate by step: warm-up, then the schedule over the steps that are left, times a variable highest rate."""
    import math

    import tensorflow as tf
    import tf_keras

    class Rate(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras ships no types
        def __init__(self) -> None:
            self.top = tf.Variable(plan.learning_rate, trainable=False, dtype=tf.float32, name="highest_rate")

        def __call__(self, step: Any) -> Any:
            step = tf.cast(step, tf.float32)
            done = tf.clip_by_value((step - warmup) / (total - warmup), 0.0, 1.0)
            share: Any = tf.ones_like(step)
            if plan.schedule == "cosine":
                share = 0.5 * (1.0 + tf.cos(math.pi * done))
            elif plan.schedule == "one-cycle":
                rise = CYCLE_START + (1.0 - CYCLE_START) * done / CYCLE_RISE
                share = tf.minimum(rise, (1.0 - done) / (1.0 - CYCLE_RISE))
            if warmup:
                # The first step already learns something, the last one of the warm-up at the full rate.
                share = tf.where(step < warmup, tf.minimum(1.0, (step + 1.0) / warmup), share)
            return self.top * share

        def get_config(self) -> dict[str, Any]:
            return {}

    return Rate()
