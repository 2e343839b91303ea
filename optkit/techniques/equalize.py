"""Cross-layer equalization: factors move between neighbouring layers' channels, so that int8 rounds them evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from optkit.schema import Check, LayerNote
from optkit.techniques import Applied, Work, _channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import KernelExpectation

SUMMARY = (
    "evens out the channels' ranges of neighbouring layers before int8, batch normalization folded first; the float "
    "model answers the same; kernels have a scale for each channel here, so what gains is activations, where channels "
    "reach very differently far"
)
SOURCE = (
    "Nagel et al., Data-free quantization through weight equalization and bias correction, 2019, arXiv:1906.04721, "
    "section 4.1, eq. 11 (without replacing ReLU6 and without absorbing biases, which change the float model)"
)
NOT_AFTER = {
    "cluster": "a factor for each channel makes many values of one cluster; put equalize first",
    "qat": "the quantizers would keep ranges of weights that are gone; put equalize first",
}
MOST_SWEEPS = 200
# Of a factor to its neighbour's: an 8-bit scale that is off by a hundredth loses a hundredth of a step.
CONVERGED = 1e-3
RATIO_LIMIT = 1.01
# The same real function: what remains is the rounding of float32 (6e-8 of each product, over sums of some thousand).
OUTPUT_LIMIT = 1e-4
COMPARED_IMAGES = 100


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters: there are none; nothing is trained and nothing is measured on data."""


def requires(model: Any, work: Work) -> str | None:
    """Two layers with kernels must follow each other with nothing between that a factor changes."""
    if len(model.inputs) != 1:
        return f"the model has {len(model.inputs)} inputs; only models with one are done"
    found, reasons = _channels.pairs(_channels.folded(model, work.skip_layers)[0], work.skip_layers)
    if found:
        return None
    return f"no two layers can be equalized ({'; '.join(f'{k}: {v}' for k, v in reasons.items()) or 'no kernels'})"


def apply(model: Any, work: Work) -> Applied:
    """Fold batch normalization, then equalize all pairs in turn until nothing moves any more."""
    result, gone = _channels.folded(model, work.skip_layers)
    found, reasons = _channels.pairs(result, work.skip_layers)
    layers = {layer.name: layer for layer in result.layers}
    weights = {
        name: [weight.astype(np.float64) for weight in layers[name].get_weights()]
        for name in {name for pair in found for name in pair[:2]}
    }
    for _ in range(MOST_SWEEPS):
        moved = [_equalize(layers, weights, pair) for pair in found]
        if max(moved) < CONVERGED:
            break
    for name, values in weights.items():
        layers[name].set_weights([value.astype(np.float32) for value in values])
    notes = [_note(layer.name, found, reasons, gone) for layer in model.layers]
    return Applied(result, notes, [], layers=[layer.name for layer in result.layers])


def _equalize(layers: dict[str, Any], weights: dict[str, list[np.ndarray]], pair: _channels.Pair) -> float:
    """Give both layers of a pair the same range in every channel: s = √(r₁ r₂) / r₂ (eq. 11).

    Returns:
        How far it moved: the largest magnitude of a factor's logarithm.
    """
    first, second = layers[pair.first], layers[pair.second]
    r1 = _channels.given_ranges(first, weights[pair.first])
    r2 = _channels.taken_ranges(second, weights[pair.second], pair.channels)
    live = (r1 > 0) & (r2 > 0)
    factors = np.ones(pair.channels)
    factors[live] = np.sqrt(r1[live] / r2[live])
    _channels.scale_given(first, weights[pair.first], 1 / factors)
    _channels.scale_taken(second, weights[pair.second], factors)
    return float(np.abs(np.log(factors)).max())


def _note(layer: str, found: Sequence[_channels.Pair], reasons: dict[str, str], gone: dict[str, str]) -> LayerNote:
    if layer in gone:
        return LayerNote(layer, changed=True, reason=f"folded into {gone[layer]}")
    partners = [pair.second for pair in found if pair.first == layer]
    partners += [pair.first for pair in found if pair.second == layer]
    if partners:
        return LayerNote(layer, changed=True, reason=f"channel ranges evened out with {' and '.join(partners)}")
    folded = [one for one, into in gone.items() if into == layer]
    if folded:
        reason = f"{folded[0]} folded into it; not equalized: {reasons[layer]}"
        return LayerNote(layer, changed=True, reason=reason)
    return LayerNote(layer, changed=False, reason=reasons.get(layer, "has no kernel whose channels can be scaled"))


def ensures(
    model: Any,
    work: Work,
    notes: Sequence[LayerNote],  # noqa: ARG001  # the plug-in's signature
) -> tuple[list[Check], list[KernelExpectation]]:
    """Both layers of every pair have the same ranges, and the outputs are those of the model before."""
    checks = []
    for pair in _channels.pairs(_channels.folded(model, work.skip_layers)[0], work.skip_layers)[0]:
        first, second = model.get_layer(pair.first), model.get_layer(pair.second)
        r1 = _channels.given_ranges(first, first.get_weights())
        r2 = _channels.taken_ranges(second, second.get_weights(), pair.channels)
        live = (r1 > 0) & (r2 > 0)
        ratio = float(np.exp(np.abs(np.log(r1[live] / r2[live])).max())) if live.any() else 1.0
        checks.append(
            Check(
                f"channel ranges of {pair.first} and {pair.second}",
                passed=ratio <= RATIO_LIMIT,
                observed=ratio,
                limit=RATIO_LIMIT,
                unit="times the other",
                reason="eq. 11 makes them equal",
            )
        )
    checks.append(_same_outputs(model, work))
    return checks, []


def _same_outputs(model: Any, work: Work) -> Check:
    """The largest difference of an output from the model's before, over the largest output, on real images."""
    from optkit import keras_models

    part = work.data.validation if len(work.data.validation.labels) else work.data.train
    images = work.data.real(part.images[:COMPARED_IMAGES], tuple(model.input_shape[1:]))
    before, after = keras_models.outputs_of(work.source, images), keras_models.outputs_of(model, images)
    difference = float(np.abs(after - before).max() / max(float(np.abs(before).max()), np.finfo(np.float32).tiny))
    return Check(
        "float outputs unchanged",
        passed=difference <= OUTPUT_LIMIT,
        observed=difference,
        limit=OUTPUT_LIMIT,
        unit="of the largest output",
        reason="what one layer's channel loses the next one's gains",
    )
