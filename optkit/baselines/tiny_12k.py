"""A network for slim int8 files of about 12 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 8, 16, 20 and 26 channels, softmax; 10,032 parameters, for int8 files of 12 KiB"
NETWORK = network(8, 16, 20, 26)
