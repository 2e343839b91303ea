"""Seeded splits that keep each class's share in each part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SEED = 20_261_122
# Of fewer examples a tenth says little: at 90 % accuracy, the 95 % interval of 500 is 2.7 % to either side.
SMALL = 10_000
SMALL_SHARE = 0.2
LARGE_SHARE = 0.1
# Choices among files need no more: at 90 % accuracy the 95 % interval is 0.8 % to either side.
MOST_VALIDATION = 5_000


class Split(NamedTuple):
    """Positions of each part, int64: training and validation in random order, test in the source's."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def held_out(labels: np.ndarray, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Part ``count`` examples from the others, each class with its share.

    Args:
        labels: int64 [n] classes; float32 [n] values are split at random.
        count: How many to hold out.
        generator: Decides which.

    Returns:
        Positions held out, and the others, both in random order.
    """
    order = generator.permutation(len(labels))
    if labels.dtype.kind == "f":
        return order[:count], order[count:]
    # Shuffled, then by class: the i-th of the n of a class has the rank (i + ½)/n. By rank, any first part of all has
    # the share of each class to within one example, and a class of one is never held out by less than half.
    by_class = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels)
    within = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = (within + 0.5) / np.repeat(sizes, sizes)
    mixed = generator.permutation(len(labels))
    ranked = by_class[mixed][np.argsort(rank[mixed], kind="stable")]
    return generator.permutation(ranked[:count]), generator.permutation(ranked[count:])


def in_three(labels: np.ndarray) -> Split:
    """Training, validation and test 6:2:2; of 10,000 and more 8:1:1, validation at most 5,000."""
    generator = np.random.default_rng(SEED)
    count = max(1, round(len(labels) * (SMALL_SHARE if len(labels) < SMALL else LARGE_SHARE)))
    test, rest = held_out(labels, count, generator)
    validation, train = held_out(labels[rest], min(MOST_VALIDATION, count), generator)
    return Split(rest[train], rest[validation], np.sort(test))


def in_two(labels: np.ndarray) -> Split:
    """Training and validation 3:1, as with 6:2:2; of 10,000 and more 9:1, validation at most 5,000; test is empty."""
    generator = np.random.default_rng(SEED)
    share = SMALL_SHARE / (1 - SMALL_SHARE) if len(labels) < SMALL else LARGE_SHARE
    validation, train = held_out(labels, min(MOST_VALIDATION, max(1, round(len(labels) * share))), generator)
    return Split(train, validation, np.arange(0))
