"""Searches recipes and their parameters for the best file within limits of accuracy, size and latency."""
