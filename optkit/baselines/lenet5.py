"""LeNet-5 as the pruning literature uses it: 20 and 50 convolutions, 500 dense, 431,080 parameters."""

from __future__ import annotations

from typing import Any

from optkit.training import TrainingPlan

SUMMARY = "conv 20 5×5, max-pool, conv 50 5×5, max-pool, dense 500, softmax; 431,080 parameters"
SOURCE = "LeCun et al., Gradient-based learning applied to document recognition, 1998; Caffe's 20-50-500 variant"
TRAINING = TrainingPlan(epochs=6, batch=128, optimizer="adam", learning_rate=2e-3, schedule="cosine")


def build() -> Any:
    """The untrained tf_keras model: image float32 [batch, 28, 28, 1] to probabilities float32 [batch, 10]."""
    from tf_keras import Model, layers

    image = layers.Input((28, 28, 1), name="image")
    x = layers.Conv2D(20, 5, activation="relu", name="conv_1")(image)
    x = layers.MaxPooling2D(2, name="pool_1")(x)
    x = layers.Conv2D(50, 5, activation="relu", name="conv_2")(x)
    x = layers.MaxPooling2D(2, name="pool_2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(500, activation="relu", name="dense_1")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="lenet5")
