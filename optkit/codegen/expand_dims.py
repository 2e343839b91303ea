"""EXPAND_DIMS: the same values under another shape; no code."""

from __future__ import annotations

from optkit.codegen._alias import SUMMARY, lower

__all__ = ["IGNORED", "KIND", "SOURCE", "SUMMARY", "VERSIONS", "lower"]

SOURCE = "tensorflow/lite/kernels/expand_dims.cc"
KIND = "EXPAND_DIMS"
VERSIONS = (1, 1)
# The wanted axis: the output has the shape already.
IGNORED = (1,)
