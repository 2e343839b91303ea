"""A multilayer perceptron with sigmoid units, trained by plain gradient descent: slow to learn, on purpose."""

from __future__ import annotations

from typing import Any

from optkit.training import TrainingPlan

SUMMARY = "dense 256 sigmoid, dense 128 sigmoid, dropout 0.5, softmax; SGD 0.1, batch 32: sigmoid and SGD cost accuracy"
SOURCE = "lesson on network structure and hyperparameters: 256 + 128 units, sigmoid, dropout 0.5, SGD"
TRAINING = TrainingPlan(epochs=20, batch=32, optimizer="sgd", learning_rate=0.1, schedule="constant")


def build() -> Any:
    """The untrained tf_keras model: image float32 [batch, 784] to probabilities float32 [batch, 10]."""
    from tf_keras import Model, layers

    image = layers.Input((784,), name="image")
    x = layers.Dense(256, activation="sigmoid", name="dense_1")(image)
    x = layers.Dense(128, activation="sigmoid", name="dense_2")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="mlp_256_128")
