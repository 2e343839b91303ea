"""A network for slim int8 files of about 6 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 6, 10, 12 and 16 channels, the first 4×4, softmax; 4,138 parameters, for int8 files of 6 KiB"
NETWORK = network(6, 10, 12, 16, kernel=4)
