"""The perceptron of Chollet's book: one wide dense layer, RMSprop."""

from __future__ import annotations

from typing import Any

from optkit.training import TrainingPlan

SUMMARY = "dense 512 ReLU, softmax; RMSprop, batch 128, 10 epochs; 407,050 parameters"
SOURCE = "lesson on data preparation; Chollet, Deep Learning with Python, section 2.1"
TRAINING = TrainingPlan(epochs=10, batch=128, optimizer="rmsprop", learning_rate=1e-3, schedule="constant")


def build() -> Any:
    """The untrained tf_keras model: image float32 [batch, 784] to probabilities float32 [batch, 10]."""
    from tf_keras import Model, layers

    image = layers.Input((784,), name="image")
    x = layers.Dense(512, activation="relu", name="dense_1")(image)
    return Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="mlp_512")
