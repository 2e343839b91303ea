"""Bias correction: biases take back the mean shift of each layer's output that rounding its weights brings about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec import Struct

from optkit.schema import Check, LayerNote
from optkit.techniques import Applied, Work, _channels, _graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optkit.schema import KernelExpectation

SUMMARY = (
    "takes back, in the biases, the mean shift of each layer's output that int8 weights bring about, batch "
    "normalization folded first; with a scale for each channel that is some thousandths of its spread, so expect little"
)
SOURCE = (
    "Nagel et al., Data-free quantization through weight equalization and bias correction, 2019, arXiv:1906.04721, "
    "section 4.2 and appendix D (means measured on the calibration data)"
)
NOT_AFTER = {"qat": "it was trained with the rounding, which its biases know already"}
# It is about the weights of these precisions as they stand: training after it would be about others.
LAST_BEFORE = ("int8", "dynamic", "int16x8")
NEEDS_CALIBRATION = True
LEVELS = 127
# Of the shift before, on images that the means were not taken from.
SHARE_LEFT = 0.5
# In standard deviations: less is the rounding of float32 in sums of some thousand.
NO_SHIFT = 1e-5
AT_ONCE = 100
COMPARED_IMAGES = 500


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters: there are none; ``--calibration-count`` says on how many images means are taken.

    Weights are taken to have 8 bits, also where ``--reduce-range`` gives those of ONNX files 7.
    """


def requires(model: Any, work: Work) -> str | None:
    """At least one layer must have a kernel that is rounded."""
    if len(model.inputs) != 1:
        return f"the model has {len(model.inputs)} inputs; only models with one are done"
    if _corrected_layers(model, work):
        return None
    return "no layer has a kernel that is rounded to int8 and a bias to correct"


def _corrected_layers(model: Any, work: Work) -> list[Any]:
    """Layers in the order in which they are computed."""
    return [
        layer
        for layer in model.layers
        if _channels.has_kernel(layer) and layer.name not in work.skip_layers and len(_graph.inputs_of(layer)) == 1
    ]


def apply(model: Any, work: Work) -> Applied:
    """Fold batch normalization, then correct layer after layer, each behind those that are corrected already."""
    if work.calibration is None:
        raise TypeError("bias-correct needs calibration images")
    images = work.calibration(tuple(model.input_shape[1:]))
    folded, gone = _channels.folded(model, work.skip_layers)
    result = _channels.with_biases(folded, [layer.name for layer in _corrected_layers(folded, work)])
    rounded = _rounded(result, work)
    shifts = {}
    for shift in _shifts(result, rounded, work, images):
        layer, other = result.get_layer(shift.layer), rounded.get_layer(shift.layer)
        corrected = layer.get_weights()[-1] - shift.mean.astype(np.float32)
        # The next layers are measured behind this one as it will be.
        other.set_weights([*other.get_weights()[:-1], corrected])
        shifts[shift.layer] = shift, corrected
    for name, (_, corrected) in shifts.items():
        layer = result.get_layer(name)
        layer.set_weights([*layer.get_weights()[:-1], corrected])
    notes = []
    for layer in model.layers:
        if layer.name in gone:
            notes.append(LayerNote(layer.name, changed=True, reason=f"folded into {gone[layer.name]}"))
        elif layer.name in shifts:
            shift = shifts[layer.name][0]
            reason = f"bias corrected by {shift.size:.2%} of the output's standard deviation"
            notes.append(LayerNote(layer.name, changed=True, reason=reason))
        else:
            notes.append(LayerNote(layer.name, changed=False, reason=_left_alone(layer, work)))
    return Applied(result, notes, [], layers=[layer.name for layer in result.layers])


def _left_alone(layer: Any, work: Work) -> str:
    if layer.name in work.skip_layers:
        return "named in --skip-layer"
    return "is called more than once" if _channels.has_kernel(layer) else "has no kernel"


def _rounded(model: Any, work: Work) -> Any:
    """A copy with the weights that int8 files have: symmetric, one scale for each output channel."""
    weights = {}
    for layer in _corrected_layers(model, work):
        own = layer.get_weights()
        kernels = [_channels.rounded(layer, position, kernel, LEVELS) for position, kernel in enumerate(own[:-1])]
        weights[layer.name] = [*kernels, own[-1]]
    return _graph.build(model, _graph.configuration(model), weights)


class Shift(NamedTuple):
    """Mean of a layer's output, before its activation, with rounded weights less that without.

    Attributes:
        layer: Its name.
        mean: Of each channel, float64 [channels].
        size: Root of the mean square over channels, over the standard deviation of the output of the layer.
    """

    layer: str
    mean: np.ndarray
    size: float


def _shifts(model: Any, rounded: Any, work: Work, images: np.ndarray) -> Iterator[Shift]:
    """Each layer's shift, measured when it is asked for: what was changed before has its effect."""
    for layer in _corrected_layers(model, work):
        before, spread = _moments(model, layer.name, images)
        after, _ = _moments(rounded, layer.name, images)
        mean = after - before
        yield Shift(layer.name, mean, float(np.sqrt(np.mean(mean**2)) / max(spread, np.finfo(np.float32).tiny)))


def _moments(model: Any, name: str, images: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean of each channel of a layer's output before its activation, and the standard deviation of all of it."""
    import tf_keras

    layer = model.get_layer(name)
    options = layer.get_config() | {"activation": "linear", "name": f"{name}_without_activation"}
    plain = type(layer).from_config(options)
    probe = tf_keras.Model(model.inputs, plain(layer.get_input_at(0)))
    plain.set_weights(layer.get_weights())
    count, total, squares = 0, np.float64(0), np.float64(0)
    for start in range(0, len(images), AT_ONCE):
        output = probe(images[start : start + AT_ONCE], training=False).numpy().astype(np.float64)
        flat = output.reshape(-1, output.shape[-1])
        count, total, squares = count + len(flat), total + flat.sum(axis=0), squares + (flat**2).sum()
    mean = np.asarray(total / count)
    variance = squares / (count * len(mean)) - (mean**2).mean()
    return mean, float(np.sqrt(max(variance, 0.0)))


def ensures(
    model: Any,
    work: Work,
    notes: Sequence[LayerNote],  # noqa: ARG001  # the plug-in's signature
) -> tuple[list[Check], list[KernelExpectation]]:
    """With rounded weights, each layer's mean output is nearer to the float model's than before, on other images."""
    part = work.data.validation if len(work.data.validation.labels) else work.data.train
    images = work.data.real(part.images[:COMPARED_IMAGES], tuple(model.input_shape[1:]))
    source, _ = _channels.folded(work.source, work.skip_layers)
    source = _channels.with_biases(source, [layer.name for layer in _corrected_layers(source, work)])
    before = {one.layer: one.size for one in _shifts(source, _rounded(source, work), work, images)}
    after = {one.layer: one.size for one in _shifts(source, _rounded(model, work), work, images)}
    # Layers that are hardly shifted at all are left to chance by themselves.
    observed, limit = (float(np.sqrt(np.mean(np.square(list(one.values()))))) for one in (after, before))
    limit = max(SHARE_LEFT * limit, NO_SHIFT)
    return [
        Check(
            "mean shift of outputs with int8 weights",
            passed=observed <= limit,
            observed=observed,
            limit=limit,
            unit="standard deviations",
            reason=f"{SHARE_LEFT:.0%} of what it was without the correction",
        )
    ], []
