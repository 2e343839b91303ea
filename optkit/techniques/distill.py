"""Distillation: a small student learns a larger teacher's soft answers besides the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from optkit import networks, registry
from optkit.errors import InputError, nearest
from optkit.schema import Check, LayerNote
from optkit.techniques import BASELINE_TEACHER, Applied, Work, _graph, copy_model, weights_digest
from optkit.techniques._soft_answers import Answers, ask
from optkit.techniques._teaching import Teaching, names, teach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import KernelExpectation
    from optkit.training import TrainingPlan

SUMMARY = (
    "trains a student, a smaller network or the model as it stands, on the baseline's soft answers; as small and fast "
    "as the student is"
)
SOURCE = (
    "Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015, arXiv:1503.02531, section 2, eq. 1; "
    "the teacher sees the student's augmented picture, as in Beyer et al., 2022, arXiv:2106.05237"
)
NOT_AFTER = {
    "prune": "training would fill the zeros; put distill first",
    "cluster": "training would part the clusters; put distill first",
    "qat": "the student is float, and its rounding would be lost; put distill first",
}
SAME = "same"
COMPARED_IMAGES = 1_000
AT_ONCE = 100


class Params(Teaching, frozen=True, forbid_unknown_fields=True):
    """Parameters.

    Attributes:
        student: ``same``: the model as the steps before left it; or a built-in network by its name; or a network in
            words, separated by ``/``: ``conv:8x5:stride2/pool:2/conv:14x3/flatten/dense:32``.
        batchnorm: Batch normalization in a student that is given in words.
        epochs: Epochs of training.
        learning_rate: Adam's initial rate (cosine to zero).

    The others are those of ``Teaching``.
    """

    student: str = SAME
    batchnorm: bool = False
    teachers: str = BASELINE_TEACHER
    epochs: Annotated[int, Meta(ge=1, le=1000)] = 10
    learning_rate: Annotated[float, Meta(gt=0, le=0.1)] = 1e-3

    def __post_init__(self) -> None:
        """A student that is none, and want of a teacher, are found before anything is trained."""
        super().__post_init__()
        if self.student != SAME:
            _network(self)
        if not self.teachers:
            raise InputError("teachers expects names separated by ':', found none")


def teachers(params: Params) -> tuple[str, ...]:
    """See ``names``."""
    return names(params)


def _network(params: Params) -> networks.Network:
    """The student's network; its input is not yet fitted to the data.

    Raises:
        InputError: It is neither a name nor layers in words.
    """
    known = registry.names("baselines")
    if params.student in known:
        network: networks.Network = registry.load("baselines", params.student).NETWORK
        return network
    words = tuple(params.student.split("/"))
    if len(words) == 1 and ":" not in params.student:
        hint = nearest(params.student, [SAME, *known])
        raise InputError(f"distill: unknown student {params.student!r}: {hint}; or layers in words: pool:2/dense:32")
    for one in words:
        networks.read_layer(one)
    return networks.Network(layers=words, batchnorm=params.batchnorm)


def requires(model: Any, work: Work) -> str | None:
    """There must be something to learn: a student that is not its own only teacher."""
    if len(model.inputs) != 1:
        return f"the model has {len(model.inputs)} inputs; only models with one are done"
    params: Params = work.params
    if params.student == SAME:
        only = teachers(params) == (BASELINE_TEACHER,)
        if only and weights_digest(model) == weights_digest(work.teachers[0].load()):
            return (
                "the student is its own teacher, so there is nothing to learn: name a smaller one (student=mlp-128), "
                "put a step before that makes the model smaller (factorize+distill), or name another teacher"
            )
        return None
    if work.history:
        steps = "+".join(step.name for step in work.history)
        return (
            f"student={params.student} takes the place of the model that {steps} made: leave these steps out, or "
            f"teach that model (student={SAME})"
        )
    there = [layer.name for layer in _student(work, model).layers]
    for layer in work.skip_layers:
        if layer not in there:
            return f"--skip-layer {layer!r} is no layer of the student: {nearest(layer, there)}"
    return None


def _student(work: Work, source: Any) -> Any:
    """The untrained student, with the names of the source model's input and output, by which programs feed it."""
    network = networks.fitted(_network(work.params), work.data.train.images.shape[1:])
    student = networks.build(network, work.task, name=source.name)
    wanted = {
        student.input_names[0]: source.input_names[0],
        student.output_names[0]: source.output_names[0],
    }
    if all(own == name for own, name in wanted.items()):
        return student
    config = _graph.configuration(student)
    _graph.rename(config, wanted)
    return type(student).from_config(config)


def plan_of(params: Params) -> TrainingPlan:
    """How the student is trained."""
    from optkit.training import TrainingPlan

    return TrainingPlan(params.epochs, 128, "adam", params.learning_rate, "cosine", augmentation=params.augmentation)


def apply(model: Any, work: Work) -> Applied:
    """Train the student on the averaged soft answers of the teachers and on the labels."""
    params: Params = work.params
    student = copy_model(model) if params.student == SAME else _student(work, model)
    epochs = teach(student, work, params, plan_of(params))
    layers = [layer.name for layer in student.layers]
    learned = "trained on the teachers' answers"
    if params.student == SAME:
        changed = {layer.name for layer in student.layers if layer.trainable_weights}
        notes = [
            LayerNote(name, name in changed, learned if name in changed else "has no weights to train")
            for name in layers
        ]
        return Applied(copy_model(student), notes, epochs)
    # A name may be that of another layer in the source model.
    notes = [LayerNote(name, changed=True, reason=f"of the student, {learned}") for name in layers]
    notes += [
        LayerNote(layer.name, changed=True, reason=f"gone: the student is {params.student}")
        for layer in model.layers
        if layer.name not in layers
    ]
    return Applied(copy_model(student), notes, epochs, layers=layers)


def ensures(
    model: Any,
    work: Work,
    notes: Sequence[LayerNote],  # noqa: ARG001  # the plug-in's signature
) -> tuple[list[Check], list[KernelExpectation]]:
    """The model is the student, and answers as the teachers do, rather than the same to every picture."""
    import numpy as np

    from optkit import keras_models

    params: Params = work.params
    wanted = (work.source if params.student == SAME else _student(work, work.source)).count_params()
    part = work.data.validation if len(work.data.validation.labels) else work.data.train
    images = work.data.real(part.images[:COMPARED_IMAGES], tuple(model.input_shape[1:]))
    answers = Answers(work.task, params.temperature)
    teacher = ask(work.teachers, answers)
    soft = np.concatenate(
        [teacher(images[start : start + AT_ONCE]).numpy() for start in range(0, len(images), AT_ONCE)]
    )
    found = float(np.mean(answers.loss(soft, keras_models.outputs_of(model, images))))
    limit = float(np.mean(answers.loss_of_the_mean(soft)))
    return [
        Check(
            "parameters of the student",
            passed=model.count_params() == wanted,
            observed=model.count_params(),
            limit=wanted,
            unit="parameters",
            reason="those of the network asked for",
        ),
        Check(
            "distance to the teachers' answers",
            passed=found < limit,
            observed=found,
            limit=limit,
            unit=answers.unit,
            reason="that of their mean answer, given whatever the picture is",
        ),
    ], []
