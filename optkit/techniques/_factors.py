"""Kernels as products of two smaller ones, by truncated singular value decomposition; numpy alone.

A kernel is laid out as a matrix M = U S Vᵀ; its best approximation of rank r in the sum of squares keeps the r largest
singular values (Eckart and Young, 1936). The factors are U √S and √S Vᵀ, so that both have values of like size, which
training and quantization want.

Two layouts:

- ``channel``: [height · width · in, out]. The first factor has r filters of the kernel's own size, the second one
  combines them: 1×1 (Denton et al., 2014, arXiv:1404.0736, section 3.2; Zhang et al., 2015, arXiv:1505.06798,
  section 3.1, less its correction for the data's mean). Dense layers and 1×1 convolutions have this one alone.
- ``spatial``: [height · in, width · out]. The first factor has r filters of height×1, the second one is 1×width
  (Jaderberg et al., 2014, arXiv:1405.3866, section 2.2, scheme 2; solved in closed form by the singular value
  decomposition: Tai et al., 2016, arXiv:1511.06067, section 3.1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Scheme = Literal["channel", "spatial"]
# Of the sum of squares: what float32 kernels of a lower rank leave in the other singular values.
_ROUNDING = 1e-12
# A further layer takes about 480 bytes of an int8 TFLite file (its operator, tensors, scales and names, over four
# splits of a network of four layers): a split that saves fewer weights makes the file larger.
LEAST_SAVED = 512
# Of all weights together, in energies of one kernel: at the lowest price nothing is split that loses anything, at the
# highest every kernel keeps as few weights as it can.
_CHEAPEST, _DEAREST = 1e-6, 1e12
_BISECTIONS = 100


class Layout(NamedTuple):
    """A kernel as a product is to be found for it.

    Attributes:
        scheme: Which matrix it is laid out as.
        shape: Of the kernel: [in, out], or [height, width, in, out].
        positions: Where the first and second factor, and the kernel itself, are applied, in one example: the
            product of the spatial axes; (1, 1, 1) for a dense layer on flat examples.
    """

    scheme: Scheme
    shape: tuple[int, ...]
    positions: tuple[int, int, int] = (1, 1, 1)

    def parameters(self, rank: int) -> int:
        """Weights of both factors."""
        return rank * sum(self._per_rank())

    def macs(self, rank: int) -> int:
        """Multiply-accumulates of both factors in one example."""
        first, second = self._per_rank()
        return rank * (first * self.positions[0] + second * self.positions[1])

    @property
    def full(self) -> tuple[int, int]:
        """Weights and multiply-accumulates of the kernel itself."""
        weights = math.prod(self.shape)
        return weights, weights * self.positions[2]

    @property
    def full_rank(self) -> int:
        """The most that the matrix can have: at it, the product is the kernel."""
        return min(self._per_rank())

    @property
    def highest_rank(self) -> int:
        """The highest that pays: multiply-accumulates are fewer, and weights by ``LEAST_SAVED``; 0 where none is."""
        weights, macs = self.full
        by_weights = max(0, weights - LEAST_SAVED) // self.parameters(1)
        return min(self.full_rank, by_weights, (macs - 1) // self.macs(1))

    def _per_rank(self) -> tuple[int, int]:
        """Rows and columns of the matrix, which are the weights of either factor at rank 1."""
        if self.scheme == "channel":
            return math.prod(self.shape[:-1]), self.shape[-1]
        height, width, before, after = self.shape
        return height * before, width * after


class Spectrum(NamedTuple):
    """A matrix taken apart: [rows, n], [n] in descending order, [n, columns], float64."""

    layout: Layout
    left: np.ndarray
    values: np.ndarray
    right: np.ndarray

    def energy(self, rank: int) -> float:
        """Share of the kernel's sum of squares that a rank keeps; 1 for a kernel of zeros."""
        squares = self.values**2
        return float(squares[:rank].sum() / squares.sum()) if squares.any() else 1.0

    def rank_for(self, energy: float) -> int:
        """The lowest rank, of at least 1, that keeps so much."""
        squares = self.values**2
        enough = np.cumsum(squares) >= (energy - _ROUNDING) * squares.sum()
        return int(np.argmax(enough)) + 1

    def factors(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Kernels of both layers, float32: [in, rank] and [rank, out], or [h, w, in, rank] and [h', w', rank, out]."""
        roots = np.sqrt(self.values[:rank])
        first = (self.left[:, :rank] * roots).astype(np.float32)
        second = (roots[:, None] * self.right[:rank]).astype(np.float32)
        shape = self.layout.shape
        if self.layout.scheme == "spatial":
            height, width, before, after = shape
            columns = second.reshape(rank, width, after).transpose(1, 0, 2)
            return first.reshape(height, 1, before, rank), columns.reshape(1, width, rank, after)
        return first.reshape(*shape[:-1], rank), second.reshape(*[1] * (len(shape) - 2), rank, shape[-1])


def spectrum(kernel: np.ndarray, layout: Layout) -> Spectrum:
    """Take a kernel apart.

    Args:
        kernel: [in, out] or [height, width, in, out].
        layout: Of its shape.
    """
    if layout.scheme == "spatial":
        height, width, before, after = kernel.shape
        matrix = kernel.transpose(0, 2, 1, 3).reshape(height * before, width * after)
    else:
        matrix = kernel.reshape(-1, kernel.shape[-1])
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    return Spectrum(layout, left, values, right)


class Split(NamedTuple):
    """A layout and a rank at which it pays, with the share of the sum of squares that it keeps."""

    spectrum: Spectrum
    rank: int
    energy: float


def by_energy(spectra: Sequence[Spectrum], energy: float) -> Split | None:
    """The split of one kernel that keeps so much with the fewest multiply-accumulates; ``None`` where none pays.

    Args:
        spectra: The layouts that the kernel can have.
        energy: Share of the kernel's sum of squares.
    """
    ranks = [(one, one.rank_for(energy)) for one in spectra]
    found = [Split(one, rank, one.energy(rank)) for one, rank in ranks if rank <= one.layout.highest_rank]
    return min(found, key=lambda split: split.spectrum.layout.macs(split.rank), default=None)


def by_share(kernels: Mapping[str, Sequence[Spectrum]], share: float) -> dict[str, Split]:
    """The splits of several kernels that leave at most a share of all their weights.

    A weight has a price, the same in all kernels; each takes the layout and rank, or stays whole, whichever is best:
    the energy that it keeps less the price of its weights. The lowest price at which the weights are few enough is
    found by bisection. So small kernels whose values all matter, such as an output layer's, stay whole.

    Args:
        kernels: The layouts that each kernel can have, by layer.
        share: Of the weights of all these kernels.

    Returns:
        The splits; kernels that stay whole have none. Where even the fewest weights are too many, those.
    """
    whole = sum(spectra[0].layout.full[0] for spectra in kernels.values())

    def at(price: float) -> dict[str, Split | None]:
        return {name: _worth(spectra, price / whole) for name, spectra in kernels.items()}

    low, high = _CHEAPEST, _DEAREST
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        if weights_of(kernels, at(middle)) > share * whole:
            low = middle
        else:
            high = middle
    return {name: split for name, split in at(high).items() if split is not None}


def weights_of(kernels: Mapping[str, Sequence[Spectrum]], splits: Mapping[str, Split | None]) -> int:
    """Weights of all kernels, split or whole."""
    total = 0
    for name, spectra in kernels.items():
        split = splits.get(name)
        total += spectra[0].layout.full[0] if split is None else split.spectrum.layout.parameters(split.rank)
    return total


def _worth(spectra: Sequence[Spectrum], price: float) -> Split | None:
    """The split of one kernel that is worth most at a price of a weight; ``None`` where the kernel itself is."""
    best, found = 1.0 - price * spectra[0].layout.full[0], None
    for one in spectra:
        squares = one.values[: one.layout.highest_rank] ** 2
        if not len(squares):
            continue
        energy = np.cumsum(squares) / max(float((one.values**2).sum()), np.finfo(np.float64).tiny)
        worth = energy - price * one.layout.parameters(1) * np.arange(1, len(squares) + 1)
        rank = int(np.argmax(worth)) + 1
        if worth[rank - 1] > best:
            best, found = float(worth[rank - 1]), Split(one, rank, one.energy(rank))
    return found
