"""A network for slim int8 files of about 8 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 7, 13, 16 and 17 channels, softmax; 6,057 parameters, for int8 files of 8 KiB"
NETWORK = network(7, 13, 16, 17)
