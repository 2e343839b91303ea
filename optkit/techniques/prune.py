"""Magnitude pruning: the smallest weights become zero while the others are trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from optkit.schema import Check, KernelExpectation, LayerNote
from optkit.techniques import Applied, Work, copy_model, kernels, note_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

SUMMARY = "zeroes the smallest weights; smaller only when compressed, and no faster, since no kernel here skips zeros"
SOURCE = (
    "Zhu and Gupta, To prune, or not to prune, 2017, arXiv:1710.01878, eq. 1; 2 of 4: Mishra et al., 2021, "
    "arXiv:2104.08378; tensorflow-model-optimization"
)
NOT_AFTER = {
    "cluster": "zeros would be a new value in every cluster; put prune first",
    "qat": "the quantizers would keep ranges of weights that are gone; put prune first",
}
BLOCK = 4


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters.

    Attributes:
        sparsity: Target share of zeros in each pruned kernel; must be 0.5 for the pattern ``2of4``.
        schedule: ``polynomial`` raises the sparsity from half the target along a cubic; ``constant`` demands
            all of it at once.
        pattern: ``unstructured``, or ``2of4``: two zeros in each four consecutive input channels, which some
            accelerators use.
        epochs: Epochs of training while pruning.
        learning_rate: Adam's initial rate (cosine to zero).
    """

    sparsity: Annotated[float, Meta(gt=0, lt=1)] = 0.9
    schedule: Literal["polynomial", "constant"] = "polynomial"
    pattern: Literal["unstructured", "2of4"] = "unstructured"
    epochs: Annotated[int, Meta(ge=1, le=100)] = 3
    learning_rate: Annotated[float, Meta(gt=0, le=0.1)] = 3e-3


def target(params: Params) -> float:
    """The share of zeros that is really aimed at."""
    return 0.5 if params.pattern == "2of4" else params.sparsity


def _plan_layers(model: Any, work: Work) -> tuple[dict[str, str], dict[str, str]]:
    """Which layers are pruned, and the reason why each other one with a kernel is not."""
    from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry

    chosen, skipped = {}, {}
    for layer in model.layers:
        kernel = kernels(model).get(layer.name)
        if kernel is None:
            continue
        if layer.name in work.skip_layers:
            skipped[layer.name] = "named in --skip-layer"
        elif not PruneRegistry.supports(layer) or type(layer).__name__ == "DepthwiseConv2D":
            skipped[layer.name] = f"tensorflow-model-optimization cannot prune a {type(layer).__name__}"
        elif work.params.pattern == "2of4" and kernel.shape[-2] < BLOCK:
            skipped[layer.name] = f"2 of 4 needs at least 4 input channels, this kernel has {kernel.shape[-2]}"
        else:
            chosen[layer.name] = f"pruned to {target(work.params):.0%} zeros"
    return chosen, skipped


def requires(model: Any, work: Work) -> str | None:
    """At least one layer must have a kernel that can be pruned."""
    chosen, skipped = _plan_layers(model, work)
    if chosen:
        return None
    return f"no layer can be pruned ({'; '.join(f'{k}: {v}' for k, v in skipped.items()) or 'no kernels'})"


def apply(model: Any, work: Work) -> Applied:
    """Prune a copy while training it, and take the wrappers off."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    from optkit.training import TrainingPlan, train

    params: Params = work.params
    chosen, skipped = _plan_layers(model, work)
    sparsity = tfmot.sparsity.keras
    plan = TrainingPlan(params.epochs, 128, "adam", params.learning_rate, "cosine")
    steps = params.epochs * (len(work.data.train.labels) // min(plan.batch, len(work.data.train.labels)))
    # The second half of the steps trains at the final sparsity. Masks are renewed only at multiples of the
    # frequency: unless the last step of the schedule is one, the target is never reached.
    every = max(1, min(100, steps // 20))
    last = every * max(1, steps // 2 // every)
    goal = target(params)
    schedule: Any
    if params.pattern == "2of4" or params.schedule == "constant":
        schedule = sparsity.ConstantSparsity(goal, begin_step=0, frequency=every)
    else:
        schedule = sparsity.PolynomialDecay(goal / 2, goal, begin_step=0, end_step=last, frequency=every)
    pattern = {"sparsity_m_by_n": (2, BLOCK)} if params.pattern == "2of4" else {}

    def wrap(layer: Any) -> Any:
        if layer.name in chosen:
            return sparsity.prune_low_magnitude(layer, pruning_schedule=schedule, **pattern)
        return layer

    copy = copy_model(model)
    wrapped = tf_keras.models.clone_model(copy, clone_function=wrap)
    wrapped.set_weights(_with_pruning_variables(wrapped, copy))
    pruners = [layer for layer in wrapped.layers if hasattr(layer, "pruning_step")]
    for layer in pruners:
        # The wrapper counts steps itself and demands to start from a callback's zero.
        layer.pruning_step.assign(0)
    epochs = train(wrapped, work.data, plan, task=work.task, seed=work.seed, tell=work.tell)
    for layer in pruners:
        layer.pruning_obj.weight_mask_op()
    stripped = sparsity.strip_pruning(wrapped)
    result = copy_model(stripped)
    names = [layer.name for layer in model.layers]
    return Applied(result, note_layers(names, chosen, skipped), epochs)


def _with_pruning_variables(wrapped: Any, plain: Any) -> list[Any]:
    """The wrapped model's weights with the plain model's values in their places (masks and steps keep theirs)."""
    for layer, source in zip(wrapped.layers, plain.layers, strict=True):
        getattr(layer, "layer", layer).set_weights(source.get_weights())
    values: list[Any] = wrapped.get_weights()
    return values


def ensures(model: Any, work: Work, notes: Sequence[LayerNote]) -> tuple[list[Check], list[KernelExpectation]]:
    """Each pruned kernel really has the promised share of zeros."""
    found = kernels(model)
    checks, expectations = [], []
    goal = target(work.params)
    for note in notes:
        if not note.changed:
            continue
        kernel = found[note.layer]
        zeros = float((kernel == 0).mean())
        # A kernel of n weights can miss the target by one weight of rounding.
        limit = goal - 1.0 / kernel.size
        checks.append(
            Check(
                f"sparsity of {note.layer}",
                zeros >= limit,
                zeros,
                limit,
                "fraction",
                "target less one weight of rounding",
            )
        )
        expectations.append(
            KernelExpectation(
                layer=note.layer,
                elements=int(kernel.size),
                sparsity_at_least=limit,
                distinct_at_most=None,
                block_2_of_4=work.params.pattern == "2of4",
            )
        )
    return checks, expectations
