"""The perceptron of Chollet's book: one wide dense layer, RMSprop."""

from __future__ import annotations

from optkit.networks import Network
from optkit.training import TrainingPlan

SUMMARY = "dense 512 ReLU, softmax; RMSprop, batch 128, 10 epochs; 407,050 parameters"
SOURCE = "lesson on data preparation; Chollet, Deep Learning with Python, section 2.1"
TRAINING = TrainingPlan(epochs=10, batch=128, optimizer="rmsprop", learning_rate=1e-3, schedule="constant")
NETWORK = Network(("dense:512",), input_shape=(784,))
