"""Low-rank splitting: a dense layer or convolution becomes two smaller ones where that really saves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from optkit.schema import Check, LayerNote
from optkit.techniques import Applied, Work, _graph, copy_model
from optkit.techniques._factors import LEAST_SAVED, Layout, Spectrum, Split, by_energy, by_share, spectrum, weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import KernelExpectation

SUMMARY = (
    "splits dense layers and convolutions into two of low rank where that saves weights and arithmetic; smaller in "
    "every format, faster where the kernels were large"
)
SOURCE = (
    "truncated singular value decomposition: Denton et al., 2014, arXiv:1404.0736, section 3.2 (channels); Jaderberg "
    "et al., 2014, arXiv:1405.3866, section 2.2, scheme 2, solved as in Tai et al., 2016, arXiv:1511.06067, section "
    "3.1 (k×k as k×1 and 1×k)"
)
NOT_AFTER = {
    "prune": "a product of two factors has no zeros of the kernel's; put factorize first",
    "cluster": "a product of two factors has no clusters of the kernel's; put factorize first",
    "qat": "the quantizers would keep ranges of kernels that are gone; put factorize first",
}
# A first factor is named after the layer that it was a part of.
SUFFIX = "factor"


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters.

    Attributes:
        energy: Share of each kernel's sum of squares that its two factors keep; the rank follows from it. Not used
            where ``share`` is given.
        share: Share of the weights of all layers that could be split which is left; ranks follow from it, so that the
            weights that are left are those that keep most.
        epochs: Epochs of training after the split; 0 for none.
        learning_rate: Adam's initial rate (cosine to zero).
    """

    energy: Annotated[float, Meta(gt=0, le=1)] = 0.9
    share: Annotated[float, Meta(gt=0, lt=1)] | None = None
    epochs: Annotated[int, Meta(ge=0, le=100)] = 2
    learning_rate: Annotated[float, Meta(gt=0, le=0.1)] = 1e-3


def _plan_layers(model: Any, work: Work) -> tuple[dict[str, Split], dict[str, str]]:
    """The splits to make by layer, and why each other layer with weights is left alone."""
    kernels, skipped = _spectra(model, work)
    params: Params = work.params
    if params.share is not None:
        chosen = by_share(kernels, params.share)
    else:
        splits = {name: by_energy(spectra, params.energy) for name, spectra in kernels.items()}
        chosen = {name: split for name, split in splits.items() if split is not None}
    for name, spectra in kernels.items():
        if name not in chosen:
            skipped[name] = _why_whole(spectra, params)
    return chosen, skipped


def _spectra(model: Any, work: Work) -> tuple[dict[str, list[Spectrum]], dict[str, str]]:
    """Kernels that can be split, in every layout, and why each other layer with weights is left alone."""
    kernels, skipped = {}, {}
    for layer in model.layers:
        if not layer.weights:
            continue
        layouts = _layouts(layer)
        if layer.name in work.skip_layers:
            skipped[layer.name] = "named in --skip-layer"
        elif isinstance(layouts, str):
            skipped[layer.name] = layouts
        else:
            kernels[layer.name] = [spectrum(layer.kernel.numpy(), layout) for layout in layouts]
    return kernels, skipped


def _why_whole(spectra: Sequence[Spectrum], params: Params) -> str:
    if max(one.layout.highest_rank for one in spectra) < 1:
        return f"two layers would not save {LEAST_SAVED} weights at any rank, what a further layer costs"
    if params.share is not None:
        return f"all of its weights are among the {params.share:.4g} of all that keep most"
    needed = " and ".join(
        f"rank {one.rank_for(params.energy)} ({one.layout.scheme}), which pays up to {one.layout.highest_rank} of "
        f"{one.layout.full_rank}"
        for one in spectra
    )
    return f"keeping {params.energy:.4g} of its energy takes {needed}"


def _layouts(layer: Any) -> list[Layout] | str:
    """How a layer's kernel can be laid out, or why it is not split."""
    kind = type(layer).__name__
    if kind == "Dense":
        axes = [axis or 1 for axis in layer.get_output_shape_at(0)[1:-1]]
        return [Layout("channel", tuple(layer.kernel.shape), (math.prod(axes),) * 3)]
    if kind != "Conv2D":
        return f"a {kind} is not split, only Dense and Conv2D are"
    if layer.groups != 1:
        return f"has {layer.groups} groups, which split the kernel already"
    if layer.data_format != "channels_last":
        return f"its data format is {layer.data_format}, not channels_last"
    shape = tuple(layer.kernel.shape)
    # Of a layer that is called several times the first call: its ratio of both factors is that of the others.
    before, after = layer.get_input_shape_at(0), layer.get_output_shape_at(0)
    (_, width_before), (height, width) = before[1:3], after[1:3]
    known = None not in (width_before, height, width)
    positions = height * width if known else 1
    layouts = [Layout("channel", shape, (positions,) * 3)]
    if min(shape[:2]) > 1 and known:
        layouts.append(Layout("spatial", shape, (height * width_before, positions, positions)))
    return layouts


def requires(model: Any, work: Work) -> str | None:
    """At least one layer must have a rank that pays."""
    chosen, skipped = _plan_layers(model, work)
    if chosen:
        kernels, _ = _spectra(model, work)
        whole, left = weights_of(kernels, {}), weights_of(kernels, chosen)
        if work.params.share is not None and left > work.params.share * whole:
            return f"share={work.params.share} cannot be reached: at rank 1 {left:,} of {whole:,} weights are left"
        return None
    return f"no layer can be split ({'; '.join(f'{k}: {v}' for k, v in skipped.items()) or 'no weights'})"


def apply(model: Any, work: Work) -> Applied:
    """Split every layer for which it pays, then train, where that is asked for."""
    chosen, skipped = _plan_layers(model, work)
    result, firsts = split_layers(model, chosen)
    epochs = []
    if work.params.epochs:
        from optkit.training import TrainingPlan, train

        plan = TrainingPlan(work.params.epochs, 128, "adam", work.params.learning_rate, "cosine")
        epochs = train(result, work.data, plan, task=work.task, seed=work.seed, tell=work.tell)
        # Compiled models are saved with other bytes.
        result = copy_model(result)
    owners = {first: owner for owner, first in firsts.items()}
    notes = []
    for layer in result.layers:
        name = layer.name
        if name in owners:
            notes.append(LayerNote(name, changed=True, reason=f"the first factor of {owners[name]}"))
        elif name in chosen:
            notes.append(LayerNote(name, changed=True, reason=_words(chosen[name])))
        else:
            notes.append(LayerNote(name, changed=False, reason=skipped.get(name, "has no weights")))
    return Applied(result, notes, epochs, layers=[layer.name for layer in result.layers])


def _words(split: Split) -> str:
    layout = split.spectrum.layout
    return (
        f"split at rank {split.rank} of {layout.full_rank} ({layout.scheme}), which keeps {split.energy:.1%} of its "
        f"energy: {layout.full[0]:,} to {layout.parameters(split.rank):,} weights"
    )


def split_layers(model: Any, splits: dict[str, Split]) -> tuple[Any, dict[str, str]]:
    """Split layers of a model, without training.

    The second factor keeps the layer's name, bias and activation; the first one has neither.

    Args:
        model: Is not changed.
        splits: By layer.

    Returns:
        The new model, and the names of the first factors by layer.
    """
    config = _graph.configuration(model)
    names = [layer.name for layer in model.layers]
    weights, firsts = {}, {}
    for name, split in splits.items():
        layer = model.get_layer(name)
        firsts[name] = first = _graph.free_name(f"{name}_{SUFFIX}", names)
        names.append(first)
        one, other = split.spectrum.factors(split.rank)
        weights[first], weights[name] = [one], [other, *layer.get_weights()[1:]]
        own, changed = _options(layer, split)
        # A constraint is about a kernel that is no more.
        gone = {"kernel_constraint": None}
        plain = {"activation": "linear", "use_bias": False, "activity_regularizer": None, "bias_constraint": None}
        _graph.split(config, name, first, gone | plain | own, gone | changed)
    return _graph.build(model, config, weights), firsts


def _options(layer: Any, split: Split) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the layers of both factors have in place of the layer's own options."""
    if type(layer).__name__ == "Dense":
        return {"units": split.rank}, {}
    if split.spectrum.layout.scheme == "channel":
        once = {"kernel_size": (1, 1), "strides": (1, 1), "dilation_rate": (1, 1), "padding": "valid"}
        return {"filters": split.rank}, once
    sides = ("kernel_size", "strides", "dilation_rate")
    down = {side: (getattr(layer, side)[0], 1) for side in sides}
    across = {side: (1, getattr(layer, side)[1]) for side in sides}
    return {"filters": split.rank, **down}, across


def ensures(model: Any, work: Work, notes: Sequence[LayerNote]) -> tuple[list[Check], list[KernelExpectation]]:
    """Each split layer really is two, with fewer weights and multiply-accumulates than before."""
    before = {layer.name: layer for layer in work.source.layers}
    checks = []
    for note in notes:
        if not note.changed or note.layer not in before:
            continue
        layouts = _layouts(before[note.layer])
        first, second = _factors_of(model, note.layer)
        if first is None or isinstance(layouts, str):
            checks.append(Check(f"factors of {note.layer}", passed=False, observed=1, limit=2, unit="layers"))
            continue
        rank = int(first.shape[-1])
        spatial = first.ndim == 4 and first.shape[1] < before[note.layer].kernel.shape[1]
        layout = next(one for one in layouts if (one.scheme == "spatial") == spatial)
        weights, macs = layout.full
        limits = {
            "weights": (int(first.size + second.size), weights - LEAST_SAVED, "what a further layer costs is saved"),
            "MACs": (layout.macs(rank), macs - 1, "fewer than before"),
            "rank": (rank, layout.highest_rank, "the highest that pays"),
        }
        checks += [
            Check(f"{what} of {note.layer}", observed <= limit, observed, limit, "", reason)
            for what, (observed, limit, reason) in limits.items()
        ]
    if work.params.share is not None:
        # Only kernels that could be split count; biases and all else stay.
        names, _ = _spectra(work.source, work)
        whole = weights_of(names, {})
        observed = sum(_kernel_weights(model, name) for name in names)
        limit = int(work.params.share * whole)
        checks.append(
            Check("weights left", observed <= limit, observed, limit, "weights", f"of {whole:,}, the share asked for")
        )
    return checks, []


def _kernel_weights(model: Any, name: str) -> int:
    """Of a layer, in both factors where it was split."""
    first, second = _factors_of(model, name)
    return int(second.size) + (0 if first is None else int(first.size))


def _factors_of(model: Any, name: str) -> tuple[Any, Any]:
    """Kernels of a split layer's first and second factor; ``None`` for the first where it was not split."""
    layer = model.get_layer(name)
    inputs = _graph.inputs_of(layer)
    found = inputs[0] if inputs and inputs[0].name.startswith(f"{name}_{SUFFIX}") else None
    second = layer.kernel.numpy() if hasattr(layer, "kernel") else None
    return None if found is None else found.kernel.numpy(), second
