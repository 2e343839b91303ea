"""LeNet-300-100: two dense layers, the other network of the pruning literature."""

from __future__ import annotations

from optkit.networks import Network
from optkit.training import TrainingPlan

SUMMARY = "dense 300 ReLU, dense 100 ReLU, softmax; 266,610 parameters"
SOURCE = "LeCun et al., Gradient-based learning applied to document recognition, 1998, section III.C"
TRAINING = TrainingPlan(epochs=10, batch=128, optimizer="adam", learning_rate=1.5e-3, schedule="cosine")
NETWORK = Network(("flatten", "dense:300", "dense:100"), input_shape=(28, 28))
