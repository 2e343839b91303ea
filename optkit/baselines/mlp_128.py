"""The perceptron of TensorFlow's beginner tutorial."""

from __future__ import annotations

from optkit.networks import Network
from optkit.training import TrainingPlan

SUMMARY = "dense 128 ReLU, dropout 0.2, softmax; Adam, 5 epochs; 101,770 parameters"
SOURCE = "lesson on ReLU against sigmoid; TensorFlow 2 quickstart for beginners"
TRAINING = TrainingPlan(epochs=5, batch=32, optimizer="adam", learning_rate=1e-3, schedule="constant")
NETWORK = Network(("flatten", "dense:128", "dropout:0.2"), input_shape=(28, 28))
