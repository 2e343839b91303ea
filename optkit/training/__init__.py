"""Training of tf_keras models; nothing here imports TensorFlow before it is used."""

from __future__ import annotations

from optkit.training.loop import configure_tensorflow, train
from optkit.training.plan import Augmentation, TrainingPlan

__all__ = ["Augmentation", "TrainingPlan", "configure_tensorflow", "train"]
