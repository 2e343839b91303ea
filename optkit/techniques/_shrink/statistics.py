"""Batch normalization's statistics, taken anew where what goes into it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.techniques._shrink.scores import batches

if TYPE_CHECKING:
    from optkit.data import Dataset


def renew(model: Any, data: Dataset, seed: int) -> None:
    """Set means and variances of all batch normalization to those of training examples.

    A layer that reads fewer channels gives other sums; running averages would follow only after some hundred steps,
    and until then the network answers, and is scored, wrongly (Li et al., EagleEye, 2020, arXiv:2007.02491, section
    3.3). Layers that are frozen keep theirs.

    Args:
        model: The tf_keras model, changed in place.
        data: Its training part.
        seed: Decides which examples.
    """
    layers = [layer for layer in model._flatten_layers() if getattr(layer, "moving_variance", None) is not None]  # noqa: SLF001  # no public name
    momenta = [layer.momentum for layer in layers]
    for index, (real, _) in enumerate(batches(model, data, seed) if layers else ()):
        for layer in layers:
            # The mean over all batches so far.
            layer.momentum = index / (index + 1)
        model(real, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
