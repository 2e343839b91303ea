"""Training of tf_keras models; nothing here imports TensorFlow before it is used."""

from __future__ import annotations

from optkit.training.checks import check
from optkit.training.copies import Copies, ask_copies
from optkit.training.loop import configure_tensorflow, train
from optkit.training.patience import kept_epoch
from optkit.training.plan import Augmentation, TrainingPlan

__all__ = [
    "Augmentation",
    "Copies",
    "TrainingPlan",
    "ask_copies",
    "check",
    "configure_tensorflow",
    "kept_epoch",
    "train",
]
