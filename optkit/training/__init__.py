"""Training of tf_keras models; nothing here imports TensorFlow before it is used."""

from __future__ import annotations

from optkit.training.checks import check
from optkit.training.loop import configure_tensorflow, train
from optkit.training.patience import kept_epoch
from optkit.training.plan import Augmentation, TrainingPlan

__all__ = ["Augmentation", "TrainingPlan", "check", "configure_tensorflow", "kept_epoch", "train"]
