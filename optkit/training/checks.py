"""Plans that cannot be carried out are refused before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.errors import InputError
from optkit.training.losses import objective_of

if TYPE_CHECKING:
    from optkit.data import Dataset
    from optkit.problem import Task
    from optkit.training.plan import TrainingPlan


def check(plan: TrainingPlan, task: Task, dataset: Dataset) -> None:
    """Refuse a plan that does not fit what is trained on it; needs no TensorFlow.

    Args:
        plan: How to train.
        task: What the outputs stand for.
        dataset: What is trained on.

    Raises:
        InputError: The loss does not fit the outputs, the warm-up takes all epochs, there is no validation part and
            the plan needs its loss, or what is to be moved and bent are no pictures.
    """
    objective_of(plan, task)
    example = dataset.train.images.shape[1:]
    if plan.epochs and plan.warmup_epochs >= plan.epochs:
        raise InputError(
            f"--warmup-epochs must be less than --epochs, found {plan.warmup_epochs:g} of {plan.epochs}: train longer "
            "or warm up for less"
        )
    if not len(dataset.validation.labels) and (plan.early_stopping or plan.schedule == "plateau"):
        raise InputError(
            "--early-stopping and --schedule plateau go by the validation loss, and there are no validation data: "
            "leave some for validation, or choose a number of epochs and another schedule"
        )
    if plan.augmentation.moves and len(example) not in {2, 3}:
        raise InputError(
            "augmentation changes pictures, [height, width] or [height, width, channels]; the data's examples have "
            f"the shape {list(example)}: leave --shift, --rotation, --zoom, --elastic and --cutout away (--mixup is "
            "for any data)"
        )
