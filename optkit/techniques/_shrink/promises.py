"""What a shrunk model promises: counted from it, and what must hold for each kernel in the exported file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.errors import InternalError
from optkit.schema import Check, KernelExpectation
from optkit.techniques._shrink.choice import cost, keep_of, uncut_parameters
from optkit.techniques._shrink.follow import follow
from optkit.techniques._shrink.scores import layer_at

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from optkit.techniques._shrink.channels import Cut

# TFLite's operator for it is not among those whose kernels are read back.
_NOT_READ = "Conv3DTranspose"
_UNITS = {"channels": "filters and units", "macs": "per example", "parameters": "weights", "bytes": "bytes"}
_NAMES = {
    "channels": "channels that are left",
    "macs": "multiply-accumulates",
    "parameters": "parameters",
    "bytes": "bytes of the file",
}


def counts(model: Any, skip_layers: Collection[str]) -> dict[str, int]:
    """Channels, multiply-accumulates and parameters of a model, from its real weights."""
    followed = follow(model, skip_layers)
    for cut in followed.cuts:
        real = tuple(layer_at(model, cut.path).get_weights()[cut.weight].shape)
        if real != cut.shape:
            raise InternalError(f"shrink: a weight of {'/'.join(cut.path)} is {real}, expected {cut.shape}")
    parameters = int(model.count_params())
    found = cost(followed, keep_of(followed, []), uncut_parameters(followed, parameters))
    return dict(found._asdict())


def checks(before: Mapping[str, int], after: Mapping[str, int], limits: Mapping[str, int], goal: str) -> list[Check]:
    """What was asked for is reached; nothing else is more than it was, and weights are fewer."""
    found = []
    for name, amount in after.items():
        limit = limits[name]
        # Without a channel there are fewer weights and less arithmetic.
        passed = amount <= limit if name == goal else amount < before[name]
        reason = f"asked for, of {before[name]:,}" if name == goal else "fewer than before"
        found.append(Check(_NAMES[name], passed, amount, limit, _UNITS[name], reason))
    return found


def kernels(model: Any, skip_layers: Collection[str]) -> list[KernelExpectation]:
    """Size and arithmetic of every kernel, in the order in which they are used."""
    followed = follow(model, skip_layers)
    return [
        KernelExpectation(_name(model, cut), elements=math.prod(cut.shape), small=True, macs=_macs(model, cut))
        for cut in followed.cuts
        if cut.positions and type(layer_at(model, cut.path)).__name__ != _NOT_READ
    ]


def _name(model: Any, cut: Cut) -> str:
    """The layer's name; the first of a separable convolution's two kernels says which it is."""
    layer = layer_at(model, cut.path)
    name = "/".join(cut.path)
    two = hasattr(layer, "pointwise_kernel") and layer.weights[cut.weight] is layer.depthwise_kernel
    return f"{name} (depthwise)" if two else name


def _macs(model: Any, cut: Cut) -> int | None:
    """Multiply-accumulates that an operator with this kernel must have; ``None`` where converters lay it out anew."""
    layer = layer_at(model, cut.path)
    # With padding between the values (dilation), as two operators (two calls), as one table (dense on a series).
    dilated = np.any(np.array(getattr(layer, "dilation_rate", 1)) != 1)
    if cut.calls > 1 or dilated or (type(layer).__name__ == "Dense" and cut.positions > 1):
        return None
    return math.prod(cut.shape) * cut.positions
