"""Activation ranges: thresholds and streaming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from optkit.exporters import _ranges

if TYPE_CHECKING:
    from collections.abc import Callable


def _histogram(values: np.ndarray) -> tuple[np.ndarray, float]:
    magnitude = float(np.abs(values).max())
    return np.histogram(np.abs(values), _ranges.BINS, range=(0, magnitude))[0], magnitude


@pytest.mark.parametrize("threshold", [_ranges.entropy_threshold, _ranges.percentile_threshold])
def test_thresholds_cut_outliers_and_nothing_else(threshold: Callable[[np.ndarray, float], float]) -> None:
    generator = np.random.default_rng(0)
    normal = generator.normal(size=200_000)
    with_outlier = np.append(normal, 40.0)
    assert threshold(*_histogram(with_outlier)) < 8
    flat = generator.uniform(0, 1, 200_000)
    assert threshold(*_histogram(flat)) > 0.95


def test_ranges_are_found_batch_by_batch() -> None:
    batches = [{"a": np.array([-1.0, 2.0], np.float32)}, {"a": np.array([-3.0, 1.0], np.float32)}]
    assert _ranges.activation_ranges(lambda: batches, "minmax", exact=frozenset()) == {"a": (-3.0, 2.0)}
    spread = [{"a": np.append(np.linspace(-1, 1, 50_000), 100.0).astype(np.float32)}]
    clipped = _ranges.activation_ranges(lambda: spread, "percentile", exact=frozenset())["a"]
    assert clipped[0] == -1.0
    assert clipped[1] < 2
    assert _ranges.activation_ranges(lambda: spread, "percentile", exact=frozenset(["a"])) == {"a": (-1.0, 100.0)}


def test_a_tensor_of_zeros_has_a_range() -> None:
    zeros = [{"a": np.zeros(10, np.float32)}]
    for method in ("minmax", "entropy", "percentile"):
        assert _ranges.activation_ranges(lambda: zeros, method, exact=frozenset()) == {"a": (0.0, 0.0)}
