"""The network that settings describe, built for the data: what training, tuning and compress share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optkit import networks
from optkit.problem import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optkit.data import Dataset
    from optkit.pipeline.train_settings import TrainSettings


# Outputs of a new network are about 1, and Adam moves a weight by its rate at each step: it comes this far by itself.
_NEAR = 10.0


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


@contextmanager
def in_unit_of_labels(model: Any, dataset: Dataset, task: Task) -> Iterator[Any]:
    """The network to train for values to predict; its last layer is brought to their unit afterwards.

    A network answers about 0 at first. To get to a price of 50,000 its weights would have to grow for hundreds of
    thousands of steps. It is trained less the mean and over the deviation of the training labels (LeCun et al.,
    Efficient BackProp, 1998, section 4.3), with losses in the labels' own unit, and mean and deviation go into its
    last layer's weights in the end.

    Args:
        model: As ``build`` makes it, which is changed: it answers right after the context.
        dataset: Whose training labels count.
        task: What the output stands for; only values to predict that are far from 0 and 1 need this.

    Yields:
        What to train in its place: it has the same weights, and their answers in the labels' unit.
    """
    import tf_keras

    labels = dataset.train.labels
    mean, deviation = float(labels.mean(dtype="float64")), float(labels.std(dtype="float64"))
    if task.kind != "regression" or (abs(mean) < _NEAR and 1 / _NEAR < deviation < _NEAR) or not deviation:
        yield model
        return
    answers = tf_keras.layers.Rescaling(deviation, mean, name="unit_of_labels")(model.output)
    yield tf_keras.Model(model.inputs, answers, name=model.name)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * deviation, bias * deviation + mean])
