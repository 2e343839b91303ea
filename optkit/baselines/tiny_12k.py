"""A network whose slim int8 file is within 12 KiB."""

from __future__ import annotations

from optkit.baselines._tiny import SOURCE, TRAINING, network

__all__ = ["NETWORK", "SOURCE", "SUMMARY", "TRAINING"]

SUMMARY = "convolutions of 9, 17, 20 and 24 channels, softmax; 10,022 parameters, for int8 files of 12 KiB"
NETWORK = network(9, 17, 20, 24)
