"""RESHAPE: the same values under another shape; no code."""

from __future__ import annotations

from optkit.codegen._alias import SUMMARY, lower

__all__ = ["IGNORED", "KIND", "SOURCE", "SUMMARY", "VERSIONS", "lower"]

SOURCE = "tensorflow/lite/kernels/reshape.cc"
KIND = "RESHAPE"
VERSIONS = (1, 1)
# The wanted shape: the output has it already.
IGNORED = (1,)
