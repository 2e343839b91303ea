"""A network for slim int8 files of about 64 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 16, 32, 32, 56 and 56 channels, softmax; 61,018 parameters, for int8 files of 64 KiB"
NETWORK = network(16, 32, 32, 56, 56)
