"""The perceptron of TensorFlow's beginner tutorial."""

from __future__ import annotations

from typing import Any

from optkit.training import TrainingPlan

SUMMARY = "dense 128 ReLU, dropout 0.2, softmax; Adam, 5 epochs; 101,770 parameters"
SOURCE = "lesson on ReLU against sigmoid; TensorFlow 2 quickstart for beginners"
TRAINING = TrainingPlan(epochs=5, batch=32, optimizer="adam", learning_rate=1e-3, schedule="constant")


def build() -> Any:
    """The untrained tf_keras model: image float32 [batch, 28, 28] to probabilities float32 [batch, 10]."""
    from tf_keras import Model, layers

    image = layers.Input((28, 28), name="image")
    x = layers.Flatten(name="flatten")(image)
    x = layers.Dense(128, activation="relu", name="dense_1")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="mlp_128")
