"""LeNet-5 as the pruning literature uses it: 20 and 50 convolutions, 500 dense, 431,080 parameters."""

from __future__ import annotations

from optkit.networks import Network
from optkit.training import TrainingPlan

SUMMARY = "conv 20 5×5, max-pool, conv 50 5×5, max-pool, dense 500, softmax; 431,080 parameters"
SOURCE = "LeCun et al., Gradient-based learning applied to document recognition, 1998; Caffe's 20-50-500 variant"
TRAINING = TrainingPlan(epochs=6, batch=128, optimizer="adam", learning_rate=2e-3, schedule="cosine")
NETWORK = Network(("conv:20x5", "pool:2", "conv:50x5", "pool:2", "flatten", "dense:500"))
