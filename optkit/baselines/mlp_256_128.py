"""A multilayer perceptron with sigmoid units, trained by plain gradient descent: slow to learn, on purpose."""

from __future__ import annotations

from optkit.networks import Network
from optkit.training import TrainingPlan

SUMMARY = "dense 256 sigmoid, dense 128 sigmoid, dropout 0.5, softmax; SGD 0.1, batch 32: sigmoid and SGD cost accuracy"
SOURCE = "lesson on network structure and hyperparameters: 256 + 128 units, sigmoid, dropout 0.5, SGD"
TRAINING = TrainingPlan(epochs=20, batch=32, optimizer="sgd", learning_rate=0.1, schedule="constant")
NETWORK = Network(("dense:256", "dense:128", "dropout:0.5"), input_shape=(784,), activation="sigmoid")
