"""LeNet-300-100: two dense layers, the other network of the pruning literature."""

from __future__ import annotations

from typing import Any

from optkit.training import TrainingPlan

SUMMARY = "dense 300 ReLU, dense 100 ReLU, softmax; 266,610 parameters"
SOURCE = "LeCun et al., Gradient-based learning applied to document recognition, 1998, section III.C"
TRAINING = TrainingPlan(epochs=10, batch=128, optimizer="adam", learning_rate=1.5e-3, schedule="cosine")


def build() -> Any:
    """The untrained tf_keras model: image float32 [batch, 28, 28] to probabilities float32 [batch, 10]."""
    from tf_keras import Model, layers

    image = layers.Input((28, 28), name="image")
    x = layers.Flatten(name="flatten")(image)
    x = layers.Dense(300, activation="relu", name="dense_1")(x)
    x = layers.Dense(100, activation="relu", name="dense_2")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="lenet_300_100")
