"""A network for slim int8 files of about 10 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 8, 15, 18 and 21 channels, softmax; 8,024 parameters, for int8 files of 10 KiB"
NETWORK = network(8, 15, 18, 21)
