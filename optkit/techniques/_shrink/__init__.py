"""Structured pruning in steps: follow the channels, score them, choose what goes, rebuild, prove it right.

The underscore keeps the registry from taking this package for a technique; ``optkit.techniques.shrink`` is the one.
"""
