"""Weight clustering: every kernel keeps a few distinct values, which are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from optkit.schema import Check, KernelExpectation, LayerNote
from optkit.techniques import Applied, Work, copy_model, kernels, note_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

SUMMARY = "shares a few weight values per kernel; smaller only when compressed, and no faster; keeps zeros after prune"
SOURCE = (
    "Han, Mao and Dally, Deep Compression, 2016, arXiv:1510.00149, section 3; tensorflow-model-optimization "
    "(sparsity-preserving clustering)"
)
NOT_AFTER = {"qat": "the quantizers would keep ranges of weights that are gone; put cluster first"}


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters.

    Attributes:
        clusters: Distinct values that each kernel keeps, zero included.
        init: Where the centroids start: ``kmeans++`` on the weights, ``linear`` or ``density`` over their range.
        epochs: Epochs of training with shared weights.
        learning_rate: Adam's initial rate (cosine to zero).
    """

    clusters: Annotated[int, Meta(ge=2, le=256)] = 16
    init: Literal["kmeans++", "linear", "density"] = "kmeans++"
    epochs: Annotated[int, Meta(ge=1, le=100)] = 1
    learning_rate: Annotated[float, Meta(gt=0, le=0.1)] = 5e-4


def _plan_layers(model: Any, work: Work) -> tuple[dict[str, str], dict[str, str]]:
    """Which layers are clustered, and the reason why each other one with a kernel is not."""
    from tensorflow_model_optimization.python.core.clustering.keras.clustering_registry import (
        ClusteringRegistry,
    )

    clusters, keeps_zeros = work.params.clusters, work.follows("prune")
    chosen, skipped = {}, {}
    for layer in model.layers:
        kernel = kernels(model).get(layer.name)
        if kernel is None:
            continue
        if layer.name in work.skip_layers:
            skipped[layer.name] = "named in --skip-layer"
        elif not ClusteringRegistry.supports(layer) or type(layer).__name__ == "DepthwiseConv2D":
            skipped[layer.name] = f"tensorflow-model-optimization cannot cluster a {type(layer).__name__}"
        elif kernel.size <= clusters:
            skipped[layer.name] = f"has only {kernel.size} weights for {clusters} clusters"
        # One cluster is zero; each of the others starts at a weight of its own.
        elif keeps_zeros and (left := int((kernel != 0).sum())) < clusters - 1:
            skipped[layer.name] = (
                f"has only {left} weights left after pruning for {clusters} clusters, zero one of them"
            )
        else:
            chosen[layer.name] = f"clustered to at most {clusters} distinct values"
    return chosen, skipped


def requires(model: Any, work: Work) -> str | None:
    """At least one layer must have a kernel that can be clustered; after pruning zero is a cluster beside others."""
    if work.follows("prune") and work.params.clusters == 2:
        return "needs at least clusters=3 after prune: zero is one of them"
    chosen, skipped = _plan_layers(model, work)
    if chosen:
        return None
    return f"no layer can be clustered ({'; '.join(f'{k}: {v}' for k, v in skipped.items()) or 'no kernels'})"


def apply(model: Any, work: Work) -> Applied:
    """Cluster a copy while training it, and take the wrappers off."""
    import tensorflow_model_optimization as tfmot
    import tf_keras
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import (
        cluster as sparsity_aware,
    )

    from optkit.training import TrainingPlan, train

    params: Params = work.params
    chosen, skipped = _plan_layers(model, work)
    start = tfmot.clustering.keras.CentroidInitialization
    inits = {"kmeans++": start.KMEANS_PLUS_PLUS, "linear": start.LINEAR, "density": start.DENSITY_BASED}
    keep_zeros = work.follows("prune")
    # Wrapping changes the layers it is given, so they are a copy's.
    copy = copy_model(model)
    if keep_zeros:
        # What pruning zeroed and no wrapper guards would grow again.
        for name in skipped:
            copy.get_layer(name).trainable = False

    def wrap(layer: Any) -> Any:
        if layer.name not in chosen:
            return layer
        return sparsity_aware.cluster_weights(
            layer,
            number_of_clusters=params.clusters,
            cluster_centroids_init=inits[params.init],
            preserve_sparsity=keep_zeros,
        )

    wrapped = tf_keras.models.clone_model(copy, clone_function=wrap)
    plan = TrainingPlan(params.epochs, 128, "adam", params.learning_rate, "cosine")
    epochs = train(wrapped, work.data, plan, task=work.task, seed=work.seed, tell=work.tell)
    result = copy_model(tfmot.clustering.keras.strip_clustering(wrapped))
    for layer in model.layers:
        result.get_layer(layer.name).trainable = layer.trainable
    names = [layer.name for layer in model.layers]
    return Applied(result, note_layers(names, chosen, skipped), epochs)


def ensures(model: Any, work: Work, notes: Sequence[LayerNote]) -> tuple[list[Check], list[KernelExpectation]]:
    """Each clustered kernel really has no more distinct values than clusters."""
    import numpy as np

    found = kernels(model)
    checks, expectations = [], []
    for note in notes:
        if not note.changed:
            continue
        kernel = found[note.layer]
        distinct = len(np.unique(kernel))
        limit = work.params.clusters
        checks.append(
            Check(
                f"distinct values of {note.layer}",
                distinct <= limit,
                distinct,
                limit,
                "values",
                "the clusters asked for",
            )
        )
        expectations.append(
            KernelExpectation(
                layer=note.layer,
                elements=int(kernel.size),
                sparsity_at_least=None,
                distinct_at_most=limit,
                block_2_of_4=False,
            )
        )
    return checks, expectations
