"""Finds the range of every activation from calibration images, in bounded memory.

Two passes over the images: the first keeps the smallest and largest value of every tensor, the second a
histogram. ONNX Runtime's own calibrators hold every activation of every image at once, and their default of
128 bins for 128 levels leaves the entropy method nothing to choose; TensorFlow's has min-max alone. So both
formats share this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from optkit.exporters import CalibrationMethod

# The bins of Migacz's method and of its implementations; 16 bins to a level of the result.
BINS = 2048
# The entropy method may cut off one value in a thousand, ten times what the percentile does. Without a limit the
# constant background of a picture, a spike in the histogram, drew the cut to a tenth of the range.
ENTROPY_KEEPS = 0.999
# With fewer values the histogram is mostly gaps, and a cut through a gap seems to lose nothing. The logits of 500
# images are such a tensor: cut, they cost a network with batch normalization nearly all of its accuracy.
VALUES_PER_BIN = 10
# An 8-bit number has 128 levels of magnitude beside its sign.
LEVELS = 128
# Wu et al. (2020), "Integer Quantization for Deep Learning Inference", section 5: 99.99 % serves most
# networks.
PERCENTILE = 99.99
# Few enough images at once that the activations of a large network stay small beside the runtime itself.
BATCH = 16

Bounds = tuple[float, float]
Activations = dict[str, np.ndarray]


def batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """Slices [at most BATCH, …] of images [n, …], of one or several inputs."""
    for start in range(0, len(images), BATCH):
        yield np.ascontiguousarray(images[start : start + BATCH])


def activation_ranges(
    run: Callable[[], Iterable[Activations]], method: CalibrationMethod, *, exact: frozenset[str]
) -> dict[str, Bounds]:
    """Range of every tensor.

    Args:
        run: Starts a pass over the calibration images; yields tensors by name, float32 [batch, …], batch by
            batch.
        method: ``minmax``; or a threshold on the magnitude, from ``percentile`` or ``entropy``.
        exact: Tensors that keep their smallest and largest value whatever the method: the model's inputs,
            whose range is known, and where a cut would darken the picture itself.
    """
    extremes = _extremes(run())
    if method == "minmax":
        return extremes
    threshold = {"percentile": percentile_threshold, "entropy": entropy_threshold}[method]
    histograms = _histograms(run(), extremes)
    return {
        name: bounds if name in exact else _clipped(bounds, threshold(histograms[name], _magnitude(bounds)))
        for name, bounds in extremes.items()
    }


def percentile_threshold(histogram: np.ndarray, magnitude: float) -> float:
    """The magnitude that PERCENTILE of all values stay below (Wu et al. 2020, section 3.3).

    Args:
        histogram: Counts [BINS] of magnitudes between 0 and ``magnitude``.
        magnitude: The largest one.
    """
    return magnitude * _bins_for(histogram, PERCENTILE / 100) / len(histogram)


def entropy_threshold(histogram: np.ndarray, magnitude: float) -> float:
    """The cut that loses the least information when LEVELS levels remain.

    Migacz (2017), "8-bit Inference with TensorRT", GTC S7310: of all cuts i, the one whose quantized
    distribution Q has the smallest divergence KL(P ‖ Q) from the distribution P that is cut at i with what
    lies beyond added to its last bin. Zeros are exact at any scale, so their bin counts as its neighbour;
    else the many zeros behind a ReLU decide everything. A tensor of few values is not cut.

    Args:
        histogram: Counts [BINS] of magnitudes between 0 and ``magnitude``.
        magnitude: The largest one.
    """
    counts = histogram.astype(np.float64)
    counts[0] = counts[1]
    if counts.sum() < VALUES_PER_BIN * len(counts):
        return magnitude
    first = max(LEVELS, _bins_for(counts, ENTROPY_KEEPS))
    divergences = [_divergence(counts, cut) for cut in range(first, len(counts) + 1)]
    # Of equal cuts the widest: it loses the least.
    best = len(divergences) - 1 - int(np.argmin(divergences[::-1]))
    return magnitude * (first + best) / len(counts)


def _bins_for(histogram: np.ndarray, share: float) -> int:
    """How many bins from the first hold that share of all values."""
    reached = np.cumsum(histogram) >= share * histogram.sum()
    return int(np.argmax(reached)) + 1


def _divergence(counts: np.ndarray, cut: int) -> float:
    """KL(P ‖ Q) for a cut after that many bins; infinite where Q has nothing and P something."""
    kept = counts[:cut]
    level = np.arange(cut) * LEVELS // cut
    filled = kept > 0
    total = np.bincount(level, weights=kept, minlength=LEVELS)
    members = np.bincount(level, weights=filled, minlength=LEVELS)
    quantized = np.where(filled, total[level] / np.maximum(members[level], 1), 0)
    reference = kept.copy()
    reference[-1] += counts[cut:].sum()
    if not quantized.any():
        return np.inf
    p, q = reference / reference.sum(), quantized / quantized.sum()
    some = p > 0
    if (q[some] == 0).any():
        return np.inf
    return float(np.sum(p[some] * np.log(p[some] / q[some])))


def _extremes(activations: Iterable[Activations]) -> dict[str, Bounds]:
    found: dict[str, Bounds] = {}
    for batch in activations:
        for name, values in batch.items():
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return found


def _histograms(activations: Iterable[Activations], extremes: dict[str, Bounds]) -> dict[str, np.ndarray]:
    found = {name: np.zeros(BINS, np.int64) for name in extremes}
    for batch in activations:
        for name, values in batch.items():
            found[name] += np.histogram(np.abs(values), BINS, range=(0.0, _magnitude(extremes[name])))[0]
    return found


def _magnitude(bounds: Bounds) -> float:
    # A tensor of zeros alone still needs bins of some width.
    return max(abs(bounds[0]), abs(bounds[1])) or 1.0


def _clipped(bounds: Bounds, threshold: float) -> Bounds:
    return max(bounds[0], -threshold), min(bounds[1], threshold)
