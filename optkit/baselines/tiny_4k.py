"""A network for slim int8 files of about 4 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 5, 7, 8 and 10 channels, softmax; 2,104 parameters, for int8 files of 4 KiB"
NETWORK = network(5, 7, 8, 10)
