"""A wide convolutional network with dropout: 1.6 million parameters, nearly all of them in one dense layer."""

from __future__ import annotations

from typing import Any

from optkit.training import TrainingPlan

SUMMARY = "conv 32 3×3, conv 64 3×3, max-pool, dropout 0.25, dense 128, dropout 0.5, softmax; 1,626,442 parameters"
SOURCE = "lesson on convolutional networks with dropout (the layout of Keras's mnist_cnn example, same padding)"
TRAINING = TrainingPlan(epochs=5, batch=128, optimizer="adam", learning_rate=1e-3, schedule="cosine")


def build() -> Any:
    """The untrained tf_keras model: image float32 [batch, 28, 28, 1] to probabilities float32 [batch, 10]."""
    from tf_keras import Model, layers

    image = layers.Input((28, 28, 1), name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv_1")(image)
    x = layers.Conv2D(64, 3, padding="same", activation="relu", name="conv_2")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Dropout(0.25, name="dropout_1")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense_1")(x)
    x = layers.Dropout(0.5, name="dropout_2")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="cnn_dropout")
