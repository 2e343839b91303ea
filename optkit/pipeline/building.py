"""The network that settings describe, built for the data: what training, tuning and compress share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit import networks
from optkit.problem import Task

if TYPE_CHECKING:
    from optkit.data import Dataset
    from optkit.pipeline.train_settings import TrainSettings


def task_for(dataset: Dataset, metrics: tuple[str, ...] = ()) -> Task:
    """What a network that is built for the data answers: probabilities of the classes, or one value."""
    if dataset.classes == 0:
        return Task("regression", "values", 1, metrics)
    if dataset.classes == 2:
        return Task("binary", "probabilities", 1, metrics)
    return Task("multiclass", "probabilities", dataset.classes, metrics)


def build(settings: TrainSettings, dataset: Dataset) -> tuple[Any, Task]:
    """The untrained tf_keras model for the data, and what its outputs stand for.

    Raises:
        InputError: The layers do not fit the data's examples.
    """
    task = task_for(dataset, settings.metrics)
    network = networks.fitted(settings.network, dataset.train.images.shape[1:])
    return networks.build(network, task, name=settings.baseline.replace("-", "_")), task
