"""Kernels rounded to 4 bits in training, by steps that are learned with the weights.

Esser et al., Learned step size quantization, 2020, arXiv:1902.08153: with a step s, a weight w becomes
round(clip(w / s, -Q, Q)) * s (equations 1 and 2). The gradient for s is round(w / s) - w / s within and -Q or Q beyond
(equation 3), for w 1 within and 0 beyond (equation 5), and that for s is scaled by 1 / sqrt(N * Q) of a kernel's N
weights. Otherwise than there, steps are learned by their logarithms, so that they stay above 0 and move by a share of
themselves whatever their unit, and they start where the squared error is least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optkit.errors import InputError
from optkit.techniques._steps import MOST, best_steps

if TYPE_CHECKING:
    from collections.abc import Iterable

# tensorflow-model-optimization's symmetric 8-bit kernels.
_MOST_8 = 127


class Learned(NamedTuple):
    """A kernel with its step, in training."""

    layer: str
    kernel: Any
    log_step: Any
    mask: np.ndarray | None


def attach(quantized: Any, layers: Iterable[str], *, per_tensor: bool, keep_zeros: bool) -> list[Learned]:
    """Let the kernels of some wrapped layers be rounded by learned steps in place of 8 bits.

    Args:
        quantized: A model of tensorflow-model-optimization's 8-bit scheme, which is changed: ``settle`` brings its
            weights into a whole one.
        layers: Names of the layers in their wrappers, convolutions and dense ones.
        per_tensor: One step for a kernel, where the scheme has one for each output channel.
        keep_zeros: Weights that are zero stay so.

    Raises:
        InputError: The scheme rounds no kernel of a layer.
    """
    import tf_keras

    learned = []
    wrappers = wrapped(quantized)
    for name in layers:
        wrapper = wrappers[name]
        if len(wrapper._weight_vars) != 1:  # noqa: SLF001  # there is no other way to a wrapper's quantizer
            raise InputError(f"qat: tensorflow-model-optimization does not round the kernel of {name} in this place")
        ((kernel, _, variables),) = wrapper._weight_vars  # noqa: SLF001
        values = kernel.numpy()
        shape = () if per_tensor else tuple(variables["min_var"].shape)
        rows = values.reshape(-1, values.shape[-1]).T
        found = best_steps(rows, np.ones((1, rows.shape[1])), per_tensor=not shape)
        # A channel of zeros has no best step; any will do until its weights move.
        found = np.where(found > 0, found, np.abs(values).max() / MOST or 1.0)
        log_step = wrapper.add_weight(
            "kernel_log_step",
            shape=shape,
            initializer=tf_keras.initializers.Constant(np.log(found).reshape(shape)),
            trainable=True,
        )
        one = Learned(name, kernel, log_step, (values != 0).astype(values.dtype) if keep_zeros else None)
        wrapper._weight_vars = [(kernel, _rounding(one), variables)]  # noqa: SLF001
        learned.append(one)
    return learned


def settle(trained: Any, whole: Any, learned: list[Learned]) -> None:
    """Bring trained weights into a model of the 8-bit scheme that rounds them to the very same values.

    With the range of 127 steps either way, its 8-bit values are the 15 values of 4 bits. So what is saved is a model
    that tensorflow-model-optimization, and all that reads its models, knows.

    Args:
        trained: The model that ``attach`` changed.
        whole: Another one of the same scheme, whose weights are set.
        learned: What ``attach`` gave back.
    """
    steps = [one.log_step for one in learned]
    for before, after in zip(trained.layers, whole.layers, strict=True):
        own = [weight for weight in before.weights if not any(weight is step for step in steps)]
        for source, target in zip(own, after.weights, strict=True):
            target.assign(source)
    wrappers = wrapped(whole)
    for one in learned:
        ((kernel, _, variables),) = wrappers[one.layer]._weight_vars  # noqa: SLF001
        step = np.exp(one.log_step.numpy())
        kernel.assign(_rounding(one)(one.kernel, training=False).numpy())
        reach = np.broadcast_to(_MOST_8 * step, tuple(variables["min_var"].shape))
        variables["min_var"].assign(-reach)
        variables["max_var"].assign(reach)


def values(quantized: Any, layer: str) -> np.ndarray:
    """The kernel that a layer computes with, as its wrapper's quantizer rounds it if it has one, [..., channels]."""
    wrapper = wrapped(quantized).get(layer)
    if wrapper is None:
        return np.asarray(quantized.get_layer(layer).kernel)
    ((kernel, quantizer, variables),) = wrapper._weight_vars  # noqa: SLF001
    found: np.ndarray = quantizer(kernel, training=False, weights=variables).numpy()
    return found


def rounded_weights(quantized: Any) -> dict[str, int]:
    """How many weights of each wrapped layer are rounded in training."""
    return {name: len(wrapper._weight_vars) for name, wrapper in wrapped(quantized).items()}  # noqa: SLF001


def wrapped(quantized: Any) -> dict[str, Any]:
    """Wrappers that quantize a layer, by its name."""
    return {layer.layer.name: layer for layer in quantized.layers if hasattr(layer, "_weight_vars")}


def _rounding(one: Learned) -> Any:
    """What a wrapper calls in place of its quantizer."""
    import tensorflow as tf

    channels = max(1, int(np.prod(one.log_step.shape)))
    share = 1 / np.sqrt(int(np.prod(one.kernel.shape)) / channels * MOST)

    def rounded(kernel: Any, training: Any, weights: Any = None) -> Any:  # noqa: ARG001  # the wrapper's signature
        step = tf.exp(one.log_step)
        step = step * share + tf.stop_gradient(step - step * share)
        scaled = tf.clip_by_value((kernel if one.mask is None else kernel * one.mask) / step, -MOST, MOST)
        return (scaled + tf.stop_gradient(tf.round(scaled) - scaled)) * step

    return rounded
