"""Networks that optkit trains itself, one module each: what they are made of and how they are trained."""

from __future__ import annotations

from typing import Any

from optkit import networks, registry


def build(name: str) -> Any:
    """The untrained tf_keras model of a baseline.

    Args:
        name: The plug-in's name.

    Returns:
        Image float32 [batch, *input_shape] to probabilities float32 [batch, 10].

    Raises:
        InputError: There is no such baseline.
    """
    module = registry.load("baselines", name)
    return networks.build(module.NETWORK, name=name.replace("-", "_"))
