"""A network for slim int8 files of about 6 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 6, 10, 12 and 15 channels, softmax; 4,043 parameters, for int8 files of 6 KiB"
NETWORK = network(6, 10, 12, 15)
