"""A wide convolutional network with dropout: 1.6 million parameters, nearly all of them in one dense layer."""

from __future__ import annotations

from optkit.networks import Network
from optkit.training import TrainingPlan

SUMMARY = "conv 32 3×3, conv 64 3×3, max-pool, dropout 0.25, dense 128, dropout 0.5, softmax; 1,626,442 parameters"
SOURCE = "lesson on convolutional networks with dropout (the layout of Keras's mnist_cnn example, same padding)"
TRAINING = TrainingPlan(epochs=5, batch=128, optimizer="adam", learning_rate=1e-3, schedule="cosine")
NETWORK = Network(("conv:32x3:same", "conv:64x3:same", "pool:2", "dropout:0.25", "flatten", "dense:128", "dropout:0.5"))
