"""The control: trains as long as the other techniques do, and changes nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from optkit.techniques import Applied, Work, copy_model, note_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Check, KernelExpectation, LayerNote

SUMMARY = "trains for the same extra epochs and changes nothing else: the control for every fine-tuned variant"
SOURCE = "Blalock et al., What is the state of neural network pruning?, 2020, arXiv:2003.03033, section 4.5"


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters: ``epochs`` of training, Adam's initial ``learning_rate`` (cosine to zero)."""

    epochs: Annotated[int, Meta(ge=0, le=100)] = 4
    learning_rate: Annotated[float, Meta(gt=0, le=0.1)] = 5e-4


def requires(model: Any, work: Work) -> str | None:  # noqa: ARG001  # the plug-in's signature
    """Any model can be trained on."""
    return None


def apply(model: Any, work: Work) -> Applied:
    """Train a copy."""
    from optkit.training import TrainingPlan, train

    copy = copy_model(model)
    plan = TrainingPlan(work.params.epochs, 128, "adam", work.params.learning_rate, "cosine")
    epochs = train(copy, work.data, plan, task=work.task, seed=work.seed, tell=work.tell)
    names = [layer.name for layer in copy.layers]
    trained = {layer.name: "trained on" for layer in copy.layers if layer.trainable_weights}
    return Applied(copy, note_layers(names, trained, dict.fromkeys(names, "has no weights")), epochs)


def ensures(
    model: Any,  # noqa: ARG001  # the plug-in's signature
    work: Work,  # noqa: ARG001
    notes: Sequence[LayerNote],  # noqa: ARG001
) -> tuple[list[Check], list[KernelExpectation]]:
    """Nothing is promised."""
    return [], []
