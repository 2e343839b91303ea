"""A network for slim int8 files of about 16 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 10, 20, 25 and 28 channels, softmax; 14,063 parameters, for int8 files of 16 KiB"
NETWORK = network(10, 20, 25, 28)
